"""Every file of unfinished work and of the latest revision is damaged in turn: the same command, or
a refresh, ends with the products of an undisturbed run or says what is wrong, and never for ever.

A file is emptied, lost, cut in half or has a bit flipped (which of them goes by its number and the
seed). What was damaged stands in ``damage.jsonl`` of the folder and is not damaged again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.fault_kills import FOLDER, copy, give, products, warmed
from benchmarks.fault_process import apart
from benchmarks.results import fill

KINDS = ("emptied", "lost", "cut in half", "a bit flipped")
WHERE = ("unfinished work", "latest revision")


@dataclass(frozen=True)
class Damaged:
    """What damage to one file came to."""

    where: str
    file: str
    kind: str
    code: int
    """Exit code of the command that meets it."""
    same: bool
    """Whether the products are those of an undisturbed run."""
    told: bool
    """Whether it was said: by the command, or by `coslide verify`."""
    again: int
    """Exit code of what must help in the end: the same command once more, or `respond`."""
    message: str

    @property
    def wrong(self) -> bool:
        """Return whether the product did not do right."""
        return self.code not in (0, 2, 3, 4, 5) or self.silent or self.again != 0

    @property
    def silent(self) -> bool:
        """Return whether other products came of it without a word."""
        return self.code == 0 and not self.same and not self.told


def spoil(path: Path, kind: str) -> None:
    """Damage a file."""
    content = bytearray(path.read_bytes())
    if kind == "lost":
        path.unlink()
        return
    if kind == "a bit flipped" and content:
        content[len(content) // 2] ^= 1
    half = len(content) // 2
    path.write_bytes(b"" if kind == "emptied" else content[:half] if "half" in kind else content)


def damage_all(folder: Path, most: int | None, seed: int) -> list[Damaged]:
    """Return what became of every file, those of earlier calls included."""
    folder = folder.resolve()
    commands = warmed(folder)
    book = folder / "damage.jsonl"
    lines = book.read_text("utf-8").splitlines() if book.exists() else []
    found = [Damaged(**json.loads(line)) for line in lines]
    known = {(one.where, one.file) for one in found}
    for where, start, command in _grounds(folder, commands):
        whole = folder / "whole"
        copy(start, whole)
        ended, _ = give(command, whole)
        if ended.code:
            raise RuntimeError(f"{command} ends with {ended.code}: {ended.message}")
        right = products(whole)
        for number, file in enumerate(_files(start, where, most, seed)):
            if (where, file) in known:
                continue
            kind = KINDS[(number + seed) % len(KINDS)]
            tried = folder / "tried"
            copy(start, tried)
            spoil(tried / file, kind)
            one = _met(where, file, kind, tried, command, commands["respond"], right)
            found.append(one)
            with book.open("a", encoding="utf-8") as written:
                written.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
    return found


def _grounds(folder: Path, commands: dict[str, list[str]]) -> Iterator[tuple[str, Path, list[str]]]:
    """Yield (what is damaged, a folder where it lies, the command that meets it)."""
    start = folder / "start"
    shutil.rmtree(start, ignore_errors=True)
    start.mkdir()
    _killed_before_publishing(commands["respond"], start)
    yield WHERE[0], start, commands["respond"]
    shutil.rmtree(start)
    start.mkdir()
    ended, _ = give(commands["respond"], start)
    if ended.code:
        raise RuntimeError(f"respond ends with {ended.code}: {ended.message}")
    yield WHERE[1], start, commands["refresh"]


def _killed_before_publishing(command: list[str], folder: Path) -> None:
    def work() -> tuple[int, str]:
        from flows.run import workspace

        def kill(*_: Any, **__: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        monkey: Any = workspace
        monkey.publish = kill
        return _called(command, folder)

    (ended,) = apart([work], 900)
    if ended.code != -signal.SIGKILL:
        raise RuntimeError(f"{command} was not killed: {ended}")


def _called(command: list[str], folder: Path) -> tuple[int, str]:
    from flows.cli import main

    os.chdir(folder)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(command)
        except SystemExit as left:
            return left.code if isinstance(left.code, int) else 1, out.getvalue()
    return 0, out.getvalue()


def _files(start: Path, where: str, most: int | None, seed: int) -> list[str]:
    root = start / "out" / "quake"
    root = root / "r001" if where == WHERE[1] else root / ".work"
    every = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    names = [str(path.relative_to(start)) for path in every if path.name != "answer.json"]
    return sorted(random.Random(seed).sample(names, min(most or len(names), len(names))))


def _met(
    where: str,
    file: str,
    kind: str,
    tried: Path,
    command: list[str],
    respond: list[str],
    right: dict[str, str],
) -> Damaged:
    """Return what a command made of a damaged file."""
    told = where == WHERE[1] and _verified(tried)
    meet: Callable[[list[str]], tuple[int, str]] = lambda one: next(  # noqa: E731
        (ended.code, ended.message) for ended in apart([lambda: _called(one, tried)], 900)
    )
    code, message = meet(command)
    told = told or "since it was published" in message
    got = {name: total for name, total in products(tried).items() if name != file}
    same = got == {name: total for name, total in right.items() if name != file}
    again = code if code == 0 else meet(command)[0]
    if again and where == WHERE[1]:  # what it says is to map the event anew
        again = meet(respond)[0]
    return Damaged(where, file, kind, code, same, told, again, message[-300:])


def _verified(tried: Path) -> bool:
    """Return whether `coslide verify` finds fault with the revision."""
    asked = ["-q", "verify", "out/quake/r001", "--json"]
    (ended,) = apart([lambda: _called(asked, tried)], 900)
    return ended.code != 0


def table(found: list[Damaged]) -> str:
    """Return what became of the damage, as a Markdown table."""
    lines = [
        "| damaged | how | files | same products | told | refused in words | exit 1 or crashed | "
        "silent | stuck |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for where in WHERE:
        for kind in KINDS:
            rows = [one for one in found if (one.where, one.kind) == (where, kind)]
            counts = (
                len(rows),
                sum(one.code == 0 and one.same for one in rows),
                sum(one.told for one in rows),
                sum(one.code in (2, 3, 4, 5) for one in rows),
                sum(one.code not in (0, 2, 3, 4, 5) for one in rows),
                sum(one.silent for one in rows),
                sum(one.again != 0 for one in rows),
            )
            lines.append(f"| {where} | {kind} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main() -> None:
    """Damage, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=None, help="so many of each; all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--write", action="store_true", help="fill docs/results.md")
    options = parser.parse_args()
    found = damage_all(options.folder / "damage", options.files, options.seed)
    print(table(found))
    print("\n".join(str(one) for one in found if one.wrong))
    if options.write:
        fill("fault-damage", table=table(found), files=str(len(found)), seed=str(options.seed))
    sys.exit(1 if any(one.wrong for one in found) else 0)


if __name__ == "__main__":
    main()
