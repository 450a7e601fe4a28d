"""What a scene's numbers mean: every combination of what its item tells and its pixels show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pystac
import pytest

from gee.stac.encoding import SpoiltError, decided, said

RNG = np.random.default_rng(5)
GREEN = {  # reflectance of clear ground: forest, fields, some shadow
    "post_B2": RNG.uniform(0.015, 0.06, 5000),
    "post_B4": RNG.uniform(0.01, 0.08, 5000),
    "post_B12": RNG.uniform(0.02, 0.2, 5000),
}
DESERT = {  # bright sand: blue hardly above the offset, red and infrared far above
    "post_B2": RNG.uniform(0.12, 0.2, 5000),
    "post_B4": RNG.uniform(0.25, 0.4, 5000),
    "post_B12": RNG.uniform(0.4, 0.6, 5000),
}
SNOW = {name: RNG.uniform(0.6, 0.95, 5000) for name in ("post_B2", "post_B4")}


def item(
    baseline: str | None = None, flag: bool | None = None, offset: float | None = -0.1
) -> pystac.Item:
    properties: dict[str, Any] = {}
    if baseline is not None:
        properties["s2:processing_baseline"] = baseline
    if flag is not None:
        properties["earthsearch:boa_offset_applied"] = flag
    found = pystac.Item("S2", None, None, datetime(2023, 1, 1, tzinfo=UTC), properties)
    bands = [{"scale": 1e-4, "offset": offset}] if offset is not None else [{}]
    kind = "image/tiff; application=geotiff"
    red = pystac.Asset("https://x/red.tif", media_type=kind, extra_fields={"raster:bands": bands})
    found.add_asset("red", red)
    return found


def numbers(ground: dict[str, np.ndarray], added: int) -> dict[str, np.ndarray]:
    return {name: np.round(v / 1e-4 + added).astype("float32") for name, v in ground.items()}


@pytest.mark.parametrize("ground", [GREEN, DESERT, SNOW], ids=["green", "desert", "snow"])
@pytest.mark.parametrize(
    ("baseline", "flag", "offset", "added"),
    [
        ("05.09", True, -0.1, 0),  # Earth Search, as it should be
        ("05.09", False, -0.1, 1000),
        ("02.12", False, -0.1, 0),  # before 04.00, whatever the bands tell
        ("05.11", None, None, 1000),  # Planetary Computer tells nothing
        ("02.14", None, None, 0),
        (None, None, -0.1, 1000),  # an item that tells of its bands alone
        (None, None, 0.0, 0),
    ],
)
def test_what_is_told_right_is_believed(
    ground: dict[str, np.ndarray],
    baseline: str | None,
    flag: bool | None,
    offset: float | None,
    added: int,
) -> None:
    found = decided(item(baseline, flag, offset), numbers(ground, added))
    assert found.offset == pytest.approx(-added * 1e-4)
    assert found.scale == 1e-4
    assert not (ground is GREEN and found.doubt)


@pytest.mark.parametrize(
    ("baseline", "flag", "added"),
    [
        ("05.09", False, 0),  # earth-search issue 71: said to be in, and gone
        ("05.09", True, 1000),  # earth-search issue 66: said to be gone, and in
        ("05.09", None, 0),
    ],
)
def test_pixels_are_believed_before_the_item(baseline: str, flag: bool | None, added: int) -> None:
    found = decided(item(baseline, flag), numbers(GREEN, added))
    assert found.offset == pytest.approx(-added * 1e-4)
    assert found.reason.startswith("its pixels")


def test_before_baseline_4_nothing_is_taken_off_and_oddness_is_said() -> None:
    found = decided(item("03.01"), numbers(GREEN, 1000))
    assert found.offset == 0
    assert "darker" in found.doubt


def test_a_bright_scene_of_which_nothing_is_told_is_doubted() -> None:
    found = decided(item(None, None, None), numbers(SNOW, 0))
    assert found.offset == 0
    assert "darker" in found.doubt
    assert not decided(item("05.09", True), numbers(SNOW, 0)).doubt


def test_too_few_pixels_show_nothing() -> None:
    few = {name: values[:50] for name, values in numbers(GREEN, 0).items()}
    assert decided(item("05.09", False), few) == said(item("05.09", False))


def test_numbers_beyond_reflectance_are_spoilt() -> None:
    with pytest.raises(SpoiltError):
        decided(item("05.09", True), {"post_B4": np.full(5000, 64500, "float32")})
