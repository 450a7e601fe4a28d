"""Out of domain: the run goes on, and the first line of every product says so; or it refuses, with
exit code 3.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_scene import SmallScene, about, small_scene

from configs.errors import NothingToSeeError
from configs.layout import RunLayout
from configs.run import ModelConfig
from flows import steps
from inventory.outline.words import words_of
from inventory.publish import Published, write_item, write_products
from tiles.views import Mean

LINE = "OUT OF DOMAIN"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SmallScene:
    return small_scene(tmp_path_factory.mktemp("scene"))


def published(folder: Path, scene: SmallScene, **changes: Any) -> Published:
    folder.mkdir()
    run = about()
    run = replace(run, choice=replace(run.choice, **changes))
    inventory = scene.outline(choice=run.choice)
    done = write_products(folder, inventory, scene.probability, scene.observation, scene.stack, run)
    write_item(folder, done)
    return done


def descriptions(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "landslides.gpkg") as database:
        return [
            row[0]
            for row in database.execute(
                "SELECT description FROM gpkg_contents WHERE table_name = 'event'"
            )
        ]


def test_the_first_line_of_every_product_says_so(tmp_path: Path, scene: SmallScene) -> None:
    done = published(tmp_path / "r001", scene, out_of_domain=True, expected_f1=0.214)
    assert done.words[0].startswith(LINE)
    assert "0.21 or less" in done.words[0]
    assert (done.summary.as_plain()["out_of_domain"], done.summary.as_plain()["expected_f1"]) == (
        True,
        0.214,
    )
    item = json.loads((tmp_path / "r001" / "item.json").read_text())["properties"]
    assert item["description"].startswith(LINE)
    assert item["coslide:out_of_domain"] is True
    assert descriptions(tmp_path / "r001")[0].startswith(LINE)
    html = (tmp_path / "r001" / "report.html").read_text()
    assert LINE in html
    assert html.index(words_of()["out_of_domain"][:15]) < html.index('class="cards"')


def test_without_a_study_no_f1_is_promised(tmp_path: Path, scene: SmallScene) -> None:
    done = published(tmp_path / "r001", scene, out_of_domain=True, expected_f1=None)
    assert done.words[0].startswith(LINE)
    assert "F1" not in done.words[0]


def test_at_home_nothing_is_said(tmp_path: Path, scene: SmallScene) -> None:
    done = published(tmp_path / "r001", scene, out_of_domain=False, expected_f1=0.5)
    assert not any(LINE in line for line in done.words)
    assert not any(LINE in line for line in descriptions(tmp_path / "r001"))
    assert LINE not in (tmp_path / "r001" / "report.html").read_text()


@pytest.mark.parametrize("wanted", ["warn", "refuse"])
def test_a_configuration_can_make_it_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    outside = replace(about().choice, out_of_domain=True)
    monkeypatch.setattr(steps, "choose_checkpoint", lambda *_, **__: outside)
    run: Any = SimpleNamespace(
        place=None, model=ModelConfig.model_validate({"out_of_domain": wanted})
    )
    layout, none = RunLayout(tmp_path), SimpleNamespace()
    if wanted == "warn":
        assert steps.choose(run, none, none, layout) is outside  # type: ignore[arg-type]
        return
    with pytest.raises(NothingToSeeError, match="known to work") as refusal:
        steps.choose(run, none, none, layout)  # type: ignore[arg-type]
    assert refusal.value.code == 3
    assert (tmp_path / "selection.csv").exists()  # what was too far, and how far


def test_the_mean_of_maps_is_unknown_where_any_is() -> None:
    a, b = np.array([[0.2, np.nan, 0.9]], np.float32), np.array([[0.4, 0.5, 0.5]], np.float32)
    mean = Mean((a, b))
    assert mean.shape == (1, 3)
    assert mean[:, :2].tolist()[0][0] == pytest.approx(0.3)
    assert np.isnan(mean[0, 1])
