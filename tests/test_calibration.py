"""Calibration: recovers what was done to the logits, never reorders pixels, and measures its own
error.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from configs.errors import RequestError
from models.inference.calibration import (
    LogitCounts,
    apply,
    expected_calibration_error,
    fit,
    reliability,
)


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray]:
    """Return true logits and labels drawn from them, landslides rare."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 2, 60_000)
    return logits, (rng.random(60_000) < expit(logits)).astype(np.uint8)


def test_recovers_temperature_and_shift(world: tuple[np.ndarray, np.ndarray]) -> None:
    z, y = world
    temperature = fit(LogitCounts.of(z * 3, y), "temperature", "here")
    assert (temperature.scale, temperature.shift, temperature.fitted_on) == (
        pytest.approx(1 / 3, rel=0.03),
        0,
        "here",
    )
    platt = fit(LogitCounts.of(z * 0.5 + 1, y), "platt")
    assert (platt.scale, platt.shift) == (pytest.approx(2, rel=0.05), pytest.approx(-2, abs=0.1))
    assert fit(LogitCounts.of(z, y), "none").method == "none"


def test_halves_the_calibration_error_and_keeps_the_order(
    world: tuple[np.ndarray, np.ndarray],
) -> None:
    z, y = world
    held_out, other = slice(0, 30_000), slice(30_000, None)
    wrong = z * 3 + 2
    fitted = fit(LogitCounts.of(wrong[held_out], y[held_out]), "platt")
    before = expected_calibration_error(expit(wrong[other]), y[other])
    after = expected_calibration_error(apply(wrong[other], fitted), y[other])
    assert after < 0.25 * before
    assert (np.diff(apply(np.sort(wrong), fitted)) >= 0).all()


def test_counts_add_and_ignore_what_is_not_labelled(world: tuple[np.ndarray, np.ndarray]) -> None:
    z, y = world
    hidden = np.where(np.arange(len(y)) % 3 == 0, 255, y).astype(np.uint8)
    kept = hidden != 255
    assert fit(LogitCounts.of(z, hidden), "platt") == fit(LogitCounts.of(z[kept], y[kept]), "platt")
    parts = LogitCounts.of(z[:100], y[:100]) + LogitCounts.of(z[100:], y[100:])
    assert parts.loss(1.3, 0.2) == pytest.approx(LogitCounts.of(z, y).loss(1.3, 0.2))


def test_reliability_of_a_known_table() -> None:
    p = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9, np.nan, 0.5])
    y = np.array([0, 0, 0, 1, 1, 1, 1, 255])
    low, high = (one for one in reliability(p, y, bins=2))
    assert (low.pixels, low.frequency, high.pixels, high.frequency) == (4, 0.25, 2, 1.0)
    assert low.confidence == pytest.approx(0.1)
    assert expected_calibration_error(p, y, bins=2) == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)
    assert np.isnan(expected_calibration_error(p[:0], y[:0]))


def test_refuses_one_class_only() -> None:
    with pytest.raises(RequestError, match="with and without"):
        fit(LogitCounts.of(np.ones(5), np.zeros(5)), "platt")
