"""Which simulator made this: a hash of everything that decides a simulated pixel. Studies and cards
record it.
"""

from __future__ import annotations

import hashlib
import io
import tokenize
from functools import lru_cache
from pathlib import Path

PHYSICS = (
    "lattice", "landscapes", "world", "relief", "shaking", "slides", "drawing", "sun", "season", "patches", "spectra",
    "cover", "sky", "scene",
)  # fmt: skip
"""Rooms whose code or numbers change pixels or truth. How a request is answered (`source`, `grids`)
is not among them.
"""
ADDED = ("sentinel2", "orbit", "radar", "geology", "landsat")
"""Rooms that lay further fields over the same ground, for systems that read more; they have a hash
of their own.
"""
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
}


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Return 16 hexadecimal digits that change when the simulation does, and not with comments or
    layout.
    """
    return _of(PHYSICS)


@lru_cache(maxsize=1)
def added_fingerprint() -> str:
    """Return the same of the fields that were added later: they may change while the first ones
    stay.
    """
    return _of(ADDED)


def _of(rooms: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for room in rooms:
        text = Path(__file__).with_name(f"{room}.py").read_text(encoding="utf-8")
        digest.update(room.encode())
        for token in _words(text):
            digest.update(token.encode() + b"\0")
    return digest.hexdigest()[:16]


def _words(text: str) -> list[str]:
    """Return the tokens of a module that mean something: no comments, docstrings or layout."""
    words = []
    statement_start = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING and statement_start:
            continue
        if token.type not in _LAYOUT and token.string:
            words.append(token.string)
        if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            statement_start = True
        elif token.type not in _LAYOUT:
            statement_start = False
    return words
