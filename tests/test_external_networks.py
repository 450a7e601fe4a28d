"""A student's own network and those of other packages: from a recipe to a card that says what it
needs, and words where it cannot be had.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from small_samples import small_samples
from torch import nn

from configs.checkpoint import read_card
from configs.errors import RequestError
from flows.learning.evaluate_cards import megaflops_per_pixel
from flows.learning.train import Overrides, train
from models.architectures import architecture_of, build
from models.explain.gradcam import class_map
from models.registry import Checkpoint
from models.training import curves

MODULE = """
import torch
from torch import nn

__version__ = "1.2"


def small(in_channels, width=8):
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1)
    )


def two_logits(in_channels):
    return nn.Conv2d(in_channels, 2, 1)


def no_network(in_channels):
    return in_channels


def broken(in_channels):
    raise KeyError("width of the second stage")


def of_three_bands(in_channels):
    return nn.Conv2d(3, 1, 1)


NUMBER = 3
"""


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a sample set and a recipe; a package beside it is importable."""
    (tmp_path / "package" / "student_nets").mkdir(parents=True)
    (tmp_path / "package" / "student_nets" / "__init__.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "package")
    monkeypatch.delitem(sys.modules, "student_nets", raising=False)
    monkeypatch.setattr(curves, "draw", lambda folder, title: folder)
    small_samples(tmp_path / "samples")
    recipe = {
        "format": "coslide/training/1",
        "name": "own",
        "samples": [{"path": "samples"}],
        "architecture": "student_nets:small",
        "arguments": {"width": 6},
        "normalisation": "zscore",
        "optimiser": {"learning_rate": 0.02},
        "loss": {"dice": 1.0, "bce": 1.0},
        "batch": 8,
        "steps": 40,
        "validate_every": 20,
        "reference_pixels": 200,
        "device": "cpu",
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def trained(student: Path) -> Checkpoint:
    train(str(student / "recipe.yaml"), str(student / "cards"))
    folder = student / "cards" / "own"
    return Checkpoint(folder, read_card(folder))


def test_an_own_network_learns_and_its_card_says_what_it_needs(student: Path) -> None:
    found = trained(student)
    assert found.card.architecture == "student_nets:small"
    assert found.card.arguments == {"width": 6}
    assert found.card.training["network_package"] == "student_nets 1.2"
    assert found.card.scores[0].values["f1"] > 0.8, "a landslide is twice as bright as the ground"
    predictor = found.load("cpu")
    tile = np.zeros((1, 3, 50, 70), np.float32)
    assert predictor(tile).shape == (1, 50, 70)
    assert megaflops_per_pixel(found.card) > 0
    network: Any = predictor.module
    assert network.cam_layer == "network.0"
    assert class_map(network, np.random.default_rng(0).random((3, 50, 70), np.float32)).max() == 1


def test_fine_tuning_freezes_its_layers_by_name(student: Path) -> None:
    trained(student)
    recipe = yaml.safe_load((student / "recipe.yaml").read_text())
    more = {"name": "tuned", "start_from": "cards/own", "freeze": ["network.0"], "steps": 2}
    (student / "tune.yaml").write_text(yaml.safe_dump(recipe | more))
    train(str(student / "tune.yaml"), str(student / "cards"), Overrides())
    parts = [
        Checkpoint(folder, read_card(folder)).load("cpu").module.state_dict()
        for folder in (student / "cards" / "own", student / "cards" / "tuned")
    ]
    assert torch.equal(parts[0]["network.0.weight"], parts[1]["network.0.weight"])
    assert not torch.equal(parts[0]["network.2.weight"], parts[1]["network.2.weight"])


def test_a_card_without_its_package_says_so_plainly(
    student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = trained(student)
    monkeypatch.setitem(sys.modules, "student_nets", None)
    with pytest.raises(RequestError, match="needs `student_nets`, which cannot be imported") as no:
        found.load("cpu")
    assert "PYTHONPATH" in no.value.remedy


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("student_nets:two_logits", r"answers \(1, 2, 64, 64\) to \(1, 4, 64, 64\)"),
        ("student_nets:no_network", "gives something that is no network"),
        ("student_nets:broken", "cannot be built with 4 channels: 'width of the second stage'"),
        ("student_nets:of_three_bands", "cannot read 4 channels of 64 px"),
        ("student_nets:NUMBER", "`student_nets` has no function `NUMBER`"),
        ("student_nets:nothing", "`student_nets` has no function `nothing`"),
        ("student_nets:os.system", "names no network"),
        ("nowhere.at.all:make", "needs `nowhere.at.all`, which cannot be imported"),
        ("smp:Unet", "needs `smp`"),
        ("smp:Unet/../x", "names no network"),
    ],
)
def test_what_is_wrong_with_a_network_is_said_before_a_training(
    student: Path, name: str, told: str
) -> None:
    with pytest.raises(RequestError, match=told):
        build(name, 4)


def test_arguments_reach_the_function_and_wrong_ones_are_named(student: Path) -> None:
    network: Any = build("student_nets:small", 3, width=5)
    assert network.network[0].out_channels == 5
    with pytest.raises(RequestError, match=r"and depth: 2: .*unexpected keyword argument 'depth'"):
        build("student_nets:small", 3, depth=2)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what a stand-in for segmentation_models_pytorch was asked for: the package itself
    needs a torchvision of the same build as torch.
    """
    asked: list[dict[str, Any]] = []

    def create_model(arch: str, encoder_name: str, **given: Any) -> nn.Module:
        asked.append({"arch": arch, "encoder_name": encoder_name, **given})
        return nn.Conv2d(given["in_channels"], given["classes"], 3, padding=1)

    module = ModuleType("segmentation_models_pytorch")
    module.__dict__.update(create_model=create_model, __version__="0.6.0")
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", module)
    return asked


def test_networks_of_the_package_go_by_name_and_fetch_no_weights(
    stand_in: list[dict[str, Any]],
) -> None:
    network = build("smp:Unet/tu-mobilenetv3_small_100", 5, decoder_attention_type="scse")
    assert stand_in == [
        {
            "arch": "Unet",
            "encoder_name": "tu-mobilenetv3_small_100",
            "encoder_weights": None,
            "in_channels": 5,
            "classes": 1,
            "decoder_attention_type": "scse",
        }
    ]
    assert network(torch.zeros(2, 5, 40, 50)).shape == (2, 1, 40, 50)
    assert architecture_of("smp:Unet/resnet18").stride == 32
    with pytest.raises(RequestError, match="encoder_weights cannot be chosen"):
        build("smp:Unet/resnet18", 5, encoder_weights="imagenet")


@pytest.mark.parametrize("missing", [True, False])
def test_without_the_package_a_sentence_says_how_to_get_it(
    missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        if missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("models.nets.external.importlib.import_module", refuse)
    with pytest.raises(RequestError, match="which cannot be imported") as wrong:
        build("smp:Unet/resnet18", 3)
    assert "coslide[smp]" in wrong.value.remedy
    assert "torchvision" in wrong.value.remedy
