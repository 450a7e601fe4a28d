"""The course of a training: a line per step and per validation, as JSON and as CSV, and a picture
of it.
"""

from __future__ import annotations

import csv
import json
import math
from io import StringIO
from pathlib import Path
from typing import Any

from configs.files import replacing, write_text

CURVES = "curves.jsonl"
TABLE = "curves.csv"
COLUMNS = ("step", "loss", "learning_rate", "validation_loss", "validation_f1", "threshold")
"""Of the table; a step has the first three, a validation (once a pass over the chips) the others.
"""
PICTURE = "curves.png"


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the records so far; a line torn by a kill ends them."""
    path = folder / CURVES
    records: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def rewind(folder: Path, step: int) -> None:
    """Drop what was recorded after the state on disk: those steps are done again."""
    kept = [record for record in read(folder) if record["step"] <= step]
    write_text(folder / CURVES, "".join(_line(record) for record in kept))
    write_text(folder / TABLE, ",".join(COLUMNS) + "\n" + _rows(kept))


def append(folder: Path, records: list[dict[str, Any]]) -> None:
    """Add records; NaN is written as null, which JSON can hold, and as nothing in the table."""
    with (folder / CURVES).open("a", encoding="utf-8") as file:
        file.writelines(_line(record) for record in records)
    with (folder / TABLE).open("a", encoding="utf-8") as file:
        file.write(_rows(records))


def _rows(records: list[dict[str, Any]]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writerows({name: _shown(record.get(name)) for name in COLUMNS} for record in records)
    return text.getvalue()


def _shown(value: float | None) -> float | str:
    return "" if value is None or not math.isfinite(value) else value


def _line(record: dict[str, Any]) -> str:
    plain = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()
    }
    return json.dumps(plain) + "\n"


def draw(folder: Path, title: str) -> Path:
    """Return the picture of the curves: training and validation loss, and validation F1 at its best
    threshold.
    """
    from matplotlib.figure import Figure

    records = read(folder)
    training = [r for r in records if "loss" in r]
    validation = [r for r in records if "validation_loss" in r]
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot()
    left.plot(
        [r["step"] for r in training], [_number(r["loss"]) for r in training], color="0.75", lw=0.8
    )
    left.plot(
        [r["step"] for r in training],
        _smooth([_number(r["loss"]) for r in training]),
        color="C0",
        label="training loss",
    )
    left.plot(
        [r["step"] for r in validation],
        [_number(r["validation_loss"]) for r in validation],
        "C1.-",
        label="validation loss",
    )
    left.set(xlabel="step", ylabel="loss", title=title)
    right = left.twinx()
    right.plot(
        [r["step"] for r in validation],
        [_number(r["validation_f1"]) for r in validation],
        "C2.-",
        label="validation F1",
    )
    right.set(ylabel="F1", ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=3)
    with replacing(folder / PICTURE) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return folder / PICTURE


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _smooth(values: list[float], weight: float = 0.9) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else weight * smooth[-1] + (1 - weight) * value)
    return smooth
