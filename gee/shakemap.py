"""ShakeMap ``grid.xml`` -> the area that was shaken at least so hard.

Format: ShakeMap manual, https://usgs.github.io/shakemap/manual4_0/ug_products.html; the fields
stand in the order of the ``grid_field`` elements, rows from north to south. XML from elsewhere is
read with defusedxml: no entities, no DTD.
"""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from numpy.typing import NDArray
from shapely import affinity, from_ragged_array, make_valid, ops
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.errors import NothingToSeeError, RequestError
from configs.land import CELL_DEGREES, land_cells
from gee.fetch import LARGEST_BYTES, fetch

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

logger = logging.getLogger(__name__)

Field = Literal["MMI", "PGA"]
_PERCENT_G: Final = {
    **dict.fromkeys(("pctg", "%g", "percentg"), 1.0),
    "g": 100.0,
    "mg": 0.1,
    **dict.fromkeys(("gal", "gals", "cm/s2", "cm/s/s", "cm/s**2", "cm/sec2"), 1 / 9.80665),
    **dict.fromkeys(("m/s2", "m/s/s", "m/s**2", "m/sec2"), 100 / 9.80665),
}
"""Units of acceleration as written, without blanks and `^` -> percent g."""
_REMEDY: Final = "Download grid.xml of the event's ShakeMap again, or give --radius-km or --area."
_MOST_POINTS: Final = 50_000_000


@dataclass(frozen=True)
class _ShakeGrid:
    """Shaking on a regular grid, rows north to south."""

    longitude: NDArray[np.float64]
    """`(x,)` degrees, rising; beyond 180 where the grid crosses the antimeridian."""
    latitude: NDArray[np.float64]
    """`(y,)` degrees, falling."""
    values: dict[str, NDArray[np.float64]]
    """``MMI`` (intensity) and ``PGA`` (percent g), those there are, `(y, x)`."""
    event_id: str
    warnings: tuple[str, ...] = ()
    vs30: NDArray[np.float64] | None = None
    """Shear-wave velocity of the ground, m/s, `(y, x)`; mostly a stand-in for slope (Wald & Allen
    2007). None where absent.
    """


def area(where: str, field: Field, threshold: float, hosts: Collection[str] | None = None) -> Area:
    """Return the area in which a ShakeMap reaches a threshold.

    Args:
        where: a ``grid.xml`` file or its https address.
        field: ``MMI``, or ``PGA`` in percent g.
        threshold: of that field.
        hosts: the hosts that may be asked; None for any.

    Raises:
        RequestError: unreadable, malformed, truncated, or without that field.
        SourceError: the address does not answer.
        NothingToSeeError: it shook nowhere so hard.
    """
    if "://" in where:
        content = unpacked(fetch(where, hosts=hosts), f"--shakemap: {where}")
    else:
        content = _read(Path(where))
    grid = read_grid(content, where)
    found, warnings = outline(grid, field, threshold)
    for text in (*grid.warnings, *warnings):
        logger.warning("%s", text)
    return found


def _read(path: Path) -> bytes:
    path = path.expanduser()
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RequestError(f"--shakemap: {path} is larger than any ShakeMap grid", _REMEDY)
        return unpacked(path.read_bytes(), f"--shakemap: {path}")
    except OSError as error:
        raise RequestError(
            f"--shakemap: cannot read {path}: {error.strerror or error}", "Check the path."
        ) from error


_UNPACK: Final[Mapping[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}
"""First bytes of a packed file -> what opens it."""


def unpacked(content: bytes, where: str) -> bytes:
    """Return the grid in what was read, packed (``grid.xml.zip``, ``grid.xml.gz``) or not, never
    more than a grid may hold.

    Raises:
        RequestError: it cannot be unpacked, or nothing tells which of its files is the grid.
    """
    file = io.BytesIO(content)
    try:
        if content[:2] == b"PK":
            with zipfile.ZipFile(file) as archive, archive.open(_grid_in(archive, where)) as packed:
                content = packed.read(LARGEST_BYTES + 1)
        elif content[:2] in _UNPACK:
            with _UNPACK[content[:2]](file) as packed:
                content = packed.read(LARGEST_BYTES + 1)
    except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise RequestError(f"{where} cannot be unpacked: {error}", _REMEDY) from error
    except (RuntimeError, ValueError) as error:  # a password, a method that Python does not know
        raise RequestError(
            f"{where} cannot be unpacked: {error}", "Unpack it, and give grid.xml."
        ) from error
    if len(content) > LARGEST_BYTES:
        raise RequestError(f"{where} is larger than any ShakeMap grid", _REMEDY)
    return content


def _grid_in(archive: zipfile.ZipFile, where: str) -> str:
    """Return the name of the grid in an archive: ``grid.xml`` wherever it lies, else its only XML
    file.
    """
    names = [name for name in archive.namelist() if name.lower().endswith(".xml")]
    own = [name for name in names if not PurePosixPath(name).name.startswith("._")]  # macOS's
    named = [name for name in own if PurePosixPath(name).name.lower() == "grid.xml"]
    found = named or own
    if len(found) != 1:
        raise RequestError(f"{where} holds {len(found)} XML files", "Unpack it: give grid.xml.")
    return found[0]


def read_grid(content: bytes, where: str) -> _ShakeGrid:
    """Return the grid in a ``grid.xml``.

    Raises:
        RequestError: malformed, truncated, or holding entities.
    """
    try:
        root = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise RequestError(
            f"--shakemap: {where} holds XML entities or a DTD: refused", _REMEDY
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise RequestError(
            f"--shakemap: {where} is no XML, or was cut short: {error}", _REMEDY
        ) from error
    try:
        return _grid(root, where)
    except (LookupError, ValueError, OverflowError) as error:
        words = f"it has no {error}" if isinstance(error, KeyError) else error
        raise RequestError(f"--shakemap: {where} is no ShakeMap grid: {words}", _REMEDY) from error


def _grid(root: Element, where: str) -> _ShakeGrid:
    parts: dict[str, Element] = {}
    fields: dict[str, tuple[int, str]] = {}
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        parts[name] = element
        if name == "grid_field":
            if element.attrib["name"].upper() in fields:
                raise ValueError(f"it has two fields `{element.attrib['name']}`")
            fields[element.attrib["name"].upper()] = (
                int(element.attrib["index"]) - 1,
                element.attrib.get("units", ""),
            )
    shape = tuple(int(parts["grid_specification"].attrib[name]) for name in ("nlat", "nlon"))
    if min(shape) < 2 or shape[0] * shape[1] > _MOST_POINTS or not {"LON", "LAT"} < fields.keys():
        raise ValueError(
            f"grid of {shape[0]} x {shape[1]} points with the fields {', '.join(fields) or 'none'}"
        )
    numbers = np.array((parts["grid_data"].text or "").split(), dtype=np.float64)
    if numbers.size != shape[0] * shape[1] * len(fields):
        rows = numbers.size // max(len(fields), 1)
        raise ValueError(
            f"{shape[0]} x {shape[1]} = {shape[0] * shape[1]} rows announced, {rows} "
            "there: it was cut short"
        )
    if sorted(column for column, _ in fields.values()) != list(range(len(fields))):
        raise ValueError(f"its fields are not numbered 1 to {len(fields)}")
    table = numbers.reshape(*shape, len(fields))  # (y, x, field)
    longitude, latitude = table[0, :, fields["LON"][0]], table[:, 0, fields["LAT"][0]]
    longitude = longitude[0] + (longitude - longitude[0]) % 360  # the antimeridian: in one piece
    if not (
        (np.diff(longitude) > 0).all()
        and (np.diff(latitude) < 0).all()
        and (abs(latitude) <= 90).all()
    ):
        raise ValueError("its points do not run west to east and north to south")
    values, warnings = {}, []
    if "MMI" in fields:
        values["MMI"] = table[..., fields["MMI"][0]]
    if "PGA" in fields:
        factor, note = _percent_g(fields["PGA"][1])
        values["PGA"] = table[..., fields["PGA"][0]] * factor
        warnings += [f"{where}: {note}"] if note else []
    vs30 = table[..., fields["SVEL"][0]] if "SVEL" in fields else None
    return _ShakeGrid(
        longitude, latitude, values, str(root.attrib.get("event_id", "")), tuple(warnings), vs30
    )


def steep_share(
    grid: _ShakeGrid, field: Field, threshold: float, steep_vs30: float
) -> float | None:
    """Return the share of the shaken land, 0-1, whose Vs30 says that it is steep; None where the
    grid does not tell.

    Sea is left out: ShakeMap gives it one velocity for all.

    Args:
        grid: a ShakeMap.
        field: what shaken means.
        threshold: of that field.
        steep_vs30: velocity in m/s from which ground counts as steep (Wald & Allen 2007, table 2).
    """
    if grid.vs30 is None or field not in grid.values:
        return None
    rows = np.clip(((90 - grid.latitude) / CELL_DEGREES).astype(int), 0, None)
    land = land_cells()
    columns = ((grid.longitude + 180) / CELL_DEGREES).astype(int) % land.shape[1]
    shaken = (grid.values[field] >= threshold) & land[np.minimum(rows, len(land) - 1)][:, columns]
    return float((grid.vs30[shaken] >= steep_vs30).mean()) if shaken.any() else None


def _percent_g(units: str) -> tuple[float, str]:
    """Return (factor to percent g, what is doubtful about it)."""
    if not units.strip():
        return 1.0, "PGA has no units; percent g assumed, as ShakeMap writes it"
    name = "".join(units.lower().split()).replace("^", "")
    if name not in _PERCENT_G:
        raise ValueError(f"PGA in `{units}`, known are {', '.join(_PERCENT_G)}")
    return _PERCENT_G[name], ""


def outline(grid: _ShakeGrid, field: Field, threshold: float) -> tuple[Area, tuple[str, ...]]:
    """Return (the area where a field is at least a threshold, what is doubtful about it).

    Raises:
        RequestError: the grid does not hold that field.
        NothingToSeeError: the threshold is reached nowhere.
    """
    from contourpy import FillType, contour_generator

    if field not in grid.values:
        raise RequestError(
            f"the ShakeMap has no {field}, only {', '.join(grid.values) or 'neither'}", _REMEDY
        )
    values = np.ma.masked_invalid(grid.values[field])
    unit = "" if field == "MMI" else " % g"
    highest = float(values.max()) if values.count() else float("nan")
    if not highest >= threshold:
        raise NothingToSeeError(
            f"the ShakeMap reaches {field} {highest:.1f}{unit}, nowhere {threshold:g}{unit}",
            "Lower look.shakemap_threshold in the run file, or give --radius-km or --area.",
        )
    lines = contour_generator(
        grid.longitude, grid.latitude, values, fill_type=FillType.OuterOffset
    ).filled(threshold, np.nextafter(highest, np.inf) + 1)
    polygon = _polygons(*lines)
    west, south, east, north = polygon.bounds
    lon, lat = grid.longitude, grid.latitude
    cut = west <= lon[0] or east >= lon[-1] or south <= lat[-1] or north >= lat[0]
    warnings = (
        (f"the {field} {threshold:g}{unit} contour is cut off by the edge of the ShakeMap",)
        if cut
        else ()
    )
    if west >= 180:
        polygon = affinity.translate(polygon, -360)
    return Area(polygon, f"ShakeMap {field} >= {threshold:g}{unit}"), warnings


def _polygons(points: Any, offsets: Any) -> BaseGeometry:
    """Return contourpy's rings, outer before holes, as one geometry."""
    from shapely import GeometryType

    found = []
    for ring_points, ring_offsets in zip(points, offsets, strict=True):
        starts = (np.asarray(ring_offsets, np.int64), np.array([0, len(ring_offsets) - 1]))
        found += list(
            from_ragged_array(GeometryType.POLYGON, np.asarray(ring_points, np.float64), starts)
        )
    union = ops.unary_union([make_valid(polygon) for polygon in found])
    parts = [part for part in getattr(union, "geoms", [union]) if part.area > 0]
    return ops.unary_union(parts)
