"""Hostile inputs, made by spoiling a good one: seeded, so that a number is an input for ever."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml

Syntax = Literal["bytes", "text", "json", "yaml"]
VALUES: tuple[Any, ...] = (
    *(None, [], {}, "", "x", -1, 0, 1e308, -1e18, float("nan"), float("inf"), 10**30, True),
    *("a\ud800b", "a\0b", "../../etc/passwd", "A" * 100_000, [[]], {"a": 1}, [1] * 1000, 1e30),
    *("2018-02-30", "9" * 5000, "1e400", "\u202eabc", -0.0, "NaN"),
)
"""What stands where something else was meant."""
_LINES = (
    "zzz: 2018-02-30",
    "zzz: !!int x",
    "zzz: !!binary '%%%'",
    "zzz: " + "9" * 5000,
    "zzz: " + "[" * 3000 + "]" * 3000,
    "zzz: !!python/object/apply:os.getcwd []",
    "zzz: &r [*r]",
    "<<: 3",
    "? {a: 1}\n: 3",
    "zzz: \x07",
    "a0: &a [x,x,x,x,x,x,x,x,x]\na1: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
    "a2: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\na3: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
    "a4: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\na5: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
    "a6: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\na7: [*g,*g,*g,*g,*g,*g,*g,*g,*g]",
)
"""Lines that a YAML parser stumbles over."""


@dataclass(frozen=True)
class Spoilt:
    """A spoilt input."""

    words: str
    """What was done to it."""
    content: bytes
    cut_short: bool = False
    """The end is missing."""


def spoil(content: bytes, syntax: Syntax, draw: random.Random) -> Spoilt:
    """Return an input spoilt in one way; documents mostly in one of their values."""
    if syntax in ("json", "yaml") and draw.random() < 0.75:
        return _in_a_value(content, syntax, draw)
    if syntax == "yaml" and draw.random() < 0.5:
        line = draw.choice(_LINES)
        return Spoilt(f"line added: {line[:20]}", content + f"\n{line}\n".encode())
    return _in_bytes(content, draw)


def _in_a_value(content: bytes, syntax: Syntax, draw: random.Random) -> Spoilt:
    document = json.loads(content) if syntax == "json" else yaml.safe_load(content)
    path = draw.choice(list(_paths(document)))
    where = ".".join(map(str, path))
    document = copy.deepcopy(document)
    inner = document
    for part in path[:-1]:
        inner = inner[part]
    if draw.random() < 0.15:
        del inner[path[-1]]
        return Spoilt(f"{where} left out", _written(document, syntax))
    value = draw.choice(VALUES)
    inner[path[-1]] = value
    return Spoilt(f"{where} = {ascii(value)[:24]}", _written(document, syntax))


def _paths(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document[:3])
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        yield (*above, key)
        yield from _paths(value, (*above, key))


def _written(document: Any, syntax: Syntax) -> bytes:
    if syntax == "json":
        return json.dumps(document).encode()
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


def _in_bytes(content: bytes, draw: random.Random) -> Spoilt:
    size = len(content)
    at = draw.randrange(size)
    how = draw.choice(("cut", "cut", "flip", "flip", "flip", "zero", "noise", "twice", "whole"))
    if how == "cut":
        return Spoilt(f"cut after {at} bytes", content[:at], cut_short=True)
    if how == "flip":
        spoilt = bytearray(content)
        places = [draw.randrange(size) for _ in range(draw.choice((1, 4, 32)))]
        if draw.random() < 0.5:  # headers are where readers trip
            places = [place % min(size, 400) for place in places]
        for place in places:
            spoilt[place] ^= 1 << draw.randrange(8)
        return Spoilt(f"{len(places)} bits flipped from byte {min(places)}", bytes(spoilt))
    length = min(draw.choice((8, 100, 2000)), size - at)
    if how == "zero":
        return Spoilt(
            f"{length} zeros at {at}", content[:at] + bytes(length) + content[at + length :]
        )
    if how == "noise":
        noise = draw.randbytes(length)
        return Spoilt(
            f"{length} bytes of noise at {at}", content[:at] + noise + content[at + length :]
        )
    if how == "twice":
        return Spoilt(
            f"bytes from {at} twice", content[: at + length] + content[at:], cut_short=False
        )
    other = draw.choice((b"", bytes(1000), draw.randbytes(3000), b"<html>busy</html>", b"\xff\xfe"))
    return Spoilt(f"another file: {other[:8]!r}", other, cut_short=bool(size))
