"""What is right of each case from the field: its answers in, (right, what was got) out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd


@dataclass(frozen=True)
class Ran:
    """How a line of a case ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """Return the JSON object it printed; nothing where there is none."""
        for line in self.out.splitlines():
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        return {}

    @property
    def said(self) -> str:
        """Return message and remedy of a refusal, or the warnings of an answer."""
        answer = self.answer
        told = [answer.get("message", ""), answer.get("remedy", ""), *answer.get("warnings", [])]
        return " ".join(one for one in told if one)

    @property
    def numbers(self) -> list[float]:
        """Return the numbers it printed."""
        return [float(one) for one in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", self.out)]

    def got(self, more: str = "") -> str:
        """Return the exit code with what was said, in short."""
        said = more or self.answer.get("message", "") or "; ".join(self.answer.get("warnings", []))
        return f"exit {self.code}" + (f": {_short(said)}" if said else "")


Runs = Sequence[Ran]
Judge = Callable[[Runs, Path], tuple[bool, str]]
"""From the lines of a case, in order, and the folder they ran in."""
_LONGEST = 160


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0] + " …"


def _refused(*words: str, codes: Sequence[int] = (2,), at: int = 0) -> Judge:
    """Return what is right where a line refuses and names all of some things."""

    def judge(runs: Runs, folder: Path) -> tuple[bool, str]:
        del folder
        run = runs[at]
        return run.code in codes and all(word in run.said for word in words), run.got()

    return judge


def _replaced(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    medians = [runs[4].numbers[0], runs[6].numbers[0]]
    return all(abs(one - 0.09) <= 1e-4 for one in medians), f"{medians[0]:.4f}, {medians[1]:.4f}"


def _terrain(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    if runs[1].code == 2:
        return "unit" in runs[1].said, runs[1].got()
    slope, shade = runs[2].numbers
    right = abs(slope - 30) <= 0.7 and abs(shade - 246.3) <= 2
    return right, f"slope {slope:.1f}°, hillshade {shade:.1f}"


def _fill(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    if runs[1].code == 2:
        return True, runs[1].got()
    slope, lowest = runs[2].numbers
    return slope <= 22 and lowest >= 200, f"slopes to {slope:.1f}°, heights from {lowest:.0f} m"


def _offset(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    first, second = runs[1], runs[3]
    said = "offset" in first.said or first.answer.get("out_of_domain") is True
    found = [run.answer.get("landslide_count") for run in (first, second)]
    words = next((one for one in first.answer.get("warnings", []) if "offset" in one), first.said)
    return said and second.code == 0, f"{found[0]} and {found[1]} landslides; {_short(words)}"


def _layers(runs: Runs, folder: Path) -> tuple[bool, str]:
    asked, _ = _refused("field_notes", "aoi")(runs, folder)
    km2 = runs[1].answer.get("area_km2", 0)
    return asked and abs(km2 - 1.96) <= 0.01, f"{runs[0].got()}; {km2} km²"


def _overlap(runs: Runs, folder: Path) -> tuple[bool, str]:
    if runs[4].code == 2:
        return "L0" in runs[4].said, runs[4].got()
    said, ground = runs[4].answer["landslide_area_km2"], runs[5].numbers[1] / 1e6
    changes = gpd.read_file(folder / "out/quake/r002/landslides.gpkg", layer="changes")
    split = int((changes["change"] == "split").sum())
    words = f"{said:.4f} km² in the answer, {ground:.4f} km² of ground, {split} split"
    return abs(said - ground) <= 0.01 * ground and split == 0, words


def _withdrawn(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    return "withdr" in runs[0].said and runs[0].code in (0, 2, 3), runs[0].got()


def _transparent(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    shares = [one["clear_fraction"] for one in runs[0].answer.get("scenes", [])]
    half = any(share is not None and 0.45 <= share <= 0.55 for share in shares)
    return half, f"clear shares {', '.join(f'{share}' for share in shares)}"


def _local(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    rights = [run.code == 2 and "assign" in run.said.lower() for run in (runs[1], runs[3])]
    return all(rights) and runs[2].code == 0, f"{runs[1].got()}; {runs[3].got()}"


def _tin(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    return runs[2].code == 0 and runs[3].code in (0, 2), f"{runs[2].got()}; {runs[3].got()}"


def _dateline(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    km2 = runs[0].answer.get("area_km2")
    right = runs[0].code == 2 or (km2 is not None and abs(km2 - 118) <= 1)
    return right, runs[0].got(f"{km2} km²" if km2 else "")


def _later(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    card = runs[0].answer.get("checkpoint", "")
    return runs[0].code == 0, runs[0].got(f"mapped by {card}" if card else "")


def _packed(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    sizes = [run.answer.get("area_km2", 0) for run in runs]
    right = all(run.code == 2 and "unpack" in run.said for run in runs)
    return right or all(700 < one < 900 for one in sizes), f"{sizes[0]:.0f} and {sizes[1]:.0f} km²"


def _dates(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    times = [re.search(r"T(\d\d)(\d\d)", run.answer.get("event", "")) for run in runs[:3]]
    minutes = [60 * int(one[1]) + int(one[2]) for one in times if one]
    same = len(minutes) == 3 and max(minutes) - min(minutes) <= 1
    said = all(run.code == 2 and "form" in run.said for run in runs[:3])
    name = runs[3].code == 2 and "^[" not in runs[3].said and "letters" in runs[3].said
    moments = ", ".join(f"{one // 60:02d}:{one % 60:02d}" for one in minutes)
    words = moments if same else "; ".join(run.got() for run in runs[:3])
    return (same or said) and name, f"{words}; the name: {runs[3].got()}"


def _odd_shakemap(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    right = all(run.code == 0 and "ShakeMap" in run.said for run in runs)
    words = [one for run in runs for one in run.answer.get("warnings", []) if "ShakeMap" in one]
    said = "; ".join(_short(one) for one in dict.fromkeys(words))
    return right, f"exits {', '.join(str(run.code) for run in runs)}: {said}"


def _tilde(runs: Runs, folder: Path) -> tuple[bool, str]:
    made = (folder / "home/coslide-runs").is_dir() and not (folder / "~").exists()
    right = made and runs[1].code == 2 and "archive.yaml" in runs[1].said
    return right, f"{'in the home folder' if made else runs[0].got()}; {runs[1].got()}"


def _resolution(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    told = [one for run in runs for one in run.answer.get("warnings", []) if "made for" in one]
    right = all(run.code == 0 for run in runs) and not told
    return right, "; ".join(told) or "no word about it, exits 0"


def _days(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    day = runs[0].code == 0 or (runs[0].code == 2 and "YYYY-MM-DD" in runs[0].said)
    return day and runs[2].code in (0, 2), f"{runs[0].got()}; {runs[2].got()}"


def _prefect(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    run = runs[0]
    return run.code == 0 or (run.code == 4 and "PREFECT_API_URL" in run.said), run.got()


def _strangers(runs: Runs, folder: Path) -> tuple[bool, str]:
    del folder
    return runs[0].code == 0 or "another package" in runs[0].said, runs[0].got()


JUDGES: dict[str, Judge] = {
    "01": _replaced,
    "02": _terrain,
    "03": _terrain,
    "04": _terrain,
    "05": _fill,
    "06": _offset,
    "07": _layers,
    "08": _overlap,
    "09": _refused(codes=(0, 4)),
    "10": _withdrawn,
    "11": _transparent,
    "12": _local,
    "13": _tin,
    "14": _refused("latitude"),
    "15": _dateline,
    "16": _prefect,
    "17": _later,
    "18": _packed,
    "19": _dates,
    "20": _odd_shakemap,
    "21": _tilde,
    "22": _refused("control points"),
    "23": _resolution,
    "24": _days,
    "25": _strangers,
}
