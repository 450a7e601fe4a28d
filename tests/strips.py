"""Which strips of a probability raster were mapped, and which were taken as they lay there."""

from __future__ import annotations

from typing import Any

import pytest

from flows import probability


def strips_mapped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that every strip mapped from now on in this process is added to."""
    mapped: list[int] = []
    inner = probability._map_strips

    def spied(predictor: Any, grid: Any, target: Any, strips: Any, *rest: Any, **more: Any) -> Any:
        mapped.extend(strips)
        return inner(predictor, grid, target, strips, *rest, **more)

    monkeypatch.setattr(probability, "_map_strips", spied)
    return mapped
