"""Odd arguments of the command line, dry runs all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from pathlib import Path

_PLACES = ("42.93,142.41", "95,141", "nan,1", "1e400,2", "42.93", "0,0", "-90,180", "42.93;142.41")
_DATES = (
    *("2024-09-14", "9999-12-31", "0001-01-01", "2024-09-14T03:08+09:00", "2024-02-30", "20240914"),
    *("now", "2024-09-14T25:61", "٢٠٢٤-٠٩-١٤"),
)
_ODD = (
    *("", "x", "-1", "0", "1e-9", "1e308", "nan", "inf", "9" * 400, "../../x", "a\udcffb", "'"),
    *("https://[::1", "simulated:", "archive:", "archive:/nowhere", "-", "--", "a" * 5000, "\x07"),
    *("180,0,-180,1", "1,2,3", "{}", "null", "model.batch=x", "model=1", "x.y=1", "a/b"),
)
_OPTIONS = (
    *("--epicentre", "--date", "--magnitude", "--usgs", "--shakemap", "--radius-km", "--area"),
    *("--pre", "--post", "--source", "--checkpoint", "--set", "--config", "--as-of", "--name"),
)
_OTHERS = (
    ("refresh", "--json"),
    ("verify", "--json"),
    ("evaluate", "--reference", "simulated", "--json"),
    ("review",),
    ("freeze", "--out", "ar", "--json"),
    ("events", "--json"),
    ("train", "--json"),
    ("samples", "--out", "s", "--json"),
    ("watch", "--once", "--dry-run", "--json", "--config"),
    ("explain", "--json"),
    ("rank", "--json"),
)
"""Other verbs, which are given something that is no folder, file or name of theirs."""


def odd_arguments(draw: random.Random) -> list[str]:
    """Return the arguments of a command of which at least one is odd."""
    if draw.random() < 0.25:
        verb, *rest = draw.choice(_OTHERS)
        return [verb, *rest, draw.choice(_ODD)]
    given = {
        "--epicentre": _PLACES[0],
        "--date": _DATES[0],
        "--as-of": "2024-11-20",
        "--source": "simulated:tephra-hills",
        "--radius-km": "0.3",
    }
    for _ in range(draw.choice((1, 1, 2))):
        option = draw.choice(_OPTIONS)
        given[option] = draw.choice((*_ODD, *_DATES, *_PLACES))
    return [
        "-q",
        "respond",
        *(f"{name}={value}" for name, value in given.items()),
        "--dry-run",
        "--json",
    ]


def read_arguments(given: list[str], folder: Path) -> tuple[int, str]:
    """Return (exit code, message) of a command given in an empty folder."""
    from flows.cli import main

    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    code: int | str | None = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(given)
        except SystemExit as left:
            code = left.code
    said = out.getvalue() + err.getvalue()
    if "Traceback" in said:
        return 1, said[-300:]
    try:
        message = str(json.loads(out.getvalue()).get("message", ""))
    except ValueError:
        message = said[-200:]
    return (code if isinstance(code, int) else 1), message[:300]
