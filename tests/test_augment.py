"""Mirrors: each its own inverse, labels move with pixels, and the aspect of mirrored ground is the
mirrored aspect.
"""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.errors import RequestError
from gee.derive import terrain
from gee.source import Elevation
from tiles.augment import Augment, Mirror, mirror, mirror_bands, safe_mirrors

NAMES = ("post_B4", "slope", "aspect_sin", "aspect_cos", "hillshade", "post_NDVI")
MIRRORS = [Mirror.HORIZONTAL, Mirror.VERTICAL, Mirror.DIAGONAL]


def chip(
    seed: int, height: int = 24, width: int = 24
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(size=(len(NAMES), height, width)).astype(np.float32)
    pixels[:, rng.random((height, width)) < 0.1] = np.nan
    return pixels, rng.choice(np.array([0, 1, 255], np.uint8), (height, width))


@pytest.mark.parametrize("how", list(Mirror))
def test_each_mirror_is_its_own_inverse(how: Mirror) -> None:
    pixels, label = chip(1, 24, 30)
    np.testing.assert_array_equal(
        mirror_bands(mirror_bands(pixels, NAMES, how), NAMES, how), pixels
    )
    np.testing.assert_array_equal(mirror(mirror(label, how), how), label)
    if how is not Mirror.NONE:
        assert not np.array_equal(mirror(label, how), label)


def terrain_of(z: NDArray[np.float32], azimuth: float) -> NDArray[np.float32]:
    side = z.shape[0]
    geobox = GeoBox((side, side), Affine(10, 0, 500_000, 0, -10, 4_700_000), "EPSG:32654")
    names = ("dem", "slope", "curvature", "aspect_sin", "aspect_cos", "hillshade")
    made = terrain(Elevation(z, geobox), geobox, names, azimuth_deg=azimuth)
    return np.stack([made[name] for name in names])


@pytest.mark.parametrize("how", MIRRORS)
@pytest.mark.parametrize("azimuth", [0.0, 90.0, 135.0, 270.0, 315.0, 300.0])
def test_terrain_of_mirrored_ground_is_the_mirrored_terrain(how: Mirror, azimuth: float) -> None:
    """Aspect always; hillshade exactly where `safe_mirrors` says that the light stays where it
    is.
    """
    rng = np.random.default_rng(5)
    z = (rng.random((40, 40)).cumsum(0).cumsum(1) * 2 + 30 * rng.random((40, 40))).astype(
        np.float32
    )
    names = ("dem", "slope", "curvature", "aspect_sin", "aspect_cos", "hillshade")
    expected = terrain_of(np.ascontiguousarray(mirror(z, how)), azimuth)
    found = mirror_bands(terrain_of(z, azimuth), names, how)
    np.testing.assert_allclose(found[:5], expected[:5], atol=2e-3)
    assert np.allclose(found[5], expected[5], atol=0.1) == (
        how in safe_mirrors(names, "safe", azimuth)
    )


def test_which_mirrors_are_safe() -> None:
    assert safe_mirrors(["post_B4"]) == tuple(Mirror)
    assert safe_mirrors(["aspect_sin"]) == (Mirror.NONE, Mirror.HORIZONTAL, Mirror.VERTICAL)
    assert safe_mirrors(["hillshade"]) == tuple(Mirror)
    assert safe_mirrors(["hillshade"], "safe", 315) == (Mirror.NONE, Mirror.DIAGONAL)
    assert safe_mirrors(["hillshade"], "safe", 270) == (Mirror.NONE, Mirror.VERTICAL)
    assert safe_mirrors(["slope"], "safe", 300) == tuple(Mirror)
    with pytest.raises(RequestError, match="azimuth"):
        safe_mirrors(["hillshade"], "safe")


@pytest.mark.parametrize(
    ("mirrors", "images"), [("none", 1), ("flips", 4), ("paper", 4), ("all", 8)]
)
def test_a_chip_takes_every_image_it_may_and_no_other(mirrors: str, images: int) -> None:
    pixels, label = chip(2)
    augment = Augment(mirrors=mirrors)  # type: ignore[arg-type]
    seen = set()
    for seed in range(120):
        changed, turned = augment(pixels, label, NAMES, np.random.default_rng(seed))
        assert changed.shape == pixels.shape
        np.testing.assert_array_equal(np.sort(turned, axis=None), np.sort(label, axis=None))
        # A pixel and its label stay together.
        np.testing.assert_array_equal(
            np.sort(changed[0][turned == 1]), np.sort(pixels[0][label == 1])
        )
        seen.add(turned.tobytes())
    assert len(seen) == images


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.3), st.floats(0, 0.05), st.integers(0, 100))
def test_illumination_changes_reflectance_only_and_within_its_limits(
    gain: float, offset: float, seed: int
) -> None:
    pixels, label = chip(3)
    changed, same = Augment(mirrors="none", gain=gain, offset=offset)(
        pixels, label, NAMES, np.random.default_rng(seed)
    )
    np.testing.assert_array_equal(same, label)
    np.testing.assert_allclose(changed[1:], pixels[1:], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(changed), np.isnan(pixels))
    reach = np.abs(pixels[0]) * gain + offset + 1e-6
    known = ~np.isnan(pixels[0])
    assert (np.abs(changed[0] - pixels[0])[known] <= reach[known]).all()


def test_illumination_changes_something() -> None:
    pixels, label = chip(3)
    changed, _ = Augment(mirrors="none", gain=0.2)(pixels, label, NAMES, np.random.default_rng(0))
    assert np.nanmax(np.abs(changed[0] - pixels[0])) > 0.01
