"""Checksums of what coslide makes, so that a change that should change nothing can be seen to
change nothing.

    python -m benchmarks.same_products make FOLDER       # six products, and FOLDER/checksums.json
    python -m benchmarks.same_products compare A B       # two such folders, or their checksums.json

Only the command line is used, so the same script runs on any earlier state of the tree (put it
first on PYTHONPATH). A kind that is done is not made again; `iburi` needs the real data beside the
repository and is left out where that is not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import yaml

from benchmarks.dask_workers import Workers
from benchmarks.kill_ground import command

ROOT = Path.cwd()
TIMELESS = (".gpkg", ".tif", ".csv", ".html", ".png", ".npz", ".safetensors")
"""Endings of products that hold neither a time of the run nor the machine."""
SENTENCES = ("layer_styles", "summary", "event")
"""Layers of a GeoPackage that hold sentences."""
DATED = "evaluation.gpkg"
"""Says when it was written."""
WORDED = (".html", ".csv", ".gpkg")
"""Of these, what holds sentences: they may change where only words were changed (`compare
--words`).
"""


def coslide(*arguments: str) -> None:
    """Run a verb with one thread and no server.

    Raises:
        CalledProcessError: it failed.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = {"OMP_NUM_THREADS": "1", "PREFECT_LOGGING_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "-q", *arguments],
        check=True,
        env=clean | home,
        stdout=subprocess.DEVNULL,
    )


def demo(folder: Path) -> None:
    """Map the simulated earthquake of `make demo`."""
    coslide("demo", "--out", str(folder))


def iburi(folder: Path) -> None:
    """Map the real Iburi scene."""
    archive = ROOT / "configs" / "archives" / "iburi-2018.yaml"
    preset = ROOT / "configs" / "presets" / "iburi-2018.yaml"
    coslide(
        "respond", "--config", str(preset), "--source", f"archive:{archive}", "--out", str(folder)
    )


def refresh(folder: Path) -> None:
    """Map an event under cloud, then refresh it: most pixels of the second revision are carried
    over.
    """
    preset = folder / "preset.yaml"
    run = {
        "format": "coslide/run/1",
        "source": {"kind": "simulated", "landscape": "tephra-hills", "seed": 22},
        "model": {"checkpoint": "sim-tephra", "device": "cpu"},
        "keep": "all",
    }
    preset.write_text(yaml.safe_dump(run))
    where = ("--epicentre", "43.1,141.9", "--date", "2018-09-05T18:00", "--magnitude", "6.6")
    more = ("--radius-km", "2", "--name", "quake", "--as-of", "2018-09-10")
    coslide("respond", *where, *more, "--config", str(preset), "--out", str(folder))
    coslide("refresh", str(folder / "quake"), "--as-of", "2018-09-15")


def served(folder: Path) -> None:
    """Map an archive of noise as a flow run that Prefect tracks."""
    coslide(*command(folder, folder / "out", "--prefect"))


def dask(folder: Path) -> None:
    """Map the same archive on two Dask workers."""
    workers = Workers(folder / "dask")
    try:
        coslide(*command(folder, folder / "out", "--engine", workers.engine))
    finally:
        workers.close()


def training(folder: Path) -> None:
    """Cut simulated samples and train the quick variant of a paper's recipe on them."""
    samples = folder / "samples"
    coslide(
        "samples",
        str(ROOT / "configs" / "samples" / "quick-tephra-hills.yaml"),
        "--out",
        str(samples),
    )
    recipe = ROOT / "configs" / "recipes" / "resu-senet.yaml"
    changes = ("--quick", "--steps", "20", "--samples", str(samples))
    coslide("train", str(recipe), "--out", str(folder / "cards"), *changes)


KINDS: dict[str, Callable[[Path], None]] = {
    "demo": demo,
    "iburi": iburi,
    "refresh": refresh,
    "served": served,
    "dask": dask,
    "training": training,
}


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each timeless product below a folder, by its path there."""
    found = sorted(path for path in folder.rglob("*") if path.suffix in TIMELESS and path.is_file())
    kept = (path for path in found if ".zarr" not in str(path) and "archive" not in path.parts)
    return {
        str(path.relative_to(folder)): _sum(path, folder) for path in kept if path.name != DATED
    }


def _sum(path: Path, folder: Path) -> str:
    """Return a file's SHA-256; reports name the archive's folder and a hash with it: not a matter
    of the code.
    """
    content = path.read_bytes()
    if path.suffix == ".html":
        content = content.replace(str(folder).encode(), b"FOLDER")
        content = re.sub(rb"(request_id</dt><dd>)[0-9a-f]{16}", rb"\1", content)
    return hashlib.sha256(content).hexdigest()


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of what each GeoPackage below a folder says of landslides and images:
    every layer's rows, without descriptions, styles and metadata (which hold sentences).
    """
    found = {}
    for path in sorted(folder.rglob("*.gpkg")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            layers = [row[0] for row in file.execute("select table_name from gpkg_contents")]
            rows = {
                layer: file.execute(f'select * from "{layer}"').fetchall()
                for layer in sorted(layers)
                if layer not in SENTENCES
            }
        digest = hashlib.sha256(repr(rows).encode()).hexdigest()
        found[f"{path.relative_to(folder)} rows"] = digest
    return found


def make(folder: Path, kinds: list[str]) -> None:
    """Make the products of each kind that has none yet, and write all checksums."""
    for kind in kinds or list(KINDS):
        done = folder / f"{kind}.done"
        if done.exists() or (kind == "iburi" and not (ROOT.parent / "shared" / "real").exists()):
            continue
        (folder / kind).mkdir(parents=True, exist_ok=True)
        KINDS[kind](folder / kind)
        done.touch()
        print(f"{kind}: made", flush=True)
    made = [kind for kind in KINDS if (folder / f"{kind}.done").exists()]
    sums = {kind: checksums(folder / kind) | contents(folder / kind) for kind in made}
    (folder / "checksums.json").write_text(json.dumps(sums, indent=1))


def compare(one: Path, two: Path, words: bool) -> bool:
    """Print what differs between two folders, and return whether nothing does; `words`: sentences
    may.
    """
    read = [
        json.loads((path / "checksums.json" if path.is_dir() else path).read_text())
        for path in (one, two)
    ]
    same = True
    for kind in KINDS:
        first, second = (part.get(kind, {}) for part in read)
        names = sorted(first.keys() | second.keys())
        if words:
            names = [name for name in names if not name.endswith(WORDED)]
        differing = [name for name in names if first.get(name) != second.get(name)]
        same = same and bool(names) and not differing
        print(f"{kind}: {len(names)} products, {len(differing)} differ {' '.join(differing)}")
    return same


def main(arguments: list[str]) -> int:
    """Return 0 where the products were made, or are the same."""
    verb, *rest = arguments
    words = "--words" in rest
    rest = [part for part in rest if part != "--words"]
    if verb == "make":
        make(Path(rest[0]).absolute(), rest[1:])
        return 0
    return 0 if compare(Path(rest[0]), Path(rest[1]), words) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
