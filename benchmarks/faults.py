"""Hostile inputs to everything that reads what others have written (`make verify-faults`).

Each input is a good file spoilt in one way, or an odd argument; it is read in a forked process,
which a crash ends alone. Right is a refusal in words (exit 2 to 4), or being read where nothing can
tell. Wrong are exit 1 (a defect of ours), a traceback, a crash, a process that does not end, more
than 2 GB of memory, and **silence**: what a checksum or the form of the file must have told was
read all the same.

Resumable: what was tried stands in ``runs/verify/faults/inputs.jsonl`` and is not tried again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from benchmarks.fault_arguments import odd_arguments, read_arguments
from benchmarks.fault_inputs import Spoilt, spoil
from benchmarks.fault_process import MOST_MB, Ended, apart, place
from benchmarks.fault_readers import READERS, Reader, make_ground
from benchmarks.results import fill
from configs.errors import as_ours

_Item = TypeVar("_Item")
FOLDER = Path("runs/verify/faults")
ARGUMENTS = "arguments"
_BATCH = 50
"""Inputs that share a process."""


@dataclass(frozen=True)
class Tried:
    """What one input came to."""

    reader: str
    number: int
    words: str
    """What was done to it."""
    code: int
    """Exit code of the contract; 1 a defect; below 0 the signal that ended it."""
    message: str
    mb: int
    silent: bool

    @property
    def wrong(self) -> bool:
        """Return whether the product did not do right."""
        return self.code == 1 or self.code < 0 or self.mb > MOST_MB or self.silent


def try_all(folder: Path, inputs: int, seed: int = 0, readers: list[str] = []) -> list[Tried]:  # noqa: B006
    """Return what `inputs` inputs, shared out evenly among the readers, came to."""
    folder.mkdir(parents=True, exist_ok=True)
    ground = folder / "ground"
    if not ground.is_dir():
        shutil.rmtree(folder / "making", ignore_errors=True)
        maker = get_context("spawn").Process(target=make_ground, args=(folder / "making",))
        maker.start()  # apart: threads of its libraries must not be forked
        maker.join()
        if maker.exitcode:
            raise RuntimeError("the good files could not be made")
        (folder / "making").rename(ground)
    book = folder / "inputs.jsonl"
    done = [
        Tried(**json.loads(line))
        for line in (book.read_text("utf-8").splitlines() if book.exists() else ())
    ]
    known = {(one.reader, one.number) for one in done}
    names = readers or [*(reader.name for reader in READERS), ARGUMENTS]
    each = -(-inputs // len(names))
    _warm(ground)
    owed = [one for one in product(range(each), names) if (one[1], one[0]) not in known]
    with book.open("a", encoding="utf-8") as file:
        for batch in batched(owed, _BATCH):
            tries = [_Try(name, number, seed, ground, folder / "spoilt") for number, name in batch]
            ended = apart([one.read for one in tries])
            for tried in map(_Try.told, tries, ended):
                done.append(tried)
                file.write(json.dumps(asdict(tried)) + "\n")
                file.flush()
    return [one for one in done if one.reader in names and one.number < each]


def batched(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield items in batches."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _warm(ground: Path) -> None:
    """Import once what every try needs, by reading what is good; not what starts threads, which a
    forked process has not.
    """
    import tiles.samples  # noqa: F401

    warnings.simplefilter("ignore")
    for reader in READERS:
        if not reader.name.startswith("samples"):
            reader.read(ground)


@dataclass(frozen=True)
class _Try:
    """One input, and where it is laid out."""

    name: str
    number: int
    seed: int
    ground: Path
    spoilt: Path

    def _draw(self) -> random.Random:
        return random.Random(f"{self.seed} {self.name} {self.number}")

    @property
    def _reader(self) -> Reader:
        return next(one for one in READERS if one.name == self.name)

    def _made(self) -> tuple[Path, Spoilt]:
        good = self._reader.file(self.ground)
        return good, spoil(good.read_bytes(), self._reader.syntax, self._draw())

    def read(self) -> tuple[int, str]:
        """Return (exit code, message) of reading it."""
        shutil.rmtree(self.spoilt, ignore_errors=True)
        if self.name == ARGUMENTS:
            return read_arguments(odd_arguments(self._draw()), self.spoilt)
        good, made = self._made()
        top = good.relative_to(self.ground).parts[0]
        self.spoilt.mkdir(parents=True)
        if (self.ground / top).is_dir():
            shutil.copytree(self.ground / top, self.spoilt / top)
        else:
            for beside in self.ground.glob(f"{Path(top).stem}.*"):
                shutil.copy(beside, self.spoilt)
        self._reader.file(self.spoilt).write_bytes(made.content)
        try:
            self._reader.read(self.spoilt)
        except Exception as error:
            ours = as_ours(error)
            where = "" if ours.code != 1 else f" @ {place(error)}"
            return ours.code, ours.message[:300] + where
        return 0, ""

    def told(self, ended: Ended) -> Tried:
        """Return what it came to."""
        if self.name == ARGUMENTS:
            words, must = ascii(" ".join(odd_arguments(self._draw())))[:200], False
        else:
            good, made = self._made()
            changed = made.content != good.read_bytes()
            form = self._reader.whole and made.cut_short
            words, must = made.words, changed and (self._reader.compared or form)
        return Tried(self.name, self.number, words, *ended, must and ended.code == 0)


def table(tried: list[Tried]) -> str:
    """Return what each reader came to, as a Markdown table."""
    lines = [
        "| reader | inputs | refused in words | read | exit 1 | crashed or stuck | over 2 GB "
        "| silent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one.reader for one in tried):
        lines.append(f"| {name} " + _row([one for one in tried if one.reader == name]))
    return "\n".join([*lines, "| **all** " + _row(tried)])


def _row(rows: list[Tried]) -> str:
    counts = (
        len(rows),
        sum(one.code > 1 for one in rows),
        sum(one.code == 0 for one in rows),
        sum(one.code == 1 for one in rows),
        sum(one.code < 0 for one in rows),
        sum(one.mb > MOST_MB for one in rows),
        sum(one.silent for one in rows),
    )
    return "| " + " | ".join(f"{count:,}" for count in counts) + " |"


def wrongs(tried: list[Tried]) -> Iterator[str]:
    """Yield what did not do right, a line each."""
    for one in tried:
        if one.wrong:
            yield f"{one.reader} {one.number}: {one.words}: {one.code} {one.message} {one.mb} MB"


def main() -> None:
    """Try, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2400)
    parser.add_argument("--readers", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--write", action="store_true", help="fill docs/results.md")
    options = parser.parse_args()
    tried = try_all(options.folder, options.inputs, options.seed, options.readers)
    print(table(tried))
    print("\n".join(wrongs(tried)))
    if options.write:
        fill("faults", table=table(tried), inputs=f"{len(tried):,}", seed=str(options.seed))
    sys.exit(1 if any(one.wrong for one in tried) else 0)


if __name__ == "__main__":
    main()
