"""`--json`: exactly one object on standard output, as every parser reads it, from every verb."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from conftest import REPOSITORY

import flows.cli
from flows.cli import VERBS, coslide

QUAKE = ["--epicentre=42.93,142.41", "--date=2024-09-14", "--radius-km=1", "--source=simulated"]
LIGHT = {
    "cards": [], "inventories": [], "doctor": [], "watch": ["--verdicts"],
    "respond": ["--dry-run", *QUAKE, "--as-of=2024-11-20"],
}  # fmt: skip
"""Verbs that answer without work of minutes; what longer ones answer goes the same way."""


def _command(verb: str) -> click.Command:
    found = coslide.get_command(click.Context(coslide), verb)
    assert found is not None
    return found


def _takes_json(verb: str) -> bool:
    return any("--json" in option.opts for option in _command(verb).params)


def strictly(text: str) -> dict[str, Any]:
    """Return the one object of a text, NaN and Infinity refused as parsers of others do."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        flows.cli.main(list(arguments))
    return strictly(capsys.readouterr().out)


def test_every_verb_that_answers_has_it() -> None:
    assert [verb for verb in VERBS if not _takes_json(verb)] == ["serve"]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "serve"])
def test_a_wrong_request_is_one_object(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, verb, "--json", "--no-such-option")
    assert (found["status"], found["code"], found["error"]) == ("error", 2, "request")
    assert {"message", "remedy"} <= set(found)


@pytest.mark.parametrize("verb", LIGHT)
def test_an_answer_is_one_object(
    verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "status" in told(capsys, verb, "--json", *LIGHT[verb])


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_printed_but_by_the_one_strict_writer(verb: str) -> None:
    tree = ast.parse((REPOSITORY / "flows" / "commands" / f"{verb}.py").read_text())
    called = {ast.unparse(one.func) for one in ast.walk(tree) if isinstance(one, ast.Call)}
    assert not called & {"print", "click.echo", "sys.stdout.write", "json.dumps"}
    assert ("answer" in called) == _takes_json(verb)


def test_what_is_not_known_is_null_and_numbers_stay_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = ({"mmd": float("nan"), "score": [1.5, float("inf"), np.float64("nan"), np.float32(2)]},)
    flows.cli.answer({"rows": rows, "n": np.int64(3), "so": True, "nan": "NaN"}, True, "")
    found = strictly(capsys.readouterr().out)
    assert found["rows"] == [{"mmd": None, "score": [1.5, None, None, 2.0]}]
    assert (found["n"], found["so"], found["nan"]) == (3, True, "NaN")
