"""Another day's light and another season's green, drawn for each date apart: what differs between
two images besides landslides.

On reflectance, before normalisation: every band of a date is multiplied by a light common to the
date and by a factor of its own, and raised by a haze; indices are computed anew from the varied
bands, so that they stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from configs.bands import BANDS, DERIVED, When, parse_band

_OWN = 0.5
"""Spread of a band's own factor, as a share of that of the light all bands have in common (as for
`jitter`).
"""
_HAZE = 0.05
"""Reflectance added at a spread of 1: one hundredth at a season of 0.2 (chosen: about what a hazier
day adds in blue).
"""
_DARKEST = 1e-4

Pixels = NDArray[np.float32]


def vary_seasons(
    x: Pixels, bands: Sequence[str], spread: float, rng: np.random.Generator
) -> Pixels:
    """Return a physical chip `(C, H, W)` in another light on either date; NaN stays NaN, other
    bands as they are.

    An index is computed from its two bands, or from the one that is at hand and the other that
    follows from both; where neither is at hand it stays as it is.
    """
    varied = np.array(x, np.float32)
    for when in When:
        channels = {
            parse_band(n).band.name: i for i, n in enumerate(bands) if parse_band(n).when == when
        }
        light, haze = spread * rng.normal(), _HAZE * spread * rng.normal()
        own = {
            base: float(rng.normal()) for base in BANDS
        }  # all of them, so that a band's draw is not another band's matter

        def lit(
            values: Pixels,
            base: str,
            light: float = light,
            haze: float = haze,
            own: Mapping[str, float] = own,
        ) -> Pixels:
            gain = np.float32(np.exp(light + _OWN * spread * own[base]))
            return np.asarray(np.maximum(values * gain + np.float32(haze), np.float32(_DARKEST)))

        for base, i in channels.items():
            if BANDS[base].unit == "reflectance":
                varied[i] = lit(x[i], base)
            elif base in DERIVED and (pair := _inputs(x, channels, base)) is not None:
                a, b = (lit(values, name) for values, name in zip(pair, DERIVED[base], strict=True))
                varied[i] = (a - b) / (a + b)
    return varied


def _inputs(x: Pixels, channels: Mapping[str, int], index: str) -> tuple[Pixels, Pixels] | None:
    """Return the two bands `(y, x)` of the index (a - b) / (a + b), as far as it and one of them
    tell.
    """
    first, second = (x[channels[name]] if name in channels else None for name in DERIVED[index])
    value = np.clip(x[channels[index]], -0.999, 0.999)
    if first is not None:
        return first, second if second is not None else first * (1 - value) / (1 + value)
    return (second * (1 + value) / (1 - value), second) if second is not None else None
