"""Mixtures of domains: equal totals whatever the shares, anyone's sample sets, and nothing of what
is held out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from small_samples import BANDS, small_samples

from configs.checkpoint import WEIGHTS, read_card
from configs.errors import RequestError
from configs.mixing import apportioned
from configs.training import TrainingConfig, read_training
from flows.learning.train import Overrides, train
from models.registry import Checkpoint
from tiles.samples import PIXELS

PRESETS = Path(__file__).resolve().parent.parent / "configs" / "mixtures"
PAPER = {
    "Ib700": (700,),
    "J700": (700,),
    "Ib200J500": (200, 500),
    "Ib350J350": (350, 350),
    "Ib500J200": (500, 200),
}
"""Table V of Yang et al. 2024."""


@given(st.integers(1, 5000), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_parts_add_up_and_are_within_one_of_their_share(total: int, shares: list[float]) -> None:
    parts = apportioned(total, shares)
    assert sum(parts) == total
    assert all(
        abs(part - total * share / sum(shares)) < 1 + 1e-6
        for part, share in zip(parts, shares, strict=True)
    )


def test_the_paper_mixtures_are_presets_of_one_total_that_differ_in_nothing_else() -> None:
    assert {path.stem for path in PRESETS.glob("*.yaml")} == set(PAPER)
    rest = []
    for name, shares in PAPER.items():
        recipe = read_training(PRESETS / f"{name}.yaml")
        counts = [source.count for source in recipe.samples]
        assert (
            sum(count or 0 for count in counts) == recipe.total == 175
        )  # times four mirror images: 700
        assert counts == pytest.approx([share / 4 for share in shares], abs=0.5)
        assert not {source.path for source in recipe.samples} & set(recipe.held_out)
        assert recipe.quickened().samples == recipe.samples
        rest.append(recipe.model_dump(exclude={"name", "title", "samples"}))
    assert all(one == rest[0] for one in rest)


def test_counts_alone_are_what_they_were(tmp_path: Path) -> None:
    shared: dict[str, Any] = {
        "name": "a",
        "samples": [{"path": "x", "share": 2}, {"path": "y", "share": 1}],
        "total": 9,
    }
    counted: dict[str, Any] = {
        "name": "a",
        "samples": [{"path": "x", "count": 6}, {"path": "y", "count": 3}],
    }
    assert (
        TrainingConfig.model_validate(shared).identity
        == TrainingConfig.model_validate(counted).identity
    )
    for wrong in (
        {"total": None},
        {"samples": [{"path": "x", "share": 2}, {"path": "y"}]},
        {"samples": [{"path": "x", "share": 2, "count": 5}, {"path": "y", "share": 1}]},
    ):
        path = tmp_path / "wrong.yaml"
        path.write_text(yaml.safe_dump({"format": "coslide/training/1", **shared, **wrong}))
        with pytest.raises(RequestError, match=r"share"):
            read_training(path)


def recipe_of(folder: Path, name: str, **changes: Any) -> Path:
    """Return a recipe of two domains of anyone's own, in the form of the presets."""
    content = yaml.safe_load((PRESETS / "Ib200J500.yaml").read_text())
    small = {
        "name": name,
        "bands": list(BANDS),
        "total": 14,
        "crop_px": 32,
        "batch": 4,
        "steps": 3,
        "validate_every": 3,
    }
    small |= {
        "average": 0.0,
        "tiles": {"size": 64, "mode": "blend", "halo": 16},
        "precision": "float32",
    }
    small["samples"] = [{"path": "mine-a", "share": 200}, {"path": "mine-b", "share": 500}]
    small["held_out"] = ["mine-c"]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content | small | changes))
    return path


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three real (not simulated) sample sets."""
    folder = tmp_path_factory.mktemp("mine")
    for seed, name in enumerate(("mine-a", "mine-b", "mine-c")):
        small_samples(folder / name, seed=seed, name=name)
    return folder


def weights(made: dict[str, Any]) -> bytes:
    return (Path(made["folder"]) / WEIGHTS).read_bytes()


def test_the_same_recipe_trains_on_anyones_sets_in_the_shares_it_says(ground: Path) -> None:
    made = train(str(recipe_of(ground, "mixed")), str(ground / "cards"))
    found = Checkpoint(Path(made["folder"]), read_card(Path(made["folder"])))
    assert [(one.name, one.samples, one.simulated) for one in found.card.domains] == [
        ("mine-a", 4, False),
        ("mine-b", 10, False),
    ]
    reference = found.reference()
    assert np.bincount(reference.domain) / len(reference) == pytest.approx([2 / 7, 5 / 7], abs=0.01)
    given = Overrides(name="given", samples=(str(ground / "mine-a"), str(ground / "mine-b")))
    samples = [{"path": "x", "share": 2}, {"path": "y", "share": 5}]
    again = train(
        str(recipe_of(ground, "elsewhere", samples=samples)), str(ground / "cards"), given
    )
    assert weights(again) == weights(made)


def test_what_is_held_out_is_never_read_and_never_trained_on(ground: Path) -> None:
    plain = train(str(recipe_of(ground, "plain")), str(ground / "cards"))
    shutil.move(ground / "mine-c" / PIXELS, ground / "hidden")  # whoever reads it now fails
    try:
        apart = train(str(recipe_of(ground, "apart")), str(ground / "cards"))
    finally:
        shutil.move(ground / "hidden", ground / "mine-c" / PIXELS)
    assert weights(apart) == weights(plain)
    shutil.copytree(ground / "mine-c", ground / "copy", dirs_exist_ok=True)
    for name in ("mine-c", "copy"):
        samples = [{"path": "mine-a", "share": 1}, {"path": name, "share": 1}]
        with pytest.raises(RequestError, match="is held out by recipe"):
            train(str(recipe_of(ground, f"touches-{name}", samples=samples)), str(ground / "cards"))
    given = Overrides(name="given-c", samples=(str(ground / "mine-a"), str(ground / "mine-c")))
    with pytest.raises(RequestError, match="is held out by recipe"):
        train(str(recipe_of(ground, "plain")), str(ground / "cards"), given)


def test_a_set_that_cannot_give_its_part_is_refused_by_name(ground: Path) -> None:
    with pytest.raises(
        RequestError, match=r"`mine-a` has 12 training chips, and its share of `total: 90` is 26"
    ):
        train(str(recipe_of(ground, "greedy", total=90)), str(ground / "cards"))
