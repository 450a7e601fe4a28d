"""From archive and polygons to a checkpoint that maps: samples, train, respond, evaluate, as a
stranger would call them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import torch
import yaml
from affine import Affine
from calls import answered
from rasterio.features import shapes
from safetensors.torch import save_file
from shapely.geometry import box, shape
from small_archive import (
    AREA,
    CRS,
    EPICENTRE,
    NORTH,
    POST,
    RUN,
    SIDE,
    WEST,
    make_archive,
    make_preset,
    scars,
)

from configs.checkpoint import read_card
from configs.files import sha256
from models.nets.vgg import VGG16Trunk
from models.registry import Checkpoint


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    """Return a folder with an archive, its truth, a sampling configuration and a short recipe."""
    make_archive(tmp_path / "archive")
    affine = Affine(10, 0, WEST, 0, -10, NORTH)
    outlines = [shape(s) for s, v in shapes(scars().astype(np.uint8), transform=affine) if v == 1]
    gpd.GeoDataFrame(geometry=outlines, crs=CRS).to_file(tmp_path / "truth.gpkg", layer="slides")
    extent = box(WEST, NORTH - SIDE * 10, WEST + SIDE * 10, NORTH)
    gpd.GeoDataFrame(geometry=[extent], crs=CRS).to_file(tmp_path / "truth.gpkg", layer="extent")
    latitude, longitude = (float(part) for part in EPICENTRE.split(","))
    sampling = {
        "format": "coslide/sampling/1",
        "name": "valley",
        "title": "a small valley",
        "run": {
            "event": {
                "name": "valley",
                "time": "2018-09-05T00:00:00Z",
                "latitude": latitude,
                "longitude": longitude,
            },
            "windows": {"as_of": "2018-12-01"},
            "source": {"kind": "archive", "archive": "archive"},
        },
        "radius_km": 1.5,
        "bands": list(POST),
        "truth": {
            "kind": "polygons",
            "slides": [{"file": "truth.gpkg", "layer": "slides"}],
            "inside": {"file": "truth.gpkg", "layer": "extent"},
        },
        "split": {"kind": "bands", "count": 3, "guard_px": 4},
        "chip_px": 64,
        "stride_px": 32,
        "licence": "Apache-2.0",
    }
    (tmp_path / "sampling.yaml").write_text(yaml.safe_dump(sampling))
    recipe = {
        "format": "coslide/training/1",
        "name": "valley-card",
        "samples": [{"path": "samples"}],
        "architecture": "resu_net",
        "arguments": {"width": 16},
        "normalisation": "zscore",
        "loss": {"dice": 1.0, "bce": 1.0},
        "optimiser": {"name": "adam", "learning_rate": 0.01},
        "augmentation": {"mirrors": "none"},
        "batch": 4,
        "steps": 80,
        "validate_every": 80,
        "average": 0.8,
        "keep": "last",
        "reference_pixels": 500,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def test_samples_train_respond_evaluate(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = answered(
        capsys, "samples", str(ground / "sampling.yaml"), "--out", str(ground / "samples")
    )
    assert set(samples["counts"]) == {"band-0", "band-1", "band-2"}
    trained = answered(
        capsys, "train", str(ground / "recipe.yaml"), "--out", str(ground / "cards"), "--fold", "0"
    )
    assert trained["scores"][0]["test_set"] == "valley/band-0"
    assert str(ground) not in (ground / "cards" / "valley-card" / "training.yaml").read_text()
    preset = make_preset(ground / "preset.yaml", ground / "cards", "valley-card")
    source = f"archive:{ground / 'archive'}"
    mapped = answered(
        capsys,
        *(
            "respond",
            *RUN,
            *AREA,
            "--config",
            str(preset),
            "--source",
            source,
            "--out",
            str(ground / "out"),
            "--name",
            "valley",
        ),
    )
    assert mapped["landslide_count"] >= 2
    reference = str(ground / "truth.gpkg")
    scores = answered(
        capsys,
        *(
            "evaluate",
            str(ground / "out" / "valley" / "r001"),
            "--reference",
            f"{reference}:slides",
            "--extent",
            f"{reference}:extent",
        ),
    )
    found = scores["evaluations"][0]
    assert found["pixels_observed"]["f1"] > 0.7, "scars twice as bright as the ground are found"
    assert found["landslides"]["recall"] > 0.7
    ranked = answered(capsys, "cards", "--card-dir", str(ground / "cards"))
    assert "valley-card" in {row["name"] for row in ranked["cards"]}


def test_a_card_asks_no_more_for_the_file_its_encoder_started_from(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(capsys, "samples", str(ground / "sampling.yaml"), "--out", str(ground / "samples"))
    state = VGG16Trunk(len(POST), 16).state_dict()
    (ground / "pretrained").mkdir()
    save_file(state, ground / "pretrained" / "vgg.safetensors")
    recipe = yaml.safe_load((ground / "recipe.yaml").read_text())
    arguments = {
        "width": 16,
        "fully_connected": 16,
        "encoder_weights": "pretrained/vgg.safetensors",
    }
    short = {"steps": 1, "validate_every": 1, "average": 0.0, "freeze": ["encoder"]}
    (ground / "recipe.yaml").write_text(
        yaml.safe_dump(recipe | {"architecture": "fcn8s", "arguments": arguments} | short)
    )
    answered(
        capsys, "train", str(ground / "recipe.yaml"), "--out", str(ground / "cards"), "--fold", "0"
    )
    given = sha256(ground / "pretrained" / "vgg.safetensors")
    shutil.rmtree(ground / "pretrained")
    folder = ground / "cards" / "valley-card"
    found = Checkpoint(folder, read_card(folder))
    assert found.card.training["encoder_weights_sha256"] == given
    assert (
        str(ground)
        not in (folder / "training.yaml").read_text() + (folder / "card.yaml").read_text()
    )
    kept = found.load("cpu").module.get_submodule("encoder").state_dict()
    assert all(torch.equal(kept[name], tensor.half().float()) for name, tensor in state.items())
