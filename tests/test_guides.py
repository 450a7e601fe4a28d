"""The guides to live sources: what they tell one to type is accepted, what they name exists."""

from __future__ import annotations

import re
import shlex

import pytest
from conftest import REPOSITORY
from test_deploy import check_command

from configs.earthengine import EarthEngineConfig
from configs.stac import PRESETS, StacConfig
from gee.earthengine import refusals

PAGES = {
    name: (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("stac", "earth-engine")
}
SHELL = ("git clone ", "source .venv/bin/activate", "earthengine authenticate", "pip install ")


def commands() -> list[str]:
    """Return every line of the pages' shell blocks, and the options they name in passing."""
    text = "\n".join(PAGES.values())
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    passing = re.findall(r"`(coslide [^`]+|--[^`\n]+ [^`\n]+)`", text)
    return lines + [
        line if line.startswith("coslide") else f"coslide respond {line}" for line in passing
    ]


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_pages_is_accepted(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "coslide":
        check_command(words)
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "export":
        name = words[1].partition("=")[0]
        session = (REPOSITORY / "gee" / "earthengine" / "session.py").read_text(encoding="utf-8")
        assert f'"{name}"' in session
    else:
        assert line.startswith(SHELL)


def test_what_the_pages_name_exists() -> None:
    for page, section, model in (
        ("stac", "stac", StacConfig),
        ("earth-engine", "earthengine", EarthEngineConfig),
    ):
        named = set(re.findall(rf"source\.{section}\.([a-z_]+)", PAGES[page]))
        assert named
        assert named <= set(model.model_fields)
    assert set(re.findall(r"stac:([a-z]+-[a-z]+)", PAGES["stac"])) == set(PRESETS)
    paths = re.findall(r"`(gee/[^`]+)`", "".join(PAGES.values()))
    assert all((REPOSITORY / path).exists() for path in paths)


def test_the_way_to_earth_engine_tells_what_its_refusals_ask_for() -> None:
    way = PAGES["earth-engine"].partition("## From nothing to a map")[2].partition("\n## ")[0]
    asked = " ".join(rule.remedy for rule in refusals.RULES)
    roles = set(re.findall(r"`((?:Earth Engine|Service Usage) [A-Z][A-Za-z ]+)`", asked))
    assert len(roles) == 2
    links = {refusals.ACCESS, refusals.TIERS, *roles}
    assert not [one for one in links if one not in way]
    assert set(re.findall(r"`(earthengine authenticate)`", asked)) <= set(way.splitlines())
