"""Disks that fail: the power is cut, or the disk is full.

The power: a command works on ext4 in a file, mounted as a loop device; that file is copied without
a sync, before a rename or removal and after the answer, which is what a disk holds at that moment.
The copy is mounted: every revision in it must be whole or not there, and the same command end well.

Full: a command works on a tmpfs of so many bytes: exit 5, and with more room the same command ends
with the products of an undisturbed run. Both need root.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fault_kills import FOLDER, give, products, undisturbed, warmed
from benchmarks.results import fill

POWER = ("respond", "refresh", "watch")
FULL = ("respond", "refresh")
_IMAGE_MB = 600
SIZES = 20


@dataclass(frozen=True)
class Failed:
    """What a disk that failed came to."""

    fault: str
    """power or full."""
    command: str
    at: str
    code: int
    """Of the command whose disk was full; 0 where the power was cut."""
    torn: str
    """What of the revisions is neither whole nor absent."""
    again: int
    """Of the same command, given again."""
    same: bool
    """Whether its products are those of an undisturbed run."""
    message: str

    @property
    def wrong(self) -> bool:
        """Return whether the product did not do right."""
        return bool(self.torn) or self.code not in (0, 5) or self.again != 0 or not self.same


@contextmanager
def mounted(where: Path, *options: str) -> Iterator[Path]:
    """Yield a folder on which something is mounted."""
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)  # not lazily: loop devices are few


def fail_all(folder: Path, points: int, sizes: int, faults: list[str]) -> list[Failed]:
    """Return what became of every fault, those of earlier calls included."""
    folder = folder.resolve()
    commands = warmed(folder)
    book = folder / "disks.jsonl"
    lines = book.read_text("utf-8").splitlines() if book.exists() else []
    known = [Failed(**json.loads(line)) for line in lines]
    ways = {"power": (POWER, points, _cut), "full": (FULL, sizes, _fill)}
    for fault in faults:
        names, count, way = ways[fault]
        for name in names:
            done = {one.at for one in known if (one.fault, one.command) == (fault, name)}
            if len(done) >= count:
                continue
            start, whole, of = undisturbed(folder, commands, name)
            for number in range(count):
                at = _moment(fault, number, count, of, whole)
                if at not in done:
                    known.append(way(folder, start, name, commands[name], at, products(whole)))
                    with book.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(known[-1]), ensure_ascii=False) + "\n")
    return known


def _moment(fault: str, number: int, count: int, of: int, whole: Path) -> str:
    """Return where a fault strikes: before a rename, after the answer, at so many kilobytes."""
    if fault == "power":
        return "the answer" if number == 0 else f"{1 + (number - 1) * of // max(count - 1, 1)}"
    needs = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    return f"{round(needs / 1024 * (number + 1) / count)} kB"


def _cut(
    folder: Path, start: Path, name: str, command: list[str], at: str, right: dict[str, str]
) -> Failed:
    """Cut the power at a moment of a command."""
    image, held = folder / "image", folder / "held"
    for path in (image, held):
        path.unlink(missing_ok=True)
    subprocess.run(["truncate", "-s", f"{_IMAGE_MB}M", str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    taking = ["cp", "--sparse=always", str(image), str(held)]
    with mounted(folder / "disk", "-o", "loop", str(image)) as disk:
        work = disk / "work"
        shutil.copytree(start, work)
        os.sync()
        if at == "the answer":
            give(command, work)
            subprocess.run(taking, check=True)
        else:
            give(command, work, int(at), lambda: subprocess.run(taking, check=True))
    with mounted(folder / "disk", "-o", "loop", str(held)) as disk:
        work = disk / "work"
        torn = _torn(work)
        ended, _ = give(command, work)
        got, extra = products(work), {}
        if at == "the answer":  # it had ended: what it makes now is another revision
            extra = {one: total for one, total in got.items() if one not in right}
        same = {one: total for one, total in got.items() if one not in extra} == right
    return Failed("power", name, at, 0, torn, ended.code, same, ended.message[-200:])


def _torn(work: Path) -> str:
    """Return what of the revisions below a folder is neither whole nor absent."""
    from flows.verify import verify

    revisions = sorted(work.glob("*/*/r[0-9][0-9][0-9]"))
    found = [fault for one in revisions for told in verify(one) for fault in told.faults]
    states = [path for path in work.glob("*/*/event.yaml") if not path.read_bytes()]
    return "; ".join([*found, *(f"{path.name} is empty" for path in states)])


def _fill(
    folder: Path, start: Path, name: str, command: list[str], at: str, right: dict[str, str]
) -> Failed:
    """Give a command a disk that is too small, then a larger one."""
    from flows.run import workspace

    began = sum(path.stat().st_size for path in start.rglob("*") if path.is_file())
    size = began + 1024 * (int(at.split()[0]))
    with mounted(folder / "disk", "-t", "tmpfs", "-o", f"size={size}", "tmpfs") as disk:
        work = disk / "work"
        shutil.copytree(start, work)
        kept = workspace.BYTES_PER_PIXEL, workspace._RESERVE_BYTES
        workspace.BYTES_PER_PIXEL = workspace._RESERVE_BYTES = 0  # it would refuse to begin
        ended, _ = give(command, work)
        subprocess.run(["mount", "-o", "remount,size=512M", str(disk)], check=True)
        again, _ = give(command, work)
        workspace.BYTES_PER_PIXEL, workspace._RESERVE_BYTES = kept
        got = products(work)
        if ended.code == 0:  # there was room enough: a second revision was asked for
            got = {one: total for one, total in got.items() if one in right}
        torn = _torn(work)
    return Failed("full", name, at, ended.code, torn, again.code, got == right, ended.message)


def table(failed: list[Failed]) -> str:
    """Return what became of the disks, as a Markdown table."""
    lines = [
        "| fault | command | struck | exit 5 | other exits | torn | ended well | other products |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for fault, name in dict.fromkeys((one.fault, one.command) for one in failed):
        rows = [one for one in failed if (one.fault, one.command) == (fault, name)]
        counts = (
            len(rows),
            sum(one.code == 5 for one in rows),
            sum(one.code not in (0, 5) for one in rows),
            sum(bool(one.torn) for one in rows),
            sum(one.again == 0 for one in rows),
            sum(not one.same for one in rows),
        )
        words = {"power": "power cut", "full": "disk full"}[fault]
        lines.append(f"| {words} | {name} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Fail, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=6, help="power cuts of each command")
    parser.add_argument("--sizes", type=int, default=SIZES, help="full disks of each command")
    parser.add_argument("--faults", nargs="*", default=["power", "full"])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--write", action="store_true", help="fill docs/results.md")
    options = parser.parse_args()
    if os.geteuid():
        print("Disks are mounted by root only: nothing was tried.")
        return
    failed = fail_all(options.folder / "disks", options.points, options.sizes, options.faults)
    print(table(failed))
    print("\n".join(str(one) for one in failed if one.wrong))
    if options.write:
        fill("fault-disks", table=table(failed), struck=str(len(failed)))
    sys.exit(1 if any(one.wrong for one in failed) else 0)


if __name__ == "__main__":
    main()
