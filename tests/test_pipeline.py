"""The pipeline from disk to disk: tiles added up on a device, what is written behind, how many
tiles go at once. A GPU's path runs here on torch's CPU device; what needs CUDA itself is not
tested here.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from cards import make_card, make_network
from torch import Tensor, nn

from benchmarks.tiling import BANDS, write_stack
from configs.checkpoint import Calibration, CardTiles
from configs.stack import Stack
from models.inference.batch import CPU_BATCH, largest_that_helps
from models.inference.calibration import apply
from models.inference.canvas import DeviceCanvas
from models.inference.mapping import OnDevice, for_tiles, probability, tiles_at_once
from models.inference.predict import Predictor, pick_precision
from tiles.canvas import Behind
from tiles.grid import TileGrid
from tiles.stitch import map_tiles


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    path: Path = tmp_path_factory.mktemp("stack") / "stack.zarr"
    write_stack(path, 1100)
    return Stack(path)


@pytest.mark.parametrize("mode", ["core", "blend"])
def test_a_map_added_up_on_a_device_is_the_one_added_up_in_memory(stack: Stack, mode: str) -> None:
    card = make_card(BANDS)
    view = stack.view(BANDS).stored
    predictor = Predictor(card, make_network(card), "cpu").of_stored(view.coding)
    tiles = CardTiles.model_validate({"size": 128, "mode": mode, "halo": 32})
    grid = TileGrid.for_card(stack.shape, tiles, 8)
    valid = np.random.default_rng(0).random(stack.shape) < 0.9
    valid[300:700, 200:900] = False
    there = OnDevice(predictor, DeviceCanvas(torch.device("cpu")))
    in_memory = map_tiles(view, grid, predictor, valid=valid)
    on_device = map_tiles(view, grid, there, valid=valid)
    assert (np.isnan(on_device) == ~valid).all()
    np.testing.assert_allclose(on_device[valid], in_memory[valid], rtol=0, atol=1e-6)
    second = map_tiles(view, grid, there, valid=valid, rows=range(1, grid.strips))
    assert second[512:][valid[512:]].tobytes() == on_device[512:][valid[512:]].tobytes()


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(),
        Calibration(method="platt", scale=0.7, shift=-1.5),
        Calibration(method="isotonic", points=((-3.0, 0.01), (0.0, 0.4), (2.0, 0.9))),
    ],
)
def test_probability_on_a_device_is_calibrated_as_anywhere(calibration: Calibration) -> None:
    logits = np.linspace(-30, 30, 5001, dtype=np.float32)
    found = probability(torch.from_numpy(logits), calibration).numpy()
    np.testing.assert_allclose(found, apply(logits, calibration), rtol=0, atol=1e-6)


def test_what_is_done_behind_keeps_its_order_and_never_runs_far_ahead() -> None:
    done: list[int] = []
    gate, given = threading.Event(), 0

    def work(number: int) -> None:
        gate.wait(10)
        done.append(number)

    threading.Timer(0.3, gate.set).start()
    with Behind() as behind:
        for number in range(20):
            behind.do(work, number)
            given += not gate.is_set()
    assert done == list(range(20))
    assert given < 8


def test_what_fails_behind_fails_in_front() -> None:
    def full() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"), Behind() as behind:
        behind.do(full)


@pytest.mark.parametrize(
    ("seconds", "fits", "best"),
    [
        (lambda size: 1.0 + 0 * size, 64, 64),  # idle between tiles: more is faster
        (lambda size: float(size), 64, 4),  # busy with four already
        (lambda size: float(max(size, 16)), 64, 16),
        (lambda size: 1.0 + 0 * size, 8, 8),  # no memory for more
        (lambda size: 1.0 + 0 * size, 2, 4),
    ],
)
def test_the_largest_batch_that_fits_and_helps_is_taken(seconds, fits: int, best: int) -> None:  # type: ignore[no-untyped-def]
    def timed(size: int) -> float:
        if size > fits:
            raise torch.OutOfMemoryError
        return float(seconds(size))

    assert largest_that_helps(timed) == best


class Settings(nn.Module):
    """A network that notes what cuDNN may do while it runs."""

    allowed: tuple[bool, bool] | None = None

    def forward(self, x: Tensor) -> Tensor:
        Settings.allowed = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
        return x[:, :1]


def test_a_processor_maps_in_float32_four_tiles_at_once_and_nothing_is_rounded() -> None:
    card = make_card(BANDS)
    predictor = Predictor(card, Settings(), "cpu")
    assert for_tiles(predictor) is predictor
    assert tiles_at_once(predictor, None) == CPU_BATCH == 4
    assert tiles_at_once(predictor, 9) == 9
    assert pick_precision("auto") == torch.float32
    assert pick_precision("bfloat16") == torch.bfloat16
    predictor(np.zeros((1, len(BANDS), 16, 16), np.float32))
    assert Settings.allowed == (False, True)
