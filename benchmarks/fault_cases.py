"""Trouble from the field, case by case: input, expected, got.

The cases lie outside the repository (`--cases`): a folder each, with `case.sh` and `expected.md`,
and scripts in `reliability` that exit 0 where the product does right. Each is run in a copy; what
came of it stands in `cases.jsonl` of the folder and is not run again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fault_process import apart
from benchmarks.fault_verdicts import JUDGES, Ran
from benchmarks.results import fill

FOLDER = Path("runs/verify/faults")
CASES = Path("../shared/cases")
_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 900
_MOVED = {
    "flows.watching.watchbook": "flows.watch.ledger",
    "flows.watching.watchruns": "flows.watch.launch",
    "flows.watching.watch": "flows.watch.watch",
    "from flows import workplace as wp\\nwp.RESERVE_BYTES = wp.BYTES_PER_PIXEL": (
        "from flows.run import workspace as wp\\nwp._RESERVE_BYTES = wp.BYTES_PER_PIXEL"
    ),
    "truncate -s 400M {W}": "truncate -s 1G {W}",
    '"watch":{"feed":': '"watch":{"publish_unknown":True,"feed":',
}
"""Names that scripts inject a fault into, as they were and as they are; and what a watch needs to
map at all with the checkpoint of the scripts: room on the disk, and leave to use it."""
_NEEDS_ROOT = ("00", "06", "11")
_PLACE = re.compile(r"(?:(?<=[\s'`(])|^)/(?:[\w.-]+/)+")
"""A folder of the machine that the cases were run on."""
_MARKS = re.compile(r"^(?:RIGHT|WRONG): ")


@dataclass(frozen=True)
class Case:
    """What came of a case."""

    name: str
    given: str
    expected: str
    got: str
    right: bool


def run_all(cases: Path, folder: Path, names: list[str]) -> list[Case]:
    """Return what came of every case, those of earlier calls included; one line each in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    book = folder / "cases.jsonl"
    known = {one.name: one for one in read(book)}
    for name, path in _found(cases):
        if name in known and name not in names:
            continue
        if names and name not in names:
            continue
        known[name] = _case(name, path, folder) if path.is_dir() else _script(name, path, folder)
        with book.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(known[name]), ensure_ascii=False) + "\n")
        print(name, "right" if known[name].right else "WRONG", known[name].got, flush=True)
    return [known[name] for name, _ in _found(cases) if name in known]


def read(book: Path) -> list[Case]:
    """Return what has come of cases so far, the last of each."""
    lines = book.read_text("utf-8").splitlines() if book.exists() else []
    found = [Case(**json.loads(line)) for line in lines]
    last = {one.name: one for one in found}
    return [last[name] for name in sorted(last)]


def _found(cases: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(cases.iterdir()):
        if (path / "case.sh").is_file():
            yield path.name, path
    for path in sorted((cases / "reliability").iterdir()):
        if path.name[:2].isdigit():
            yield f"reliability/{path.stem}", path


def _environment(scratch: Path) -> dict[str, str]:
    """Return an environment of one thread whose `coslide` and `python` are this checkout's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    ours = {"PATH": programs, "PYTHONPATH": str(_ROOT), "TMPDIR": str(scratch)}
    return kept | ours | {"OMP_NUM_THREADS": "1", "COSLIDE_ROOT": str(_ROOT)}


def _scratch(folder: Path, name: str) -> Path:
    scratch = (folder / "cases" / name).resolve()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return scratch


def _case(name: str, path: Path, folder: Path) -> Case:
    """Return what came of a folder with `case.sh`."""
    where = _scratch(folder, name)
    shutil.copytree(path, where, dirs_exist_ok=True)
    subprocess.run(["chmod", "-R", "u+w", str(where)], check=True)
    lines = [line for line in (where / "case.sh").read_text().splitlines() if line[:1] != "#"]
    runs = [_ran(line, where) for line in lines if line.strip()]
    title, _, rest = (where / "expected.md").read_text("utf-8").partition("\n")
    right = re.search(r"Right: (.*?)\nToday: ", rest, re.DOTALL)
    expected = " ".join(right[1].split()) if right else ""
    defects = [run.code for run in runs if run.code == 1 or "Traceback" in run.err]
    try:
        good, got = JUDGES[name[:2]](runs, where)
    except (LookupError, ValueError, TypeError) as error:  # an answer without what is looked for
        good, got = False, f"{'; '.join(run.got() for run in runs)} ({error!r})"
    shutil.rmtree(where)
    return Case(name, title.removeprefix("# "), expected, got, good and not defects)


def _ran(line: str, where: Path) -> Ran:
    """Return how a line of a case ended; a plain command of ours in a fork of this process, which
    has loaded what it needs.
    """
    cleared = re.match(r"rm -rf out; *(?=coslide )", line)
    if cleared:
        shutil.rmtree(where / "out", ignore_errors=True)
        line = line[cleared.end() :]
    if line.startswith("coslide ") and ";" not in line:
        return _forked(shlex.split(line)[1:], where)
    # a folder before ours on the path stays before it
    line = line.replace("PYTHONPATH=mine", "PYTHONPATH=mine:$PYTHONPATH")
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=where,
        env=_environment(where),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def _forked(arguments: list[str], where: Path) -> Ran:
    out, err = where / ".out", where / ".err"

    def work() -> tuple[int, str]:
        from flows.cli import main

        os.chdir(where)
        for descriptor, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        try:
            main(arguments)
        except SystemExit as left:
            return left.code if isinstance(left.code, int) else 1, ""
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0, ""

    (ended,) = apart([work], _PATIENCE_S)
    return Ran(ended.code, out.read_text("utf-8"), err.read_text("utf-8"))


def _script(name: str, path: Path, folder: Path) -> Case:
    """Return what came of a script that judges by itself."""
    scratch = _scratch(folder, path.stem)
    copied = scratch / "reliability"
    shutil.copytree(path.parent, copied)
    subprocess.run(["chmod", "-R", "u+w", str(copied)], check=True)
    for each in copied.rglob("*.py"):
        text = each.read_text("utf-8")
        for old, new in _MOVED.items():
            text = text.replace(old, new)
        each.write_text(text)
    text = (copied / path.name).read_text("utf-8")
    program = sys.executable if path.suffix == ".py" else "bash"
    if path.name[:2] in _NEEDS_ROOT and os.geteuid():
        return Case(name, path.stem[3:], _told(text), "not run: it needs root", right=False)
    with tempfile.TemporaryDirectory(prefix="case-") as outside:  # mounts: short paths, no tests
        done = subprocess.run(
            [program, str(copied / path.name)],
            cwd=_ROOT,
            env=_environment(scratch) | {"TMPDIR": outside},
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    shutil.rmtree(scratch)
    given = path.stem[3:].replace("_", " ")
    got = _MARKS.sub("", " ".join(said[-3:]))[:300]
    return Case(name, given, _told(text), got, done.returncode == 0)


def _told(text: str) -> str:
    """Return what a script says of itself."""
    found = re.match(r'"""(.*?)"""', text, re.DOTALL)
    lines = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    return " ".join((found[1] if found else " ".join(lines)).split())


def table(cases: list[Case]) -> str:
    """Return the cases as a Markdown table."""
    lines = ["| input | expected | got | right |", "|---|---|---|---|"]
    for one in cases:
        got = _PLACE.sub("…/", one.got)
        cells = (one.given, one.expected, got, "yes" if one.right else "**no**")
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--again", nargs="*", default=[], help="run these only, and anew")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--told", action="store_true", help="run no more; tell of what was run")
    parser.add_argument("--write", action="store_true", help="fill docs/results.md")
    options = parser.parse_args()
    if not options.told and not options.cases.is_dir():
        print(f"There are no cases at {options.cases}: nothing was run. Name them by --cases.")
        return
    for module in ("flows.respond", "flows.refresh", "flows.evaluate", "flows.cli"):
        importlib.import_module(module)  # once, not in every process
    if options.told:
        cases = read(options.folder / "cases.jsonl")
    else:
        cases = run_all(options.cases, options.folder, options.again)
    wrong = [one for one in cases if not one.right]
    print(f"{len(cases) - len(wrong)} of {len(cases)} right")
    print("\n".join(f"{one.name}: {one.got}" for one in wrong))
    if options.write and not options.again:
        counts = {"cases": str(len(cases)), "right": str(len(cases) - len(wrong))}
        fill("fault-cases", table=table(cases), **counts)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
