"""Normalisation: exact streaming statistics, both formulas, and unobserved pixels in numpy and
torch alike.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from configs.checkpoint import BandStatistics, Normalisation
from configs.errors import RequestError
from models.histogram import BandHistogram
from models.inference.normalise import Normaliser, fit

BANDS = ("post_B4", "slope", "aspect_sin")


@pytest.fixture
def pixels() -> np.ndarray:
    rng = np.random.default_rng(1)
    x = np.stack(
        [
            rng.gamma(4, 0.02, (6, 40, 40)),
            rng.uniform(0, 60, (6, 40, 40)),
            rng.uniform(-1, 1, (6, 40, 40)),
        ],
        1,
    )
    x = x.round(4).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def test_statistics_equal_those_of_all_pixels_at_once(pixels: np.ndarray) -> None:
    labels = np.zeros((6, 40, 40), np.uint8)
    found = fit(zip(pixels, labels, strict=True), BANDS, "zscore").statistics
    for i, (name, step) in enumerate(zip(BANDS, (1e-4, 1e-2, 1e-4), strict=True)):
        v = pixels[:, i][np.isfinite(pixels[:, i])].astype(float)
        low, high = np.percentile(v, [0.1, 99.9], method="inverted_cdf")
        expected = (low, high, v.mean(), v.std())
        got = (found[name].minimum, found[name].maximum, found[name].mean, found[name].std)
        assert got == pytest.approx(expected, abs=0.6 * step), (
            name
        )  # half the step the band is stored with


def test_unlabelled_pixels_leave_no_trace(pixels: np.ndarray) -> None:
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[:, :, 20:] = 255
    half = [(x[:, :, :20], y[:, :20]) for x, y in zip(pixels, labels, strict=True)]
    assert fit(zip(pixels, labels, strict=True), BANDS, "minmax") == fit(half, BANDS, "minmax")
    assert fit(zip(pixels, labels * 0, strict=True), BANDS, "minmax") != fit(half, BANDS, "minmax")


def test_histograms_add_up_and_keep_stored_values_exactly(pixels: np.ndarray) -> None:
    band = pixels[:, 0]
    whole = BandHistogram.of(band, "post_B4")
    parts = BandHistogram.of(band[:2], "post_B4") + BandHistogram.of(band[2:], "post_B4")
    assert (whole.counts == parts.counts).all()
    assert whole.total == np.isfinite(band).sum()
    occurring = np.unique(band[np.isfinite(band)])
    assert whole.values[whole.counts > 0] == pytest.approx(occurring, abs=1e-6)
    ends = BandHistogram.of(np.array([-5.0, 99.0]), "post_B4").counts
    assert ends[0] == ends[-1] == 1


@pytest.mark.parametrize("method", ["minmax", "zscore", "none"])
def test_numpy_and_torch_agree_and_fill_comes_after_scaling(
    method: str, pixels: np.ndarray
) -> None:
    labels = np.zeros((6, 40, 40), np.uint8)
    normalisation = fit(zip(pixels, labels, strict=True), BANDS, method, fill=0.25)  # type: ignore[arg-type]
    normaliser = Normaliser.of(normalisation, BANDS)
    z = normaliser.array(pixels)
    assert z.dtype == np.float32
    assert normaliser.tensor(torch.from_numpy(pixels)).numpy() == pytest.approx(z, abs=1e-6)
    assert (z[np.isnan(pixels)] == np.float32(0.25)).all()
    seen = z[:, 0][np.isfinite(pixels[:, 0])]
    if method == "minmax":
        assert np.mean((seen >= 0) & (seen <= 1)) > 0.99
    elif method == "zscore":
        assert (seen.mean(), seen.std()) == pytest.approx((0, 1), abs=1e-2)
    else:
        assert (z[np.isfinite(pixels)] == pixels[np.isfinite(pixels)]).all()
    assert np.isfinite(normaliser.array(np.full((3, 1, 1), np.inf, np.float32))).all()


def test_a_band_that_never_varied_does_not_divide_by_zero() -> None:
    flat = BandStatistics(minimum=0.3, maximum=0.3, mean=0.3, std=0.0)
    for method in ("minmax", "zscore"):
        normaliser = Normaliser.of(
            Normalisation(method=method, statistics={"slope": flat}), ["slope"]
        )
        assert normaliser.array(np.full((1, 2, 2), 0.3, np.float32)) == pytest.approx(0, abs=1e-6)


def test_refuses_what_it_has_no_statistics_for() -> None:
    with pytest.raises(RequestError, match="no statistics for slope"):
        Normaliser.of(Normalisation(method="minmax"), ["slope"])
    with pytest.raises(RequestError, match="slope has no observed pixel"):
        fit([(np.full((1, 2, 2), np.nan), np.zeros((2, 2)))], ["slope"], "minmax")
