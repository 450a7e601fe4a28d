"""A service that is busy: few aggregations at once, and as many scenes as a large event has."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from earthengine import world
from earthengine.evaluator import Evaluator
from earthengine.loopback import Engine, Refused
from earthengine.pictures import Image, Raster, asset

CROWDED = "Too many concurrent aggregations."
MOST_AGGREGATIONS = 5


class Crowded(Engine):
    """Refuses whoever makes more than five aggregations at once, others' included, as the service
    does; one over every scene of a collection counts as many as it has scenes.
    """

    leaving = 0
    """Others' aggregations that end once they have been in somebody's way."""

    def __init__(self, inner: Evaluator) -> None:
        self.inner, self.busy, self.peak, self.refused, self.largest = inner, 0, 0, 0, 0
        self._lock = threading.Lock()

    def value(self, expression: dict[str, Any]) -> Any:
        text = json.dumps(expression)
        cost = text.count('"Image.reduceRegion"')
        with self._lock:
            self.largest = max(self.largest, len(text))
            if self.busy + cost > MOST_AGGREGATIONS:
                self.refused += 1
                self.busy, self.leaving = self.busy - self.leaving, 0
                raise Refused(429, CROWDED)
            self.busy += cost
            self.peak = max(self.peak, self.busy)
        try:
            if cost:
                time.sleep(0.1)  # as the service takes its time: those that are in flight meet
            return self.inner.value(expression)
        finally:
            with self._lock:
                self.busy -= cost

    def pixels(self, request: dict[str, Any]) -> bytes:
        return self.inner.pixels(request)

    def asset(self, name: str) -> dict[str, Any]:
        return self.inner.asset(name)


def many_scenes(count: int) -> list[Image]:
    """Return `count` scenes of nine tiles over fifteen months, every third one cloudy, each with
    Cloud Score+: as many as the area of a M 6.6 (360) or a M 7.8 (1 000) earthquake has.
    """
    images = []
    size, affine = world.lattice(60)
    clear, cloudy = (
        Raster(np.full((size, size), value, "float32"), world.CRS, affine) for value in (0.9, 0.1)
    )
    counts = Raster(np.full((size, size), 1500, "uint16"), world.CRS, affine)
    for number in range(count):
        day = datetime(2017, 9, 2, 1, 20, tzinfo=UTC) + timedelta(days=450 * number / count)
        index = f"{day:%Y%m%dT%H%M%S}_{number:04d}"
        facts = {
            "system:time_start": day.timestamp() * 1000,
            "CLOUDY_PIXEL_PERCENTAGE": 100 if number // 9 % 6 == 0 else 30,
            "MGRS_TILE": f"54TX{number % 9}",
        }
        score = cloudy if number // 9 % 3 == 0 else clear
        images += [
            asset(f"COPERNICUS/S2_HARMONIZED/{index}", {"B4": counts}, facts),
            asset(f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{index}", {"cs_cdf": score}, facts),
        ]
    return [*images, world.water()]
