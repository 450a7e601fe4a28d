"""The pixel code: one integer that says scene and class, in a byte of its own or on top of eight
bands, never zero.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.bands import BANDS, When
from configs.earthengine import EarthEngineConfig
from configs.records import ObservationClass, Scene
from earthengine import world
from earthengine.loopback import Fault, Loopback
from gee.earthengine import EarthEngineSource, pixel_codes
from gee.earthengine.failures import Damaged
from gee.earthengine.layers import DECIBEL, PERCENT, REFLECTANCE, Travel

TEN = tuple(
    f"post_{band}" for band in ("B2", "B3", "B4", "B5", "B8", "B8A", "B11", "B12", "B1", "B9")
)
GRID = world.AREA.geobox(10)[0:64, 0:64]


def scenes(number: int) -> list[Scene]:
    start = datetime(2018, 9, 6, tzinfo=UTC)
    return [Scene(str(i), When.POST, start + timedelta(days=i), "p") for i in range(number)]


@settings(max_examples=40, deadline=None)
@given(
    slot=st.integers(0, 30),
    kind=st.sampled_from([one for one in ObservationClass if one < 6]),
    bands=st.integers(8, 12),
)
def test_what_is_packed_comes_out_again(slot: int, kind: ObservationClass, bands: int) -> None:
    code = pixel_codes.first_code(slot) + int(kind)
    random = np.random.default_rng(slot)
    counts = [
        random.integers(0, pixel_codes.COUNTS + 1, (5, 4)).astype(np.uint16) for _ in range(bands)
    ]
    packed = [
        one | np.uint16(0x8000 if place < 8 and code >> place & 1 else 0)
        for place, one in enumerate(counts)
    ]
    found = pixel_codes.unpack(packed)
    assert (found == code).all()
    for one, other in zip(packed, counts, strict=True):
        np.testing.assert_array_equal(one, other)
    pixel_codes.check_codes(found, 31)
    assert (pixel_codes.read_classes(found, scenes(31)) == kind).all()
    assert (
        pixel_codes.read_days(found, scenes(31))
        == (scenes(31)[slot].acquired.date() - datetime(1970, 1, 1).date()).days
    ).all()


@pytest.mark.parametrize("wrong", [0, pixel_codes.first_code(3), 200])
def test_a_code_that_no_scene_has_is_noticed(wrong: int) -> None:
    found = np.full((3, 3), pixel_codes.first_code(0), np.uint8)
    pixel_codes.check_codes(found, 3)
    found[1, 1] = wrong
    with pytest.raises(Damaged):
        pixel_codes.check_codes(found, 3)


def test_ten_bands_carry_the_code_without_a_byte_more(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    """The very pixels of a request of three bands, which carries it in a byte of its own."""
    source = EarthEngineSource(config)
    many = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, TEN)
    ten = source.pull(many, GRID)
    assert source.account["bytes"] <= 1.05 * 2 * len(TEN) * 64 * 64
    few = source.pull(source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, TEN[:3]), GRID)
    for name in TEN[:3]:
        np.testing.assert_array_equal(ten.bands[name], few.bands[name])
    np.testing.assert_array_equal(ten.observation[When.POST], few.observation[When.POST])
    np.testing.assert_array_equal(ten.date[When.POST], few.date[When.POST])
    assert {*np.unique(ten.observation[When.POST])} & {
        ObservationClass.CLEAR,
        ObservationClass.CLOUD,
    }


def test_half_a_packed_payload_of_zeros_is_asked_for_again(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    source = EarthEngineSource(config)
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, TEN)
    clean = source.pull(plan, GRID)
    loopback.faults = [Fault("zeros", times=1)]
    again = source.pull(plan, GRID)
    assert source.account["tried_again"] == 1
    np.testing.assert_array_equal(again.bands["post_B12"], clean.bands["post_B12"])


@pytest.mark.parametrize(
    ("travel", "band", "same"),
    [
        (REFLECTANCE, "B4", True),
        (DECIBEL, "VV", True),
        (PERCENT, "water", False),
        (Travel("uint16", 1e-3, 0), "B4", False),
    ],
)
def test_bands_that_travel_as_they_are_stored(travel: Travel, band: str, same: bool) -> None:
    assert travel.is_of(BANDS[band]) is same
