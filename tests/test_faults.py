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
