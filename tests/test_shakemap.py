"""ShakeMap grids: circles come out as circles, whatever the field order, the units or the
antimeridian; bad files are refused.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import httpx
import numpy as np
import pytest

from configs.area import Area
from configs.errors import NothingToSeeError, RequestError
from gee import fetch as fetching
from gee import shakemap
from gee.shakemap import outline, read_grid

FIELDS = (("LON", "dd"), ("LAT", "dd"), ("PGA", "pctg"), ("MMI", "intensity"))


def grid_xml(
    lon: float = 141.93,
    lat: float = 42.69,
    fields: tuple[tuple[str, str], ...] = FIELDS,
    radius_deg: float = 0.5,
    rows: int | None = None,
    head: str = "",
) -> bytes:
    """Return a ShakeMap around a point: MMI falls from 9 by 6 per degree, PGA is ten times MMI."""
    step, size = 0.02, int(2 * radius_deg / 0.02) + 1
    lons = (lon - radius_deg + step * np.arange(size) + 180) % 360 - 180
    lats = lat + radius_deg - step * np.arange(size)
    lines = []
    for y in lats:
        for x in lons:
            mmi = 9 - 6 * math.hypot((x - lon + 180) % 360 - 180, y - lat)
            point = {"LON": x, "LAT": y, "MMI": mmi, "PGA": mmi * 10, "PGV": 1.0}
            lines.append(" ".join(f"{point[name]:.6f}" for name, _ in fields))
    names = "".join(
        f'<grid_field index="{i}" name="{n}" units="{u}" />' for i, (n, u) in enumerate(fields, 1)
    )
    return (
        f'<?xml version="1.0"?>{head}<shakemap_grid '
        'xmlns="http://earthquake.usgs.gov/eqcenter/shakemap" event_id="x">'
        f'<grid_specification nlon="{size}" nlat="{size}" />{names}<grid_data>\n'
        + "\n".join(lines[:rows])
        + "\n</grid_data></shakemap_grid>"
    ).encode()


def radius_deg(found: Area) -> float:
    """Return the radius of a circle as large, in degrees on the lon-lat plane."""
    return math.sqrt(found.polygon.area / math.pi)


@pytest.mark.parametrize(
    "place", [(141.93, 42.69), (179.9, -17.0), (-179.9, 52.0), (179.2, 0.0), (-70.0, -33.0)]
)
def test_the_contour_of_a_cone_is_a_circle(place: tuple[float, float]) -> None:
    found, warnings = outline(read_grid(grid_xml(*place), "x"), "MMI", 7.0)
    assert radius_deg(found) == pytest.approx(1 / 3, rel=0.01)
    centre = found.polygon.centroid
    assert (centre.x - place[0] + 180) % 360 - 180 == pytest.approx(0, abs=0.01)
    assert centre.y == pytest.approx(place[1], abs=0.01)
    assert found.polygon.bounds[2] - found.polygon.bounds[0] < 1  # in one piece
    assert not warnings
    assert found.origin == "ShakeMap MMI >= 7"
    assert found.geobox(100).shape[0] > 10


def test_field_order_and_units_are_read_not_assumed() -> None:
    plain, _ = outline(read_grid(grid_xml(), "x"), "PGA", 70)
    turned = (("MMI", "intensity"), ("PGV", "cms"), ("PGA", "pctg"), ("LAT", "dd"), ("LON", "dd"))
    other, _ = outline(read_grid(grid_xml(fields=turned), "x"), "PGA", 70)
    assert other.polygon.equals_exact(plain.polygon, 1e-9)
    in_g = tuple((name, "g" if name == "PGA" else unit) for name, unit in FIELDS)
    grid = read_grid(grid_xml(fields=in_g), "x")
    assert grid.values["PGA"].max() == pytest.approx(9000, rel=0.01)  # 90 g, to be sure
    bare = read_grid(grid_xml(fields=tuple((name, "") for name, _ in FIELDS)), "x")
    assert "no units" in bare.warnings[0]
    assert bare.values["PGA"].max() == pytest.approx(90, rel=0.01)


def test_a_higher_threshold_lies_inside_a_lower_one() -> None:
    grid = read_grid(grid_xml(), "x")
    inner, outer = outline(grid, "MMI", 8)[0], outline(grid, "MMI", 7)[0]
    assert outer.polygon.buffer(1e-9).contains(inner.polygon)
    assert inner.km2 < outer.km2


def test_two_centres_give_two_parts_and_a_hole_stays_a_hole() -> None:
    grid = read_grid(grid_xml(), "x")
    x, y = np.meshgrid(grid.longitude - 141.93, grid.latitude - 42.69)
    two = np.maximum(8 - 20 * np.hypot(x - 0.25, y), 8 - 20 * np.hypot(x + 0.25, y))
    grid.values["MMI"][...] = two
    found, _ = outline(grid, "MMI", 6)
    assert found.polygon.geom_type == "MultiPolygon"
    assert len(found.polygon.geoms) == 2
    grid.values["MMI"][...] = 8 - 20 * np.abs(np.hypot(x, y) - 0.3)
    ring, _ = outline(grid, "MMI", 6)
    assert len(ring.polygon.interiors) == 1
    assert ring.polygon.area == pytest.approx(math.pi * (0.4**2 - 0.2**2), rel=0.02)


def test_a_contour_that_leaves_the_grid_says_so() -> None:
    found, warnings = outline(read_grid(grid_xml(), "x"), "MMI", 5.0)
    assert "edge of the ShakeMap" in warnings[0]
    assert found.polygon.area <= 1.0 + 1e-9


def test_never_so_hard() -> None:
    with pytest.raises(NothingToSeeError, match="nowhere 9"):
        outline(read_grid(grid_xml(), "x"), "MMI", 9.5)


def test_a_field_that_is_not_there() -> None:
    grid = read_grid(grid_xml(fields=FIELDS[:3]), "x")
    with pytest.raises(RequestError, match="has no MMI, only PGA"):
        outline(grid, "MMI", 6)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no XML"),
        (b"hello", "no XML"),
        (grid_xml()[:5000], "cut short"),
        (grid_xml(rows=4), "4 there: it was cut short"),
        (grid_xml(head=BOMB), "entities"),
        (grid_xml(head='<!DOCTYPE x SYSTEM "file:///etc/passwd">'), "DTD"),
        (b"<shakemap_grid></shakemap_grid>", "no ShakeMap grid"),
        (grid_xml().replace(b'name="LAT"', b'name="HEIGHT"'), "no ShakeMap grid"),
        (grid_xml().replace(b'nlat="51"', b'nlat="-51"'), "no ShakeMap grid"),
        (grid_xml().replace(b'units="pctg"', b'units="furlongs"'), "furlongs"),
        (grid_xml().replace(b"141.430000", b"one hundred", 1), "no ShakeMap grid"),
        (grid_xml(lat=90.2), "north to south"),
    ],
)
def test_bad_grids_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=words):
        read_grid(content, "grid.xml")
    (tmp_path / "grid.xml").write_bytes(content)
    with pytest.raises(RequestError):
        shakemap.area(str(tmp_path / "grid.xml"), "MMI", 6)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read"):
        shakemap.area(str(tmp_path / "no.xml"), "MMI", 6)


def test_from_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(grid_xml())

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})

    monkeypatch.setattr(
        fetching, "_client", lambda: httpx.Client(transport=httpx.MockTransport(answer))
    )
    assert (
        shakemap.area("https://usgs.example/grid.xml", "PGA", 70).origin == "ShakeMap PGA >= 70 % g"
    )
    with pytest.raises(RequestError, match="https"):
        shakemap.area("http://usgs.example/grid.xml", "PGA", 70)


def test_loma_prieta(real: Path) -> None:
    path = str(real / "events" / "shakemap" / "lomaprieta_1989_grid.xml")
    areas = [shakemap.area(path, "MMI", threshold).km2 for threshold in (6, 7, 8)]
    assert areas == sorted(areas, reverse=True)
    assert 8_000 < areas[0] < 20_000
    strong = shakemap.area(path, "PGA", 20)
    assert strong.polygon.contains(strong.polygon.representative_point())
    west, south, east, north = strong.polygon.bounds
    assert west < -121.88 < east
    assert south < 37.04 < north


def test_gorkha_is_malformed(real: Path) -> None:
    with pytest.raises(RequestError, match="114798 rows announced, 4 there"):
        shakemap.area(
            str(real / "events" / "shakemap" / "gorkha_2015_grid_malformed.xml"), "MMI", 6
        )
