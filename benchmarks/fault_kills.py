"""SIGKILL before every rename and every removal of a command: the same command must end well, with
the same products, nothing torn and no revision twice.

Commands run in forks of a warm process. What was struck stands in ``kills.jsonl`` of the folder and
is not struck again; `--points` strikes that many places of each command, evenly spread.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from pyproj import Transformer

from benchmarks.fault_process import Ended, apart
from benchmarks.kill_ground import CRS, NORTH, PRODUCTS, WEST, preset, request
from benchmarks.results import fill
from configs.files import sha256

FOLDER = Path("runs/verify/faults")
_HEIGHT, _WIDTH = 120, 120
_CALLS = ("rename", "replace", "unlink", "remove", "rmdir")
_PATIENCE_S = 900
_WARM = (
    "flows.respond", "flows.refresh", "flows.freezing", "flows.learning.train", "flows.verify",
    "flows.cli",
)  # fmt: skip


@dataclass(frozen=True)
class Struck:
    """What a kill came to."""

    command: str
    point: int
    of: int
    """Renames and removals of an undisturbed run."""
    code: int
    """Exit code of the same command, given again."""
    same: bool
    """Whether its products are those of an undisturbed run."""
    torn: int
    """Half-written files left."""
    message: str

    @property
    def wrong(self) -> bool:
        """Return whether the product did not do right."""
        return self.code != 0 or not self.same or self.torn > 0


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hooked(root: Path, at: int | None, strike: Callable[[], object] = _kill) -> Callable[[], int]:
    """Kill this process, or strike it otherwise, before rename or removal number `at` (from 1)
    under a folder; return what tells how many there were.
    """
    count = 0
    inside = str(root.resolve())

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def struck(path: Any, *more: Any, **named: Any) -> Any:
            nonlocal count
            if named.get("dir_fd") is not None or os.path.abspath(path).startswith(inside):
                count += 1
                if count == at:
                    strike()
            return real(path, *more, **named)

        return struck

    for name in _CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    return lambda: count


def give(
    arguments: list[str], folder: Path, at: int | None = None, strike: Callable[[], object] = _kill
) -> tuple[Ended, int]:
    """Return (how a command ended in a folder, how many renames and removals it made)."""

    def work() -> tuple[int, str]:
        from flows.cli import main

        os.chdir(folder)
        told = hooked(folder, at, strike)
        out, code = io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            try:
                main(arguments)
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 1
        return code, json.dumps([told(), out.getvalue()[-300:]])

    (ended,) = apart([work], _PATIENCE_S)
    if ended.code < 0 or not ended.message.startswith("["):
        return ended, 0
    count, said = json.loads(ended.message)
    return Ended(ended.code, said, ended.mb), int(count)


def make_ground(folder: Path) -> dict[str, list[str]]:
    """Return the commands by their names, after making what they read."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = preset(folder, _HEIGHT, _WIDTH)
    run = folder / "preset.yaml"
    run.write_text(yaml.safe_dump(parts, sort_keys=False))
    asked = request(_HEIGHT, _WIDTH)
    place = f"{asked['latitude']},{asked['longitude']}"
    respond = ["-q", "respond", "--epicentre", place, "--date", asked["date"], "--json"]
    respond += ["--area", asked["bounds"], "--as-of", asked["as_of"], "--name", asked["name"]]
    respond += ["--config", str(run), "--out", "out"]
    _make_learning(folder)
    return {
        "respond": respond,
        "refresh": ["-q", "refresh", "out/quake", "--as-of", "2018-12-05", "--force", "--json"],
        "review": ["-q", "review", "out/quake"],
        "samples": ["-q", "samples", str(folder / "samples.yaml"), "--out", "valley", "--json"],
        "train": ["-q", "train", str(folder / "recipe.yaml"), "--samples", "valley", "--json"],
        "freeze": ["-q", "freeze", "out/quake", "--out", "frozen", "--json"],
        "watch": _make_watch(folder, parts),
    }


def _make_watch(folder: Path, parts: dict[str, Any]) -> list[str]:
    """Return the turn of a watch that is owed one run, by the feed in a file."""
    (folder / "watched.yaml").write_text(yaml.safe_dump(parts, sort_keys=False))
    rule = {"name": "all", "min_magnitude": 3}
    watch = {"rules": [rule], "oldest_days": 200, "min_steep": 0, "publish_unknown": True}
    service = {"format": "coslide/service/1", "preset": "watched.yaml", "watch": watch}
    (folder / "service.yaml").write_text(yaml.safe_dump(service, sort_keys=False))
    x, y = WEST + 5 * _WIDTH, NORTH - 5 * _HEIGHT
    place = Transformer.from_crs(CRS, 4326, always_xy=True).transform(x, y)
    said = {"mag": 3.6, "time": 1536127200000, "updated": 1536127300000, "type": "earthquake"}
    quake = {"type": "Feature", "id": "us1234test", "properties": said}
    quake |= {"geometry": {"type": "Point", "coordinates": [*map(float, place), 8.0]}}
    feed = folder / "feed.geojson"
    feed.write_text(json.dumps({"type": "FeatureCollection", "features": [quake]}))
    options = ["--feed", str(feed), "--out", "watched", "--once", "--as-of", "2018-12-01"]
    return ["-q", "watch", "--config", str(folder / "service.yaml"), *options, "--json"]


def _make_learning(folder: Path) -> None:
    """Write a sampling configuration and a recipe, as small as they may be."""
    import geopandas as gpd
    from shapely.geometry import box

    corners = [(WEST + 120 * i + 100, NORTH - 150 * i - 200) for i in range(6)]
    shapes = [box(x, y - 80, x + 80, y) for x, y in corners]
    gpd.GeoDataFrame(geometry=shapes, crs=CRS).to_file(folder / "truth.gpkg", engine="pyogrio")
    x, y = WEST + 5 * _WIDTH, NORTH - 5 * _HEIGHT
    longitude, latitude = Transformer.from_crs(CRS, 4326, always_xy=True).transform(x, y)
    event = {"name": "valley", "time": "2018-09-05T00:00:00Z"}
    run = {
        "event": event | {"latitude": float(latitude), "longitude": float(longitude)},
        "windows": {"as_of": "2018-12-01"},
        "source": {"kind": "archive", "archive": str(folder / "archive")},
    }
    sampling: dict[str, Any] = {
        "format": "coslide/sampling/1",
        "name": "valley",
        "title": "valley",
        "run": run,
    }
    sampling |= {"licence": "CC0-1.0", "radius_km": 0.55, "chip_px": 32, "stride_px": 16}
    sampling |= {"bands": ["post_B2", "post_B3", "post_B4"]}
    sampling |= {"truth": {"kind": "polygons", "slides": [{"file": str(folder / "truth.gpkg")}]}}
    sampling |= {"split": {"kind": "bands", "count": 3, "guard_px": 0}}
    (folder / "samples.yaml").write_text(yaml.safe_dump(sampling, sort_keys=False))
    recipe: dict[str, Any] = {
        "format": "coslide/training/1",
        "name": "tiny",
        "samples": [{"path": "valley"}],
    }
    recipe |= {"architecture": "resu_net", "arguments": {"width": 16}, "normalisation": "zscore"}
    splits = {"training": ["band-0"], "validation": ["band-1"], "test": ["band-2"]}
    recipe |= {"splits": splits, "calibration": "none"}
    recipe |= {"loss": {"dice": 1.0, "bce": 1.0}, "augmentation": {"mirrors": "none"}}
    recipe |= {"optimiser": {"name": "adam", "learning_rate": 0.01}, "keep": "last", "batch": 2}
    recipe |= {"steps": 4, "validate_every": 2, "average": 0.8, "reference_pixels": 200}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))


_BEFORE: dict[str, tuple[str, ...]] = {
    "refresh": ("respond",),
    "review": ("respond",),
    "train": ("samples",),
    "freeze": ("respond",),
}
"""What must have been done before a command."""


def warmed(folder: Path) -> dict[str, list[str]]:
    """Return the commands by name, with their ground made and what they import loaded: once, not
    in every process that is struck.
    """
    for module in _WARM:
        importlib.import_module(module)
    return make_ground(folder)


def undisturbed(folder: Path, commands: dict[str, list[str]], name: str) -> tuple[Path, Path, int]:
    """Return where a command starts, where it has ended well, and its renames and unlinks.

    Raises:
        RuntimeError: it does not end well.
    """
    start, whole = folder / "start", folder / "whole"
    lay_out(start, [commands[one] for one in _BEFORE.get(name, ())])
    copy(start, whole)
    ended, of = give(commands[name], whole)
    if ended.code:
        raise RuntimeError(f"{name} ends with {ended.code}: {ended.message}")
    return start, whole, of


def strike_all(folder: Path, points: int | None, names: list[str] | None = None) -> list[Struck]:
    """Return what became of every kill."""
    folder = folder.resolve()
    commands = warmed(folder)
    book = folder / "kills.jsonl"
    struck = read(book)
    known = {(one.command, one.point) for one in struck}
    for name in names or commands:
        start, whole, of = undisturbed(folder, commands, name)
        right = products(whole)
        step = max(1, -(-of // points)) if points else 1
        for point in range(1, of + 1, step):
            if (name, point) in known:
                continue
            tried = folder / "tried"
            copy(start, tried)
            give(commands[name], tried, point)
            again, _ = give(commands[name], tried)
            torn = sum(1 for path in tried.rglob(".*.part"))
            same = products(tried) == right
            one = Struck(name, point, of, again.code, same, torn, again.message[-200:])
            struck.append(one)
            with book.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(one)) + "\n")
    return [one for one in struck if names is None or one.command in names]


def read(book: Path) -> list[Struck]:
    """Return what has come of kills so far."""
    lines = book.read_text("utf-8").splitlines() if book.exists() else []
    return [Struck(**json.loads(line)) for line in lines]


def lay_out(start: Path, commands: list[list[str]]) -> None:
    """Put what commands make in the place of a folder."""
    shutil.rmtree(start, ignore_errors=True)
    start.mkdir()
    for command in commands:
        ended, _ = give(command, start)
        if ended.code:
            raise RuntimeError(f"{command} ends with {ended.code}: {ended.message}")


def copy(source: Path, target: Path) -> None:
    """Put a copy of a folder in the place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def products(folder: Path) -> dict[str, str]:
    """Return the checksums of what revisions, reviews, sample sets and checkpoints hold, by their
    place.
    """
    wanted = {*PRODUCTS, "review.gpkg", "samples.yaml", "archive.yaml", "weights.safetensors"}
    wanted -= {"report.html"}
    files = [path for path in sorted(folder.rglob("*")) if path.name in wanted]
    return {
        str(path.relative_to(folder)): sha256(path)
        for path in files
        if not any(part.startswith(".") or part == "stack" for part in path.parts)
    }


def table(struck: list[Struck]) -> str:
    """Return what became of the kills, as a Markdown table."""
    lines = [
        "| command | renames and removals | killed before | ended well | other products | torn "
        "files |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one.command for one in struck):
        rows = [one for one in struck if one.command == name]
        counts = (
            rows[0].of,
            len(rows),
            sum(one.code == 0 for one in rows),
            sum(not one.same for one in rows),
            sum(one.torn for one in rows),
        )
        lines.append(f"| {name} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Strike, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=None, help="places of each command; all")
    parser.add_argument("--commands", nargs="*", default=None)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--told", action="store_true", help="strike no more; tell of what was")
    parser.add_argument("--write", action="store_true", help="fill docs/results.md")
    options = parser.parse_args()
    folder = options.folder / "kills"
    if options.told:
        struck = read(folder / "kills.jsonl")
    else:
        struck = strike_all(folder, options.points, options.commands)
    print(table(struck))
    for one in struck:
        if one.wrong:
            print(one)
    if options.write:
        fill("fault-kills", table=table(struck), kills=str(len(struck)))
    sys.exit(1 if any(one.wrong for one in struck) else 0)


if __name__ == "__main__":
    main()
