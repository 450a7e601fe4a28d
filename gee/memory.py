"""Memory of many threads: what one of them is done with, the others use."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Final

_ARENA_MAX: Final = -8
"""`M_ARENA_MAX` of mallopt(3)."""


@cache
def share_heaps() -> bool:
    """Let all threads of this process allocate from as many heaps as there are cores, and return
    whether that could be said: only glibc has such heaps.

    By itself glibc makes up to eight a core, and what a block leaves free in the heap of one thread
    no other thread can use: pulling from a catalogue held a fifth more memory, and ever more the
    longer it went on. More heaps than cores gain nothing: as many threads compute.
    """
    try:
        return bool(ctypes.CDLL("libc.so.6").mallopt(_ARENA_MAX, max(2, os.cpu_count() or 1)))
    except (OSError, AttributeError):
        return False
