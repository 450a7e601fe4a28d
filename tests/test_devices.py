"""Several GPUs of one machine, played by the processor: strips are shared out, the map is the same,
and an error of one is everybody's.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from affine import Affine
from cards import make_card, make_network, save_card
from odc.geo.geobox import GeoBox

from configs.checkpoint import CardTiles
from configs.errors import MachineError
from configs.records import ObservationClass, silent
from configs.run import ModelConfig
from configs.stack import FORMAT, Stack, encode, grid_attributes
from flows import probability
from flows.probability import map_card
from gee.observation import Observed
from models.inference import devices
from models.inference.predict import Predictor
from models.registry import Checkpoint

SHAPE = (1200, 300)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return a stack of three strips."""
    path = tmp_path_factory.mktemp("tall") / "stack.zarr"
    group, rng = zarr.open_group(path, mode="w"), np.random.default_rng(0)
    bands = {"post_B4": 0.2, "post_B3": 0.2, "slope": 30.0}
    for name, most in bands.items():
        values = rng.uniform(0.05, most, SHAPE).astype(np.float32)
        group.create_array(name, data=encode(values, name), chunks=(256, 256))
    geobox = GeoBox(SHAPE, Affine(10, 0, 580000, 0, -10, 4730000), "EPSG:32654")
    about = {"format": FORMAT, "grid": grid_attributes(geobox), "bands": list(bands)}
    group.attrs.update(about | {"plan_key": "plan"})
    return Stack(path)


def observed(path: Path) -> Observed:
    classes = zarr.create_array(path, shape=SHAPE, chunks=(256, 256), dtype="uint8")
    classes[:] = ObservationClass.CLEAR
    return Observed(path, {}, 0, 0)


@pytest.mark.parametrize("mode", ["core", "blend"])
def test_strips_shared_out_among_devices_make_the_map_of_one(
    stack: Stack, tmp_path: Path, mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = CardTiles(size=128, mode=mode, halo=32)
    found = Checkpoint(tmp_path / "tiny", save_card(make_card(tiles=tiles), tmp_path / "tiny"))
    seen, model = observed(tmp_path / "seen.zarr"), ModelConfig(device="cpu", runtime="torch")

    def mapped(name: str) -> Any:
        clear = ObservationClass.CLEAR
        return map_card(found, model, stack, seen, clear, tmp_path / name, silent)[:]

    whole = mapped("one.zarr")
    used, three = set(), threading.Barrier(3)
    inner = probability._map_strips

    def spied(predictor: Predictor, *rest: Any, **more: Any) -> None:
        used.add((predictor.number, threading.current_thread().name))
        if not three.broken:
            three.wait(60)  # three strips, one for each
        inner(predictor, *rest, **more)

    monkeypatch.setattr(probability, "everywhere", lambda one: [one, one.beside(1), one.beside(2)])
    monkeypatch.setattr(probability, "_map_strips", spied)
    strips = [range(strip, strip + 1) for strip in range(3)]
    monkeypatch.setattr(probability, "shards_of", lambda grid: strips)
    np.testing.assert_array_equal(mapped("three.zarr"), whole)
    assert len({name for _, name in used}) == len(used) == 3
    three.abort()
    (probability._markers(tmp_path / "three.zarr") / "1").unlink()
    used.clear()
    np.testing.assert_array_equal(mapped("three.zarr"), whole)
    assert len(used) == 1


def test_another_device_has_weights_of_its_own_and_a_processor_is_alone() -> None:
    card = make_card()
    one = Predictor(card, make_network(card), "cpu")
    two = one.beside(1)
    tiles = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    np.testing.assert_array_equal(two(tiles), one(tiles))
    with torch.no_grad():
        next(two.module.parameters()).fill_(9)
    assert not np.array_equal(two(tiles), one(tiles))
    assert devices.everywhere(one) == [one]


def test_an_error_of_one_device_is_everybodys_and_what_had_not_begun_stays_undone() -> None:
    card = make_card()
    one = Predictor(card, make_network(card), "cpu")
    begun, both = [], threading.Barrier(2)

    def work(predictor: Predictor, piece: int) -> None:
        begun.append(piece)
        if piece < 2:
            both.wait(10)
        if piece == 1:
            raise MachineError("the GPU failed", "Mend it.")

    with pytest.raises(MachineError, match="the GPU failed"):
        devices.share_out(range(1000), [one, one.beside(1)], work)
    assert len(begun) < 1000
