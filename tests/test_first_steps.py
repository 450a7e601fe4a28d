"""The first minutes at a shell: an environment that is not active, completion, how much is told."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import REPOSITORY

import flows.cli
from configs.bands import When
from configs.records import Scene
from flows.respond import headline
from flows.run.journal import progress
from flows.steps import _counted


def _make(folder: Path, **changes: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        ["make", "--silent"],
        cwd=folder,
        env=environment | changes,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_make_says_how_to_go_on(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    assert _make(tmp_path).endswith("Nothing is installed yet: make demo\n")
    command = tmp_path / ".venv" / "bin" / "coslide"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    assert "source .venv/bin/activate" in _make(tmp_path)
    assert "activate" not in _make(tmp_path, VIRTUAL_ENV=str(tmp_path / ".venv"))


def test_python_without_the_environment_is_told_so() -> None:
    bare = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "coslide", "respond"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bare.returncode == 2
    assert "`click` is not installed in" in bare.stderr
    assert "Give: source " in bare.stderr or "Give: make" in bare.stderr
    assert "Traceback" not in bare.stderr


@pytest.mark.parametrize(
    ("words", "place", "offered"),
    [
        ("coslide resp", 1, "plain,respond"),
        ("coslide respond --choose", 2, "plain,--choose-by"),
        ("coslide respond --choose-by ", 3, "plain,study"),
    ],
)
def test_the_shell_completes(words: str, place: int, offered: str) -> None:
    asked = {
        "_COSLIDE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(place),
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from coslide.packages import main; main()"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert offered in done.stdout.splitlines(), done.stderr


@pytest.fixture
def _as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in flows.cli._PACKAGES]
    levels = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    for one, level, handlers in levels:
        one.setLevel(level)
        one.handlers = handlers


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize(
    ("options", "level"),
    [
        (["cards"], logging.INFO),
        (["-v", "cards"], logging.DEBUG),
        (["cards", "--verbose"], logging.DEBUG),
        (["--quiet", "cards"], logging.WARNING),
        (["cards", "-q"], logging.WARNING),
    ],
)
def test_how_much_is_told_stands_before_or_after_the_verb(options: list[str], level: int) -> None:
    with pytest.raises(SystemExit) as left:
        flows.cli.main(options)
    assert left.value.code == 0
    heard = [one for one in logging.getLogger("flows").handlers if one.get_name()]
    assert [one.level for one in heard] == [level]
    flags = {logging.DEBUG: ["--verbose"], logging.WARNING: ["--quiet"]}
    assert flows.cli.talk_flags() == flags.get(level, [])


def test_every_verb_has_both_options() -> None:
    import click

    for verb in flows.cli.VERBS:
        command = flows.cli.coslide.get_command(click.Context(flows.cli.coslide), verb)
        assert command is not None
        names = [option for parameter in command.params for option in parameter.opts]
        assert {"-v", "--verbose", "-q", "--quiet"} <= set(names), verb
        assert len(names) == len(set(names)), f"{verb}: an option stands twice"


def test_took_is_the_time_by_the_clock() -> None:
    summary = {
        "event": "e",
        "revision": 1,
        "words": [],
        "warnings": [],
        "products": {"landslides.gpkg": "/x/r001/landslides.gpkg"},
        "seconds": {"pull": 40.0, "map": 50.0},
        "wall_seconds": 12.3,
    }
    assert headline(summary).endswith("took 12 s")


def test_scenes_are_one_line_however_many_there_are() -> None:
    moment = datetime(2018, 9, 1, tzinfo=UTC)
    scene = Scene(id="s", when=When.POST, acquired=moment, product="S2")
    scenes = tuple(replace(scene, id=str(n), acquired=moment.replace(day=n)) for n in range(2, 30))
    told = _counted((replace(scene, when=When.PRE), *scenes))
    assert told == "scenes: 1 pre (2018-09-01), 28 post (2018-09-02 to 2018-09-29)"


def test_the_end_of_a_step_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, "flows"), progress("mapping", "tile") as advance:
        for done in (1, 64, 64, 64):
            advance(done, 64)
    assert [record.getMessage() for record in caplog.records] == ["mapping: 64 of 64 tiles"]
