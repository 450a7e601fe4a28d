"""Every recipe's quick variant runs from sample set to inventory: samples, train, respond, each on
a small simulated place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.checkpoint import read_card
from configs.training import read_training
from flows.cli import main
from flows.learning.samples import make_samples
from flows.learning.train import Overrides, train
from models.training import curves
from tiles.samples import SampleSet

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
RECIPES = sorted(path.stem for path in (CONFIGS / "recipes").glob("*.yaml"))
RADIUS_KM = 1.0
STEPS = 2
"""Of the quick variants' 50 to 200: this shows that every part fits the next, not that the
checkpoint is any good.
"""

Cut = Callable[[str], SampleSet]


def sampling(name: str) -> dict[str, Any]:
    """Return a shipped sampling configuration for a smaller place, split into three bands that hold
    whole chips.
    """
    content: dict[str, Any] = yaml.safe_load((CONFIGS / "samples" / f"{name}.yaml").read_text())
    small = {
        "radius_km": RADIUS_KM,
        "chip_px": 64,
        "stride_px": 8,
        "split": {"kind": "bands", "count": 3, "guard_px": 2},
    }
    return content | small


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(scope="module")
def cut(ground: Path) -> Cut:
    """Return what cuts the small sample set of a shipped configuration, once."""

    def make(name: str) -> SampleSet:
        folder = ground / "samples" / name
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            written = ground / f"{name}.yaml"
            written.write_text(yaml.safe_dump(sampling(name)))
            make_samples(written, folder)
        return SampleSet.open(folder)

    return make


def trained(recipe: str, ground: Path, cut: Cut) -> Path:
    """Return the folder of a recipe's quick checkpoint, trained once; a fine-tuning gets its parent
    first.
    """
    config = read_training(CONFIGS / "recipes" / f"{recipe}.yaml")
    folder = ground / "cards" / f"{recipe}-quick"
    if not folder.exists():
        parent = (
            str(trained(Path(config.start_from).name, ground, cut)) if config.start_from else None
        )
        samples = cut(Path(config.samples[0].path).name)
        changes = Overrides(
            quick=True, steps=STEPS, fold=0, samples=(str(samples.path),), start_from=parent
        )
        train(str(CONFIGS / "recipes" / f"{recipe}.yaml"), str(ground / "cards"), changes)
    return folder


@pytest.mark.parametrize("recipe", RECIPES)
def test_from_sample_set_to_inventory(
    recipe: str,
    ground: Path,
    cut: Cut,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(curves, "draw", lambda folder, title: folder)
    card = read_card(trained(recipe, ground, cut))
    config = read_training(CONFIGS / "recipes" / f"{recipe}.yaml")
    assert card.simulated
    assert card.training["steps"] == STEPS
    assert card.bands == (config.bands or card.bands)
    run = sampling(Path(config.samples[0].path).name)["run"]
    event, source = run["event"], run["source"]
    preset = ground / "preset.yaml"
    model = {"checkpoint": card.name, "card_dirs": [str(ground / "cards")]}
    content = {"source": source, "model": model, "product": {"map": {"sheets": []}}}
    preset.write_text(yaml.safe_dump({"format": "coslide/run/1", **content}))
    with pytest.raises(SystemExit) as left:
        main(
            [
                "-q",
                "respond",
                "--config",
                str(preset),
                "--epicentre",
                f"{event['latitude']},{event['longitude']}",
                "--date",
                f"{event['time']:%Y-%m-%dT%H:%M}",
                "--magnitude",
                str(event["magnitude"]),
                "--radius-km",
                str(RADIUS_KM),
                "--as-of",
                str(run["windows"]["as_of"]),
                "--out",
                str(ground / "out"),
                "--name",
                recipe,
                "--json",
            ]
        )
    answer = json.loads(capsys.readouterr().out)
    assert left.value.code == 0, answer
    assert answer["checkpoint"] == card.name
    assert answer["observed_fraction"] > 0
    assert Path(answer["products"]["landslides.gpkg"]).is_file()


def test_a_fine_tuned_card_names_its_parent(ground: Path, cut: Cut) -> None:
    card = read_card(trained("dfpenet-finetune", ground, cut))
    assert card.training["parent"] == "dfpenet-quick"
    assert card.training["frozen"] == "encoder"
    assert card.training["share"] == pytest.approx(0.2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_says_where_it_comes_from(recipe: str) -> None:
    path = CONFIGS / "recipes" / f"{recipe}.yaml"
    config, text = read_training(path), path.read_text()
    assert re.match(r"# [A-Z][a-z]+ et al\.", text), "authors and year of the paper"
    assert "Stated" in text
    assert config.name == recipe
    assert config.cut_as is not None
    quick = config.quickened()
    assert quick.steps is not None
    assert quick.steps <= 200
    assert (CONFIGS / "samples" / f"{Path(config.samples[0].path).name}.yaml").is_file()
