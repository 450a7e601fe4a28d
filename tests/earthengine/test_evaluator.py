"""The emulator itself: its algorithms against independent numpy answers, its limits, and its
refusal to guess.
"""

from __future__ import annotations

import io
from typing import Any

import ee
import numpy as np
import pytest
from affine import Affine

from configs.earthengine import EarthEngineConfig
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from earthengine.pictures import Raster, asset
from gee.earthengine import connect, disconnect

CRS = "EPSG:32654"
FINE, COARSE = Affine(10, 0, 500_000, 0, -10, 4_700_000), Affine(20, 0, 500_000, 0, -20, 4_700_000)
VALUES = np.arange(64, dtype="int16").reshape(8, 8)
HALF = np.arange(16, dtype="float32").reshape(4, 4)
MASK = np.ones((8, 8))
MASK[2, 3] = 0
MASK[5, 5] = 0.5


@pytest.fixture
def client(loopback: Loopback, config: EarthEngineConfig, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that asks for an image's pixels on the 8 × 8 grid (or another) of a tiny
    Earth.
    """
    rasters = {"a": Raster(VALUES, CRS, FINE, MASK), "b": Raster(HALF, CRS, COARSE)}
    with Loopback(Evaluator([asset("tiny/one", rasters, {"system:time_start": 0})])) as server:
        monkeypatch.setenv("COSLIDE_EE_URL", server.url)
        disconnect()
        connect(config)

        def pixels(image: Any, affine: Affine = FINE, size: int = 8) -> np.ndarray:
            grid = {
                "dimensions": {"width": size, "height": size},
                "affineTransform": {
                    "scaleX": affine.a,
                    "translateX": affine.c,
                    "scaleY": affine.e,
                    "translateY": affine.f,
                },
                "crsCode": CRS,
            }
            payload = ee.data.computePixels(
                {"expression": image, "fileFormat": "NPY", "grid": grid}
            )
            return np.load(io.BytesIO(payload))

        yield pixels


def test_bands_keep_their_types_and_grids(client: Any) -> None:
    table = client(ee.Image("tiny/one"))
    assert table.dtype["a"] == np.int16
    assert table.dtype["b"] == np.float32
    np.testing.assert_array_equal(
        table["b"], np.kron(HALF, np.ones((2, 2)))
    )  # nearest, from its own 20 m grid
    assert table["a"][2, 3] == 0  # masked
    assert table["a"][5, 5] == VALUES[5, 5]  # half known is known


def test_masks_are_fractions(client: Any) -> None:
    table = client(ee.Image("tiny/one").select("a").mask().multiply(100).toUint8())
    expected = np.full((8, 8), 100)
    expected[2, 3], expected[5, 5] = 0, 50
    np.testing.assert_array_equal(table["a"], expected)


def test_bilinear_is_the_mean_of_four_neighbours(client: Any) -> None:
    shifted = FINE @ Affine.translation(0.5, 0.5)
    table = client(
        ee.Image("tiny/one").select("b").resample("bilinear"),
        COARSE @ Affine.translation(0.5, 0.5),
        3,
    )
    expected = (HALF[:-1, :-1] + HALF[1:, :-1] + HALF[:-1, 1:] + HALF[1:, 1:]) / 4
    np.testing.assert_allclose(table["b"], expected)
    known = client(ee.Image("tiny/one").select("a").resample("bilinear").mask(), shifted, 4)
    assert known["a"][1, 2] == pytest.approx(0.75)  # one of four is masked


@pytest.mark.parametrize(
    ("image", "answer"),
    [
        (lambda a: a.add(3).multiply(2), lambda v: (v + 3) * 2),
        (lambda a: a.divide(4), lambda v: v / 4),
        (lambda a: a.mod(8), lambda v: v % 8),
        (lambda a: a.gte(30).And(a.lt(40)), lambda v: (v >= 30) & (v < 40)),
        (lambda a: a.bitwiseAnd(6).neq(0), lambda v: (v & 6) != 0),
        (lambda a: a.clamp(10, 20), lambda v: np.clip(v, 10, 20)),
        (lambda a: a.where(a.gt(31), 7), lambda v: np.where(v > 31, 7, v)),
        (lambda a: a.subtract(20).toUint8(), lambda v: np.clip(v - 20, 0, 255)),
        (lambda a: a.toFloat().divide(3).round(), lambda v: np.round(v / 3)),
    ],
)
def test_arithmetic(client: Any, image: Any, answer: Any) -> None:
    found = client(image(ee.Image("tiny/one").select("a")).rename("x"))["x"]
    known = MASK > 0
    np.testing.assert_allclose(found[known], answer(VALUES.astype(int))[known])
    assert not found[~known].any()


def test_unmask_and_mosaic(client: Any) -> None:
    a = ee.Image("tiny/one").select("a")
    filled = client(a.unmask(-7, False))["a"]
    assert filled[2, 3] == -7
    outside = Affine(10, 0, 400_000, 0, -10, 4_700_000)
    assert (client(a.unmask(-7, False), outside)["a"] == -7).all()
    assert (
        client(a.unmask(-7), outside)["a"] == 0
    ).all()  # its footprint is kept: masked beyond it
    top = client(ee.ImageCollection([a.add(100), a.updateMask(a.lt(10))]).mosaic())["a"]
    np.testing.assert_array_equal(top[0], VALUES[0])  # the last image on top where it is not masked
    np.testing.assert_array_equal(top[4], VALUES[4] + 100)


def test_neighbourhoods(client: Any) -> None:
    window = ee.Kernel.square(1, "pixels")
    a = ee.Image("tiny/one").select("b")
    for reducer, function in ((ee.Reducer.mean(), np.mean), (ee.Reducer.variance(), np.var)):
        found = client(a.reduceNeighborhood(reducer, window).rename("x"), COARSE, 4)["x"]
        assert found[1, 2] == pytest.approx(function(HALF[0:3, 1:4]))
        assert found[0, 0] == pytest.approx(function(HALF[0:2, 0:2]))  # beyond the edge is masked


def test_limits(client: Any) -> None:
    with pytest.raises(ee.EEException, match="must be less than or equal to"):
        client(ee.Image("tiny/one"), size=3000)
    with pytest.raises(ee.EEException, match="dimensions"):
        client(ee.Image("tiny/one"), size=40_000)


def test_what_it_does_not_know_is_refused(client: Any) -> None:
    with pytest.raises(ee.EEException, match=r"Unknown algorithm 'Image\.entropy'"):
        client(ee.Image("tiny/one").entropy(ee.Kernel.square(1)))
    with pytest.raises(ee.EEException, match="not found"):
        client(ee.Image("tiny/two"))
    with pytest.raises(ee.EEException, match="did not match any bands"):
        client(ee.Image("tiny/one").select("c"))
