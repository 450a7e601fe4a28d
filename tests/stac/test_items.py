"""What items say, in the ways that catalogues say it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pystac
import pytest
from shapely import box
from shapely.geometry import mapping

from configs.bands import When
from configs.records import Sun
from gee.ranking import Found
from gee.stac import items
from stac import world

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(
    name: str = "S2A_54TXN_20180915_0_L2A",
    bounds: tuple[float, ...] = (141, 42, 142, 43),
    **said: Any,
) -> pystac.Item:
    outline = box(*bounds)
    properties = {key.replace("__", ":"): value for key, value in said.items()}
    moment = properties.pop("moment", datetime(2018, 9, 15, 1, 20, tzinfo=UTC))
    return pystac.Item(name, mapping(outline), list(outline.bounds), moment, properties)


def seen(found: pystac.Item) -> Found:
    return items.sighting(found, When.POST, world.AREA, "sentinel-2-l2a")


@pytest.mark.parametrize(
    ("said", "tile"),
    [
        ({"s2__mgrs_tile": "54TXN"}, "54TXN"),  # Planetary Computer
        ({"grid__code": "MGRS-54TXN"}, "54TXN"),  # Earth Search
        ({"mgrs__utm_zone": 9, "mgrs__latitude_band": "U", "mgrs__grid_square": "WT"}, "09UWT"),
        ({"grid__code": "MGRS-9UWT"}, "09UWT"),
        ({}, "141.0,42.0,142.0,43.0"),  # one of its own
    ],
)
def test_tiles_are_known_by_any_name(said: dict[str, Any], tile: str) -> None:
    assert seen(item(**said)).tile == tile


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"s2__processing_baseline": "05.09"}, 5.09),
        ({"s2__processing_baseline": "N0510"}, None),
        ({"processing__version": "02.14"}, 2.14),
        ({"processing__version": "1.4.2"}, None),  # of somebody's software
        ({}, None),
    ],
)
def test_the_baseline_is_read_where_it_is_one(said: dict[str, Any], expected: float | None) -> None:
    assert items.baseline(item(**said)) == expected


@pytest.mark.parametrize(
    ("said", "sun"),
    [
        ({"view__sun_azimuth": 163.004, "view__sun_elevation": 9}, Sun(163.0, 9.0)),
        ({"s2__mean_solar_azimuth": 163.0, "s2__mean_solar_zenith": 81.0}, Sun(163.0, 9.0)),
        (
            {
                "view__sun_azimuth": None,
                "s2__mean_solar_azimuth": -10.0,
                "s2__mean_solar_zenith": 81,
            },
            Sun(350.0, 9.0),
        ),
        ({"view__sun_azimuth": 163.0}, None),
        ({"view__sun_elevation": 9.0}, None),
        ({"view__sun_azimuth": 163.0, "view__sun_elevation": -2.0}, None),  # below the horizon
        ({"view__sun_azimuth": 163.0, "view__sun_elevation": 99.0}, None),
        ({"view__sun_azimuth": "163", "view__sun_elevation": float("nan")}, None),
        ({}, None),
    ],
)
def test_the_sun_is_read_where_both_angles_are_told(said: dict[str, Any], sun: Sun | None) -> None:
    assert seen(item(**said)).scene.sun == sun


@pytest.mark.parametrize(
    ("key", "fields", "kind"),
    [
        ("red", {}, TIFF),
        ("B04", {}, TIFF),
        ("R10m-four", {"eo:bands": [{"name": "B4", "common_name": "red"}]}, TIFF),
        ("four", {"bands": [{"name": "B04", "eo:common_name": "red"}]}, TIFF),
    ],
)
def test_a_band_is_found_by_key_or_by_what_is_said_of_it(
    key: str, fields: dict[str, Any], kind: str
) -> None:
    found = item()
    jpeg = pystac.Asset("https://x/B04.jp2", media_type="image/jp2")
    found.add_asset("B04-jp2", jpeg)
    found.add_asset(
        "preview", pystac.Asset("https://x/p.tif", media_type=TIFF, extra_fields=fields)
    )
    found.add_asset(key, pystac.Asset("https://x/red.tif", media_type=kind, extra_fields=fields))
    asset = items.asset_of(found, "B4")
    assert asset is not None
    assert asset.href == "https://x/red.tif"
    assert items.asset_of(found, "B8") is None


def test_a_picture_that_is_no_geotiff_is_no_band() -> None:
    found = item()
    found.add_asset("red", pystac.Asset("https://x/B04.jp2", media_type="image/jp2"))
    assert items.asset_of(found, "B4") is None


def test_scale_and_offset_are_read_in_old_and_new_items() -> None:
    old = pystac.Asset("x.tif", extra_fields={"raster:bands": [{"scale": 1e-4, "offset": -0.1}]})
    new = pystac.Asset("x.tif", extra_fields={"raster:scale": 1e-4, "raster:offset": -0.1})
    assert items.told(old) == items.told(new) == {"scale": 1e-4, "offset": -0.1}
    assert items.told(pystac.Asset("x.tif")) == {}


def test_of_two_processings_of_a_pass_the_later_is_used() -> None:
    first = seen(item("A_0_L2A", grid__code="MGRS-54TXN", s2__processing_baseline="02.07"))
    later = seen(item("A_1_L2A", grid__code="MGRS-54TXN", s2__processing_baseline="05.00"))
    kept, older = items.newest_processing([first, later])
    assert [one.scene.id for one in kept] == ["A_1_L2A"]
    assert older == ["A_0_L2A"]


def test_two_parts_of_a_pass_both_stay() -> None:
    west = seen(item("A_0_L2A", (141, 42, 141.5, 43), grid__code="MGRS-54TXN"))
    east = seen(item("A_1_L2A", (141.45, 42, 142, 43), grid__code="MGRS-54TXN"))
    assert len(items.newest_processing([west, east])[0]) == 2


def test_other_days_tiles_and_windows_are_other_images() -> None:
    one = seen(item("A", grid__code="MGRS-54TXN"))
    day = one.scene.acquired + timedelta(days=5)
    others = [
        replace(one, scene=replace(one.scene, id="B", acquired=day)),
        replace(one, tile="54TYN", scene=replace(one.scene, id="C")),
        replace(one, scene=replace(one.scene, id="D", when=When.PRE)),
    ]
    assert len(items.newest_processing([one, *others])[0]) == 4


def test_a_signature_is_no_part_of_a_fingerprint() -> None:
    one, other = item(), item()
    one.add_asset("red", pystac.Asset("https://x/red.tif?sig=a", media_type=TIFF))
    other.add_asset("red", pystac.Asset("https://x/red.tif?sig=b", media_type=TIFF))
    assert items.fingerprint(one) == items.fingerprint(other)
    other.assets["red"].href = "https://x/green.tif?sig=b"
    assert items.fingerprint(one) != items.fingerprint(other)


def test_outlines_come_to_the_turn_of_the_area() -> None:
    there = seen(item("A", (-219, 42, -218, 43)))
    assert np.allclose(there.outline.bounds, (141, 42, 142, 43))
