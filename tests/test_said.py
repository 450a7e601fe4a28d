"""What runs say is said in the language of their report and map: first lines and warnings too."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from small_archive import make_archive
from small_scene import about, small_scene

from configs.product import MapConfig, ProductConfig
from gee.archive.manifest import read_manifest
from inventory.outline.words import said, words_of
from inventory.publish import Manner, write_products

LANGUAGES = ("es",)
ROOMS = ("flows", "gee", "models", "inventory")
_PLACE = re.compile(r"\{\w+\}")
SHORTEST = 8
"""Characters of a stretch between two places that tell one sentence from others."""


def _sentences(language: str) -> list[dict[str, str]]:
    path = files("inventory") / "templates" / f"said.{language}.yaml"
    return list(yaml.safe_load(path.read_text(encoding="utf-8")))


def _source() -> str:
    """Return all our code, literals that stand one below the other joined."""
    paths = (path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(paths))
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_that_is_translated_is_said_somewhere(language: str) -> None:
    source = _source()
    for one in _sentences(language):
        for stretch in re.split(r"\{\w+\}| and ", one["en"]):
            if len(stretch.strip()) >= SHORTEST:
                assert stretch.strip(" %,():") in source, stretch


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_keeps_the_places(language: str) -> None:
    for one in _sentences(language):
        assert set(_PLACE.findall(one[language])) <= set(_PLACE.findall(one["en"])), one["en"]
        filled = {name[1:-1]: f"<{n}>" for n, name in enumerate(_PLACE.findall(one["en"]))}
        told = said(one["en"].format(**filled), language)
        assert told != one["en"].format(**filled)
        assert "{" not in told
    assert said("a sentence that nobody has translated", language).startswith("a sentence")
    assert said(one["en"], "en") == one["en"]


def test_an_archive_warns_in_the_language_of_its_report(tmp_path: Path) -> None:
    manifest, *_ = read_manifest(make_archive(tmp_path / "archive"))
    scenes = tuple(one.model_copy(update={"date_assumed": True}) for one in manifest.scenes)
    told = manifest.model_copy(update={"scenes": scenes}).warnings
    assert told
    assert not [one for one in told if said(one, "es") == one]


def test_report_and_first_line_are_spanish_throughout(tmp_path: Path) -> None:
    scene = small_scene(tmp_path / "scene")
    run = replace(about(), simulated=False, warnings=("no elevation: nothing is said about what "
                  "lies below a landslide",))  # fmt: skip
    run = replace(
        run, choice=replace(run.choice, out_of_domain="unknown", trained_on="a single event, X")
    )
    folder = tmp_path / "r"
    folder.mkdir()
    manner = Manner(product=ProductConfig(exports=(), map=MapConfig(language="es", sheets=())))
    rasters = scene.probability, scene.observation, scene.stack
    write_products(folder, scene.outline(choice=run.choice), *rasters, run, manner)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "sin elevación: no se afirma nada" in html
    assert "se entrenó con un solo evento, X" in html
    assert "a single event" not in html
    assert words_of("es")["lang"] == "es"
