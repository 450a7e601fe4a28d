"""Terrain taken out of radar, against the areas that a sensor illuminates, by vectors (Small 2011,
IEEE TGRS 49(8)).
"""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from gee.backscatter import around_px, geometry
from gee.source import Elevation

# On the central meridian, where columns run east and a map's metre is one on the ground to 4e-4.
MODEL = GeoBox((320, 320), Affine(30, 0, 495_200, 0, -30, 4_804_800), "EPSG:32632")
BLOCK = GeoBox((60, 60), Affine(10, 0, 499_700, 0, -10, 4_800_300), "EPSG:32632")


def plane(east: float, north: float) -> Elevation:
    """Return ground that rises so much per metre eastward and northward."""
    columns, rows = np.meshgrid(np.arange(320) * 30.0, np.arange(320) * 30.0)
    return Elevation((3000 + east * columns - north * rows).astype(np.float32), MODEL)


def seen(elevation: Elevation, incidence: float, to_sensor: float) -> tuple[float, bool]:
    found = geometry(elevation, BLOCK, np.full((60, 60), incidence, np.float32), to_sensor)
    return float(found.flattening_db[30, 30]), bool(found.hidden[30, 30])


@pytest.mark.parametrize("to_sensor", [258.0, 102.0, 10.0])
@pytest.mark.parametrize(
    ("slope", "aspect", "incidence"),
    [(0, 0, 39), (15, 258, 39), (20, 78, 39), (25, 150, 33), (12, 300, 44), (28, 10, 41)],
)
def test_ground_that_scatters_evenly_is_even_again(
    slope: float, aspect: float, incidence: float, to_sensor: float
) -> None:
    """0.05 dB: what the map's scale and the model's whole-number grid leave."""
    fall = np.tan(np.radians(slope))
    east, north = (-fall * f(np.radians(aspect)) for f in (np.sin, np.cos))
    look = np.radians(to_sensor)
    theta = np.radians(incidence)
    to_radar = np.array([np.sin(look) * np.sin(theta), np.cos(look) * np.sin(theta), np.cos(theta)])
    in_range = np.array([np.sin(look), np.cos(look), east * np.sin(look) + north * np.cos(look)])
    along = np.array([np.cos(look), -np.sin(look), east * np.cos(look) - north * np.sin(look)])
    normal = np.cross(in_range, along)
    normal *= np.sign(normal[2])
    illuminated = normal @ to_radar
    on_ellipsoid = in_range @ to_radar / np.sin(theta)
    gamma = 0.1
    sigma_db = 10 * np.log10(gamma * illuminated / on_ellipsoid)
    gain, hidden = seen(plane(east, north), incidence, to_sensor)
    assert not hidden
    assert sigma_db + gain == pytest.approx(10 * np.log10(gamma), abs=0.05)


def test_layover_and_shadow_are_hidden() -> None:
    fall = np.tan(np.radians(50))
    assert seen(plane(-fall, 0), 39, 90)[1], "steeper than the line of sight: layover"
    assert seen(plane(fall, 0), 45, 90)[1], "turned away beyond grazing: shadow"
    assert not seen(plane(fall, 0), 30, 90)[1]


def test_a_wall_throws_a_radar_shadow_as_long_as_the_angle_says() -> None:
    """300 m over flat ground, 40 degrees of incidence: 252 m."""
    heights = np.full((320, 320), 100, np.float32)
    heights[:, 165:169] = 400  # 150 m east of the block's middle
    elevation = Elevation(heights, MODEL)
    found = geometry(elevation, BLOCK, np.full((60, 60), 40, np.float32), 90.0).hidden
    length = 300 * np.tan(np.radians(40))
    foot = MODEL.affine.c + 165 * 30
    centres = BLOCK.affine.c + 10 * (np.arange(60) + 0.5)
    flat = centres < foot - 60  # the wall's own slopes aside
    inside = centres > foot - length
    row = found[30]
    edge = np.abs(centres - (foot - length)) < 30  # a pixel of the model
    assert row[flat & inside & ~edge].all()
    assert not row[flat & ~inside & ~edge].any()


def test_voids_and_what_was_not_imaged_stay_unknown() -> None:
    elevation = plane(0.1, 0.1)
    elevation.values[155:160, 155:160] = np.nan
    angle = np.full((60, 60), 39, np.float32)
    angle[:10] = np.nan
    found = geometry(elevation, BLOCK, angle, 258.0)
    assert np.isnan(found.flattening_db[:10]).all()
    assert np.isnan(found.flattening_db).sum() > 600
    assert np.isfinite(found.flattening_db).any()
    nothing = geometry(elevation, BLOCK, np.full((60, 60), np.nan, np.float32), 258.0)
    assert np.isnan(nothing.flattening_db).all()


def test_the_margin_reaches_as_far_as_a_shadow() -> None:
    assert around_px(30.0) * 30 > 2000 * np.tan(np.radians(46))
