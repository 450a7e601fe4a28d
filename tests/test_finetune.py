"""Fine-tuning: what is frozen stands still to the last bit, the rest moves, and the checkpoint says
where it comes from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from small_samples import BANDS, small_samples

from configs.checkpoint import WEIGHTS, read_card
from configs.errors import RequestError
from configs.training import TrainingConfig, read_training
from flows.learning.train import Overrides, train
from models.architectures import build
from models.training import curves
from models.training.finetune import freeze
from tiles.chips import ChipDataset, Share

FROZEN = ["stem", "encoder"]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "draw", lambda folder, title: folder)


def recipe(path: Path, **changes: Any) -> str:
    """Return the path of a written recipe."""
    fields = {
        "format": "coslide/training/1",
        "name": path.stem,
        "samples": [{"path": "valley"}],
        "normalisation": "zscore",
        "optimiser": {"learning_rate": 0.01},
        "augmentation": {"mirrors": "none"},
        "batch": 4,
        "steps": 4,
        "average": 0.5,
        "keep": "last",
        "reference_pixels": 200,
        "device": "cpu",
    }
    path.write_text(yaml.safe_dump(fields | changes))
    return str(path)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a simulated valley, a real one, and a parent checkpoint trained on the
    first.
    """
    folder = tmp_path_factory.mktemp("ground")
    small_samples(folder / "valley", simulated=True)
    small_samples(folder / "event", seed=5, name="event")
    parent = recipe(folder / "parent.yaml", architecture="resu_net", arguments={"width": 8})
    train(parent, str(folder / "cards"))
    return folder


def test_frozen_layers_stand_still_and_the_rest_moves(ground: Path) -> None:
    path = recipe(
        ground / "child.yaml",
        samples=[{"path": "event"}],
        start_from="cards/parent",
        share=0.5,
        freeze=FROZEN,
    )
    train(path, str(ground / "cards"))
    before, after = (load_file(ground / "cards" / name / WEIGHTS) for name in ("parent", "child"))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    still = {name for name in before if name.startswith(tuple(f"{name}." for name in FROZEN))}
    assert any("running_mean" in name for name in still), (
        "statistics of frozen norms are among what is held"
    )
    assert not moved & still
    assert any("running_mean" in name for name in moved)
    learnt = {name for name, _ in build("resu_net", 3, width=8).named_parameters()} - still
    assert learnt <= moved


def test_the_card_names_its_parent_and_inherits_its_domains(ground: Path) -> None:
    parent, child = read_card(ground / "cards" / "parent"), read_card(ground / "cards" / "child")
    assert child.training["parent"] == "parent"
    assert child.training["parent_weights"] == parent.weights_sha256[:16]
    assert (child.training["share"], child.training["frozen"]) == (0.5, "stem, encoder")
    assert (child.architecture, child.arguments, child.bands) == (
        parent.architecture,
        parent.arguments,
        parent.bands,
    )
    assert child.normalisation == parent.normalisation
    assert [(d.name, d.simulated, d.weight) for d in child.domains] == [
        ("event", False, 1.0),
        ("valley", True, 0.0),
    ]
    assert child.simulated, "weights that have seen simulated pixels stay simulated"
    assert "parent" not in parent.training


def test_without_freezing_everything_moves(ground: Path) -> None:
    path = recipe(ground / "free.yaml", samples=[{"path": "event"}], start_from="parent")
    train(path, str(ground / "cards"), Overrides(share=0.25))
    before, after = (load_file(ground / "cards" / name / WEIGHTS) for name in ("parent", "free"))
    assert all(
        not torch.equal(before[n], after[n])
        for n, _ in build("resu_net", 3, width=8).named_parameters()
    )
    assert read_card(ground / "cards" / "free").training["share"] == 0.25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_from": "nowhere"}, "no checkpoint `nowhere`"),
        (
            {"start_from": "cards/parent", "architecture": "unet"},
            "`architecture` of the recipe differs",
        ),
        ({"start_from": "cards/parent", "bands": ["slope"]}, "`bands` of the recipe differs"),
        ({"start_from": "cards/parent", "freeze": ["trunk"]}, "no layer 'trunk' to freeze"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
    ],
)
def test_what_cannot_be_is_refused(ground: Path, changes: dict[str, Any], message: str) -> None:
    path = recipe(ground / "wrong.yaml", **changes)
    with pytest.raises(RequestError, match=message):
        train(path, str(ground / "cards"))
    assert not (ground / "cards" / "wrong").exists()


def test_freezing_everything_leaves_nothing_to_learn() -> None:
    network = build("resu_net", 3, width=8)
    with pytest.raises(RequestError, match="nothing to learn"):
        freeze(network, [name for name, _ in network.named_children()])
    with pytest.raises(RequestError, match="no layer '' to freeze"):
        freeze(network, [""])


@pytest.mark.parametrize("share", [0.05, 0.2, 1.0])
def test_a_share_of_the_chips_is_drawn_by_the_seed(
    ground: Path, share: float, tmp_path: Path
) -> None:
    samples = small_samples(tmp_path / "s")
    every = ChipDataset([Share(samples, ("train",))], BANDS, crop_px=32, shuffle=False)

    def drawn(seed: int) -> list[int]:
        some = ChipDataset(
            [Share(samples, ("train",), part=share)], BANDS, crop_px=32, shuffle=False, seed=seed
        )
        return [some.origin(i)[1] for i in range(len(some))]

    assert len(drawn(0)) == max(1, round(share * len(every)))
    assert drawn(0) == drawn(0)
    assert set(drawn(1)) <= {every.origin(i)[1] for i in range(len(every))}


def test_the_quick_variant_changes_only_what_it_names(tmp_path: Path) -> None:
    path = Path(
        recipe(
            tmp_path / "whole.yaml",
            epochs=7,
            steps=None,
            arguments={"width": 64},
            quick={"steps": 3, "arguments": {"width": 8}, "optimiser": {"name": "sgd"}},
        )
    )
    whole = read_training(path)
    quick = whole.quickened()
    assert (quick.name, quick.steps, quick.epochs, quick.arguments) == (
        "whole-quick",
        3,
        None,
        {"width": 8},
    )
    assert (quick.optimiser.name, quick.optimiser.learning_rate) == ("sgd", 0.01)
    assert quick.batch == whole.batch
    with pytest.raises(RequestError, match="no quick variant"):
        quick.quickened()
    with pytest.raises(RequestError, match=r"quick: batch"):
        TrainingConfig.model_validate({**whole.model_dump(), "quick": {"batch": 0}}).quickened()
