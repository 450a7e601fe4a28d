"""Threads share their heaps where the C library has such."""

from __future__ import annotations

import platform

from gee.memory import share_heaps


def test_threads_share_heaps_wherever_glibc_is_the_c_library() -> None:
    assert share_heaps() is (platform.libc_ver()[0] == "glibc")
