"""A checkpoint as ONNX: the same probability, and metadata that say how the file is to be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calls import answered
from cards import BANDS, make_card, make_network

from configs.checkpoint import Calibration, CardTiles
from configs.errors import RequestError
from models.inference import export
from models.inference.adaptation import Adaptation
from models.inference.export import TOLERANCE, write_onnx
from models.inference.predict import Predictor
from models.registry import Checkpoint, find

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SHIPPED = {found.card.name: found for found in find()}


def asked(path: Path, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what another program gets from a file, `(B, H, W)`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probability"], {"pixels": pixels})
    assert found.dtype == np.float32
    return np.asarray(found[:, 0])


def facts_of(path: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return found


def values(predictor: Predictor, seed: int, height: int, width: int) -> np.ndarray[Any, Any]:
    """Return physical tiles around the checkpoint's own values, with holes, `(2, C, H, W)`."""
    rng = np.random.default_rng(seed)
    bands = [predictor.card.normalisation.statistics[name] for name in predictor.bands]
    mean = np.array([band.mean for band in bands], np.float32)[:, None, None]
    std = np.array([band.std for band in bands], np.float32)[:, None, None]
    coarse = rng.normal(0, 1.2, (2, len(bands), height // 8, width // 8))
    pixels = mean + std * coarse.repeat(8, 2).repeat(8, 3).astype(np.float32)
    pixels[0, :, :20, :12] = np.nan
    pixels[1, 0, 30:40] = np.nan
    return pixels.astype(np.float32)


@pytest.mark.parametrize("name", SHIPPED)
def test_another_program_gets_the_same_probability(name: str, tmp_path: Path) -> None:
    found = SHIPPED[name]
    predictor = found.load("cpu", "float32").adapted(found.reference())
    path = tmp_path / "card.onnx"
    write_onnx(found.load("cpu", "float32"), path)
    for height, width in ((96, 160), (256, 256)):
        pixels = values(predictor, len(name) + height, height, width)
        expected = predictor(pixels)
        assert expected.std() > 0, "something is to be told apart"
        # What depends on the scene is done before: the metadata say how.
        adaptation = predictor.adaptation or Adaptation()
        moved = adaptation.tensor(torch.from_numpy(pixels), predictor.bands).numpy()
        np.testing.assert_allclose(asked(path, moved), expected, atol=TOLERANCE)


def test_metadata_are_enough_to_use_it_without_coslide(tmp_path: Path) -> None:
    found = SHIPPED["world-rgb"]
    predictor = found.load("cpu", "float32").adapted(found.reference())
    path = tmp_path / "card.onnx"
    write_onnx(found.load("cpu", "float32"), path)
    facts = facts_of(path)
    card = found.card
    assert float(facts["threshold"]) == card.threshold
    assert facts["bands"].split(",") == list(card.bands)
    assert facts["format"] == "coslide/onnx/1"
    assert json.loads(facts["normalisation"])["statistics"].keys() == set(card.bands)
    assert facts["adapt"] == "scene"
    assert json.loads(facts["toward"]).keys() == set(card.bands)
    assert facts["weights_sha256"] == card.weights_sha256
    pixels = values(predictor, 3, 96, 96)
    # As the metadata say, and nothing of coslide: each band by its own mean and spread.
    toward = json.loads(facts["toward"])
    own = found.reference()
    moved = np.empty_like(pixels)
    for number, name in enumerate(facts["bands"].split(",")):
        column = own.columns((name,))[:, 0]
        scaled = (pixels[:, number] - column.mean()) / column.std()
        moved[:, number] = scaled * toward[name]["std"] + toward[name]["mean"]
    # Spread and mean are those of a histogram's quantiles in coslide, of the sample here.
    assert np.abs(asked(path, moved) - predictor(pixels)).mean() < 0.02


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(),
        Calibration(method="platt", scale=0.7, shift=-1.2),
        Calibration(method="isotonic", points=((-2.0, 0.05), (-0.5, 0.2), (0.25, 0.7), (3.0, 0.9))),
    ],
    ids=lambda one: one.method,
)
@pytest.mark.parametrize("flips", [False, True])
def test_calibration_and_flips_are_in_the_file(
    calibration: Calibration, flips: bool, tmp_path: Path
) -> None:
    bands = (*BANDS, "aspect_sin")
    tiles = CardTiles(size=64, mode="core", halo=56, flips=flips)
    card = make_card(bands, calibration=calibration, tiles=tiles)
    predictor = Predictor(card, make_network(card), "cpu", "float32")
    pixels = values(predictor, 1, 64, 96)
    expected = predictor(pixels)
    write_onnx(predictor, tmp_path / "card.onnx")
    np.testing.assert_allclose(asked(tmp_path / "card.onnx", pixels), expected, atol=TOLERANCE)


def test_the_command_writes_beside_or_where_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = answered(capsys, "export", "index")
    assert answer["file"] == "index.onnx"
    assert answer["difference"] <= TOLERANCE
    assert facts_of(tmp_path / "index.onnx") == answer["metadata"]


def test_a_file_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card()
    predictor = Predictor(card, make_network(card), "cpu", "float32")
    calibrated = export._calibrated
    monkeypatch.setattr(export, "_calibrated", lambda *given: calibrated(*given) * 0.99)
    with pytest.raises(RequestError, match="another probability as ONNX"):
        write_onnx(predictor, tmp_path / "card.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_packages_a_sentence_says_how_to_get_them(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    card = make_card()
    with pytest.raises(RequestError, match=f"not installed: {package}") as wrong:
        write_onnx(Predictor(card, make_network(card), "cpu", "float32"), tmp_path / "card.onnx")
    assert "coslide[onnx]" in wrong.value.remedy


def test_there_are_shipped_checkpoints() -> None:
    assert len(SHIPPED) > 5
    assert all(isinstance(found, Checkpoint) for found in SHIPPED.values())
