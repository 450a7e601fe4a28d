"""The guide to catalogues: what it tells one to type is accepted, what it names exists."""

from __future__ import annotations

import re
import shlex

import pytest
from conftest import REPOSITORY
from test_deploy import check_command

from configs.stac import PRESETS, StacConfig

PAGE = (REPOSITORY / "docs" / "stac.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Return every line of the page's shell blocks, and the options it names in passing."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    passing = re.findall(r"`(coslide [^`]+|--[^`\n]+ [^`\n]+)`", PAGE)
    return lines + [
        line if line.startswith("coslide") else f"coslide respond {line}" for line in passing
    ]


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_page_is_accepted(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "coslide":
        check_command(words)
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    else:
        assert line.startswith(("git clone ", "source .venv/bin/activate"))


def test_what_the_page_names_exists() -> None:
    named = set(re.findall(r"source\.stac\.([a-z_]+)", PAGE))
    assert named
    assert named <= set(StacConfig.model_fields)
    assert set(re.findall(r"stac:([a-z]+-[a-z]+)", PAGE)) == set(PRESETS)
    assert all((REPOSITORY / path).exists() for path in re.findall(r"`(gee/[^`]+)`", PAGE))
