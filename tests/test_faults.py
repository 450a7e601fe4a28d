"""The hostile inputs and the kills of `make verify-faults`, in small."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks.fault_cases import run_all as run_cases
from benchmarks.fault_cases import table as table_of_cases
from benchmarks.fault_damage import KINDS
from benchmarks.fault_damage import spoil as damage
from benchmarks.fault_inputs import spoil
from benchmarks.fault_kills import hooked
from benchmarks.fault_process import apart
from benchmarks.fault_readers import READERS, make_ground
from benchmarks.faults import ARGUMENTS, Tried, table, wrongs
from configs.files import replacing, sweep, write_text

EACH = 4


def tried_in(folder: Path, inputs: int) -> tuple[int, list[Tried]]:
    """Return (exit code, what the inputs came to), tried in a fresh process."""
    asked = ["--folder", str(folder), "--inputs", str(inputs)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", *asked],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    lines = (folder / "inputs.jsonl").read_text().splitlines()
    print(done.stdout)
    return done.returncode, [Tried(**json.loads(line)) for line in lines]


def test_every_reader_refuses_in_words(tmp_path: Path) -> None:
    inputs = EACH * (len(READERS) + 1)
    code, tried = tried_in(tmp_path, inputs)
    assert not list(wrongs(tried))
    assert (code, len(tried)) == (0, inputs)
    assert {one.reader for one in tried} == {ARGUMENTS, *(reader.name for reader in READERS)}
    assert sum(one.code > 1 for one in tried) > inputs / 4
    assert tried_in(tmp_path, inputs) == (code, tried), "nothing is tried twice"


def test_the_good_files_are_good(tmp_path: Path) -> None:
    make_ground(tmp_path / "ground")
    for reader in READERS:
        reader.read(tmp_path / "ground")


@pytest.mark.parametrize("syntax", ["bytes", "json", "yaml", "text"])
def test_a_number_is_an_input_for_ever(syntax: str) -> None:
    good = b'{"a": [1, 2, {"b": "words"}], "c": 0.5}' * (1 if syntax in ("json", "yaml") else 50)
    made = [spoil(good, syntax, random.Random(f"0 {n}")) for n in range(40)]  # type: ignore[arg-type]
    again = [spoil(good, syntax, random.Random(f"0 {n}")) for n in range(40)]  # type: ignore[arg-type]
    assert made == again
    assert len({one.content for one in made}) > 20
    assert all(one.content != good or "twice" in one.words for one in made if one.cut_short)


def test_what_is_wrong_is_told_apart() -> None:
    def broken() -> tuple[int, str]:
        raise ValueError("x")

    def crashed() -> tuple[int, str]:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0, ""

    def greedy() -> tuple[int, str]:
        return 5, f"out of memory {len(bytearray(7 * 2**30))}"

    ended = list(apart([lambda: (2, "no"), broken, crashed, lambda: (0, ""), greedy]))
    assert [one.code for one in ended] == [2, 1, -9, 0, 1]
    tried = [Tried("x", n, "words", *one, silent=n == 3) for n, one in enumerate(ended)]
    assert [one.wrong for one in tried] == [False, True, True, True, True]
    assert "| x | 5 | 1 | 1 | 2 | 1 | 0 | 1 |" in table(tried)


def test_a_kill_before_any_rename_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """Whatever is killed, the file is whole, and the same again succeeds."""
    path, folder = tmp_path / "x.yaml", tmp_path / "samples"

    def write(at: int | None = None) -> tuple[int, str]:
        told = hooked(tmp_path, at)
        write_text(path, "new")
        if not folder.exists():
            with replacing(folder) as part:
                part.mkdir()
                write_text(part / "inner", "new")
        return told(), ""

    (whole,) = apart([write])
    assert whole.code >= 3
    for at in range(1, whole.code + 1):
        shutil.rmtree(folder)
        path.write_text("old")
        (ended,) = apart([partial(write, at)])
        assert ended.code == -9, at
        assert path.read_text() in ("old", "new")
        assert not folder.exists() or (folder / "inner").read_text() == "new"
        sweep(tmp_path)
        assert not list(tmp_path.rglob(".*.part"))
        assert next(apart([write])).code > 0
        assert path.read_text() == (folder / "inner").read_text() == "new"


def test_cases_are_judged_by_what_their_commands_say(tmp_path: Path) -> None:
    """Each is run once, in a copy; what is wrong is told apart from what is right."""
    cases, book = tmp_path / "cases", tmp_path / "book"
    said = {"14-swapped": "142.4 is no latitude", "22-points": "no coordinate reference system"}
    for name, message in said.items():
        (cases / name).mkdir(parents=True)
        answer = json.dumps({"status": "error", "message": message})
        (cases / name / "case.sh").write_text(f"#!/bin/sh\ntouch here; echo '{answer}'; exit 2\n")
        (cases / name / "expected.md").write_text(
            "# A file\nRight: exit 2,\nin words.\nToday: 1.\n"
        )
    (cases / "reliability").mkdir()
    script = '"""Ends\nwell."""\nprint("WRONG: it did not"); raise SystemExit(1)\n'
    (cases / "reliability" / "03_ends_well.py").write_text(script)
    found = run_cases(cases, book, [])
    assert [one.right for one in found] == [True, False, False]
    assert (found[0].given, found[0].expected) == ("A file", "exit 2, in words.")
    assert (found[2].given, found[2].expected, found[2].got) == (
        "ends well",
        "Ends well.",
        "it did not",
    )
    assert table_of_cases(found).count("**no**") == 2
    assert not list(cases.rglob("here")), "nothing is written among the cases"
    (cases / "14-swapped" / "case.sh").write_text("exit 1\n")
    assert run_cases(cases, book, []) == found, "nothing is run twice"
    again = run_cases(cases, book, ["14-swapped"])
    assert [one.right for one in again] == [False, False, False]


def test_a_file_is_damaged_in_each_way(tmp_path: Path) -> None:
    path = tmp_path / "x"
    left = {}
    for kind in KINDS:
        path.write_bytes(b"0123")
        damage(path, kind)
        left[kind] = path.read_bytes() if path.exists() else None
    assert left == {"emptied": b"", "lost": None, "cut in half": b"01", "a bit flipped": b"0133"}
