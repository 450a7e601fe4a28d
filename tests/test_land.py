"""Land and sea: known places, the antimeridian, and agreement with the package the picture was made
from.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.area import around, from_bounds
from configs.land import CELL_DEGREES, PATH, land_cells, land_fraction


@pytest.mark.parametrize(
    ("latitude", "longitude", "land"),
    [
        (42.69, 141.93, True),  # Iburi
        (33.2, 103.8, True),  # Jiuzhaigou
        (-42.4, 173.7, True),  # Kaikoura
        (-17.8, 178.0, True),  # Viti Levu, near the antimeridian
        (71.2, -179.5, True),  # Wrangel Island, beyond it
        (-85.0, 0.0, True),
        (38.0, 150.0, False),
        (0.0, -140.0, False),
        (0.0, 180.0, False),
        (89.9, 10.0, False),
    ],
)
def test_known_places(latitude: float, longitude: float, land: bool) -> None:
    assert (land_fraction(around(latitude, longitude, 2)) == 0) == (not land)


def test_areas_on_the_antimeridian_and_the_poles() -> None:
    both = from_bounds("177,-18.5,-179,-16")  # Fiji
    assert 0 < land_fraction(both) < 0.9
    assert land_fraction(from_bounds("179,-1,-179,1")) == 0
    wrangel = around(71.2, 180.0, 30)
    assert land_fraction(wrangel) > 0.5
    assert land_fraction(from_bounds("-180,-90,180,-89")) == 1
    assert land_fraction(from_bounds("-180,89,180,90")) == 0


def test_a_coast_is_partly_land() -> None:
    assert 0.2 < land_fraction(around(42.45, 141.93, 30)) < 0.9
    assert land_fraction(around(42.69, 141.93, 5)) == 1


def test_small_and_of_its_own() -> None:
    """The package that the mask was derived from costs seconds and a gigabyte at import."""
    assert PATH.stat().st_size < 300_000
    assert land_cells().shape == (3600, 7200)
    code = (
        "import sys; from configs.area import around; from configs import land;"
        "assert land.land_fraction(around(42.69, 141.93, 5)) == 1;"
        "assert 'global_land_mask' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_agrees_with_the_package_it_was_made_from() -> None:
    globe = pytest.importorskip(
        "global_land_mask", reason="global-land-mask is not installed"
    ).globe
    random = np.random.default_rng(0)
    latitude, longitude = (
        random.uniform(-89.99, 89.99, 20_000),
        random.uniform(-180, 179.999, 20_000),
    )
    truth = globe.is_land(latitude, longitude)
    ours = land_cells()[
        ((90 - latitude) / CELL_DEGREES).astype(int), ((longitude + 180) / CELL_DEGREES).astype(int)
    ]
    assert ours[truth].all()  # land is never called sea
    assert (ours & ~truth).mean() < 0.02
