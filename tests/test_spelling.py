"""Whatever goes by a name (file, setting, checkpoint, source, kit, inventory, …): a name that there
is none of is answered with the one that was meant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from small_archive import make_archive

from configs.errors import RequestError
from configs.kit import read_kit
from configs.published import published
from configs.run import read_run
from configs.service import read_service
from configs.spelling import meant
from configs.studying import read_study
from configs.training import read_training, recipe_file
from configs.vectors import Layer, read_vector
from flows.commands.respond import configure
from flows.resolve import parse_source
from gee.archive.manifest import MANIFEST, read_manifest
from gee.simulated.source import SimulatedSource
from models import registry
from models.architectures import build

RECIPES = REPOSITORY / "configs" / "recipes"


def _written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def _archive(folder: Path) -> None:
    path = make_archive(folder / "archive") / MANIFEST
    content = yaml.safe_load(path.read_text())
    content["scenes"][0]["aquired"] = content["scenes"][0].pop("acquired")
    read_manifest(_written(path, content))


def _run(folder: Path, **content: Any) -> None:
    path = _written(folder / "run.yaml", {"format": "coslide/run/1", **content})
    configure(
        config=path, source="simulated", epicentre="42.7,142.0", date="2018-09-05", radius_km=3.0
    )


SLIPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "recipe": (lambda f: read_training(RECIPES / "resu-senett.yaml"), "recipes/resu-senet.yaml"),
    "recipe by its name": (lambda f: recipe_file("resu-senett"), "resu-senet"),
    "recipe of one's own": (
        lambda f: recipe_file(str(_beside(f / "mine.yaml").with_name("mien.yaml"))),
        "mine.yaml",
    ),
    **{
        f"{what}.yml": (
            lambda f, read=read: read(str(_beside(f / "mine.yaml").with_suffix(".yml"))),
            "mine.yaml",
        )
        for what, read in {"recipe": recipe_file, "kit": read_kit, "study": read_study}.items()
    },
    "run.yml": (lambda f: read_run(_beside(f / "run.yaml").with_suffix(".yml")), "run.yaml"),
    "truth.geojson": (
        lambda f: read_vector(Layer(_beside(f / "truth.json").with_suffix(".geojson"))),
        "truth.json",
    ),
    "kit": (lambda f: read_kit("rehersal"), "rehearsal"),
    "study": (lambda f: read_study("standart"), "standard"),
    "inventory": (lambda f: published("iburi2018"), "iburi-2018"),
    "checkpoint": (lambda f: registry.installed("Iburi-Post"), "iburi-post"),
    "checkpoint of a run": (
        lambda f: registry.candidates("wrld-rgb", SimulatedSource().offer()),
        "world-rgb",
    ),
    "auto": (lambda f: registry.candidates("aoto", SimulatedSource().offer()), "auto"),
    "network": (lambda f: build("resu_snet", 3), "resu_senet"),
    "landscape": (lambda f: SimulatedSource("tefra-hills"), "tephra-hills"),
    "source": (lambda f: parse_source("earthengin"), "earthengine"),
    "folder as a source": (lambda f: parse_source("archiv:images"), "archive:DIR"),
    "vector file": (
        lambda f: read_vector(Layer(_beside(f / "truth.gpkg").with_name("thruth.gpkg"))),
        "truth.gpkg",
    ),
    "setting of a run": (lambda f: _run(f, model={"batsh": 2}), "batch"),
    "section of a run": (lambda f: _run(f, modle={"batch": 2}), "model"),
    "setting that lies deep": (lambda f: _run(f, product={"map": {"langage": "es"}}), "language"),
    "setting of a service": (
        lambda f: read_service(
            _written(f / "s.yaml", {"format": "coslide/service/1", "runs": {"retrys": 2}})
        ),
        "retries",
    ),
    "field of a list": (_archive, "acquired"),
}


def _beside(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("what", SLIPS)
def test_a_misspelled_name_is_guessed(what: str, tmp_path: Path) -> None:
    slip, right = SLIPS[what]
    with pytest.raises(RequestError) as wrong:
        slip(tmp_path)
    told = f"{wrong.value.message} {wrong.value.remedy}"
    assert "Did you mean `" in told, told
    assert f"{right}`?" in told, told
    assert "Extra inputs" not in told


def test_nothing_is_guessed_where_nothing_is_near(tmp_path: Path) -> None:
    assert meant("xyzzy", ["respond", "refresh"]) == ""
    with pytest.raises(RequestError) as wrong:
        read_kit("something else altogether")
    assert "Did you mean" not in wrong.value.remedy
    assert "rehearsal" in wrong.value.remedy
