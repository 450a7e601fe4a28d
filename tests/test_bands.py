"""Bands: names mean one thing, and storage loses less than half a step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.bands import BANDS, inputs_of, parse_band
from configs.errors import RequestError
from configs.stack import decode, encode

EVERY = [
    name if band.static else f"{when}_{name}"
    for name, band in BANDS.items()
    for when in ("pre", "post")
]


@pytest.mark.parametrize("name", EVERY)
def test_a_name_means_itself(name: str) -> None:
    assert parse_band(name).name == name


@pytest.mark.parametrize("name", ["B4", "pre_slope", "during_B4", "post_B99", "", "dem_"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RequestError):
        parse_band(name)


@pytest.mark.parametrize("name", EVERY)
@given(share=st.floats(0, 1))
def test_a_value_survives_storage_within_half_a_step(name: str, share: float) -> None:
    band = parse_band(name).band
    value = np.array([band.low + share * (band.high - band.low)], np.float64)
    stored = encode(value, name)
    assert stored.dtype == np.dtype(band.dtype)
    assert abs(decode(stored, name)[0] - value[0]) <= band.scale / 2 + 1e-6 * abs(value[0])


@pytest.mark.parametrize("name", EVERY)
def test_nodata_stays_nodata_and_extremes_are_clipped_never_wrapped(name: str) -> None:
    band = parse_band(name).band
    values = np.array([np.nan, np.inf, -1e9, 1e9], np.float32)
    back = decode(encode(values, name), name)
    assert np.isnan(back[:2]).all()
    np.testing.assert_allclose(back[2:], [band.low, band.high], atol=band.scale)


def test_derived_bands_ask_for_their_inputs_once() -> None:
    assert inputs_of(["slope", "hillshade", "post_NDVI", "post_B4", "pre_NDVI"]) == (
        "dem",
        "post_B8",
        "post_B4",
        "pre_B8",
        "pre_B4",
    )
