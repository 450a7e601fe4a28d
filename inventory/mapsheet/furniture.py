"""What a map needs besides its content: graticule, scale bar, north arrow, epicentre, overview."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyproj
import shapely
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from configs.area import WGS84
from inventory import basemap
from inventory.about import About
from inventory.mapsheet.chart import (
    GROUND,
    SEA,
    Frame,
    Shown,
    fill,
    haloed,
    label,
    lines,
    lonlat_bounds,
    projected,
)
from inventory.mapsheet.paper import INK, round_length

_STEPS_MIN = (0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
"""Usual spacings of a graticule in minutes of arc."""
_OVERVIEW_KM = 600.0


def degrees(value: float, hemispheres: str) -> str:
    """Return an angle in degrees, minutes and, where need be, seconds with its hemisphere."""
    seconds = round(abs(value) * 3600)
    if not seconds:
        return "0°"
    minutes, rest = divmod(seconds, 60)
    whole, minutes = divmod(minutes, 60)
    fine = f"{rest:02d}″" if rest else ""
    return f"{whole}°{minutes:02d}′{fine}{hemispheres[0] if value >= 0 else hemispheres[1]}"


def _spacing(span_deg: float) -> float:
    return next((s for s in _STEPS_MIN if span_deg * 60 / s <= 5), _STEPS_MIN[-1]) / 60


def graticule(axes: Axes, frame: Frame, crs: str, size_pt: float, hemispheres: str) -> None:
    """Draw meridians and parallels, written where they meet the lower and the left edge.

    `hemispheres` are the letters of north, south, east and west.
    """
    west, south, east, north = lonlat_bounds(frame, crs)
    turn = pyproj.Transformer.from_crs(WGS84, crs, always_xy=True)
    for low, high, across, (first, last) in (
        (west, east, True, (south, north)),
        (south, north, False, (west, east)),
    ):
        step = _spacing(high - low)
        along = np.linspace(first, last, 60)
        for n in range(math.ceil(low / step), math.floor(high / step) + 1):
            value = np.full(60, n * step)
            lonlat = (value, along) if across else (along, value)
            x, y = (np.asarray(each) for each in turn.transform(*lonlat))
            axes.plot(x, y, color="#44546a", lw=0.25, alpha=0.6, zorder=4.5)
            wrapped = (n * step + 180) % 360 - 180 if across else n * step
            words = degrees(wrapped, hemispheres[2:] if across else hemispheres[:2])
            _tick(axes, frame, x, y, across, words, size_pt)


def _tick(axes: Axes, frame: Frame, x: Any, y: Any, across: bool, words: str, size: float) -> None:
    gap = 1.0 * frame.mm
    style: dict[str, Any] = {"fontsize": size, "color": INK, "zorder": 10, "clip_on": False}
    if across:
        at = float(np.interp(frame.south, y, x))
        if frame.west < at < frame.east:
            axes.text(at, frame.south - gap, words, ha="center", va="top", **style)
    else:
        at = float(np.interp(frame.west, x, y))
        if frame.south < at < frame.north:
            axes.text(frame.west - gap, at, words, ha="right", va="center", rotation=90, **style)


def scale_bar(axes: Axes, frame: Frame, size_pt: float) -> None:
    """Draw a scale bar into the lower left corner of the map."""
    length_m = round_length(0.24 * (frame.east - frame.west))
    mm = frame.mm
    left, low, high = frame.west + 5 * mm, frame.south + 5 * mm, 1.3 * mm
    axes.add_patch(
        Rectangle(
            (left - 2.5 * mm, low - 2 * mm), length_m + 11 * mm, 8.6 * mm, fc="#ffffffe0",
            ec="none", zorder=9,
        )
    )  # fmt: skip
    for quarter in range(4):
        colour = INK if quarter % 2 == 0 else "white"
        axes.add_patch(
            Rectangle(
                (left + quarter * length_m / 4, low), length_m / 4, high, fc=colour, ec=INK, lw=0.5,
                zorder=10,
            )
        )  # fmt: skip
    unit, by = ("km", 1000) if length_m >= 1000 else ("m", 1)
    for part in (0.0, 0.5, 1.0):
        words = f"{part * length_m / by:g}" + (f" {unit}" if part == 1 else "")
        axes.text(
            left + part * length_m, low + high + 0.9 * mm, words, fontsize=size_pt, ha="center",
            va="bottom", zorder=10,
        )  # fmt: skip


def north_arrow(axes: Axes, frame: Frame, crs: str, size_pt: float, letter: str) -> None:
    """Draw an arrow to true north into the upper right corner."""
    mm = frame.mm
    x, y = frame.east - 8 * mm, frame.north - 16 * mm
    turn = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    lon, lat = turn.transform(x, y)
    up = turn.transform(lon, min(lat + 0.01, 89.999), direction="INVERSE")
    angle = math.atan2(up[0] - x, up[1] - y)
    spin = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    for side, colour in ((-1, INK), (1, "white")):
        shape = np.array([(0, 9), (side * 2.6, 0), (0, 2)]) * mm
        axes.add_patch(
            Polygon(shape @ spin.T + (x, y), closed=True, fc=colour, ec=INK, lw=0.6, zorder=10)
        )
    tip = spin @ np.array([0, 10.2 * mm]) + (x, y)
    style = {"fontsize": size_pt * 1.3, "fontweight": "bold", "ha": "center", "va": "bottom"}
    haloed(axes, float(tip[0]), float(tip[1]), letter, zorder=10, **style)


def epicentre(axes: Axes, about: About, crs: str, size: float = 11) -> tuple[float, float]:
    """Draw the epicentre, and return where it is."""
    turn = pyproj.Transformer.from_crs(WGS84, crs, always_xy=True)
    x, y = turn.transform(about.event.longitude, about.event.latitude)
    axes.plot(x, y, "*", ms=size, mfc="#ffd92f", mec="black", mew=0.8, zorder=9, clip_on=True)
    return float(x), float(y)


def marked(at: tuple[float, float], frame: Frame) -> Any:
    """Return the ground that a mark covers."""
    return shapely.Point(at).buffer(1.8 * frame.mm)


def corners(frame: Frame) -> list[Any]:
    """Return the ground under scale bar and north arrow."""
    wide = round_length(0.24 * (frame.east - frame.west)) + 15 * frame.mm
    bar = shapely.box(frame.west, frame.south, frame.west + wide, frame.south + 13 * frame.mm)
    arrow = shapely.box(
        frame.east - 14 * frame.mm, frame.north - 18 * frame.mm, frame.east, frame.north
    )
    return [bar, arrow]


def overview(axes: Axes, shown: Shown, wide_mm: float, high_mm: float, size_pt: float) -> None:
    """Draw where on Earth the map lies: land, borders, a few places, the area in a rectangle."""
    lon, lat = shown.about.area.centre
    crs = f"+proj=laea +lat_0={lat:.4f} +lon_0={lon:.4f} +datum=WGS84 +units=m"
    area = shapely.transform(
        np.array([shown.area]),
        lambda xy: np.column_stack(
            pyproj.Transformer.from_crs(shown.crs, crs, always_xy=True).transform(*xy.T)
        ),
    )[0]
    west, south, east, north = area.bounds
    half = max(_OVERVIEW_KM * 1000, 2.5 * (east - west), 2.5 * (north - south))
    frame = Frame(-half, -half * high_mm / wide_mm, half, half * high_mm / wide_mm, 0)
    frame = Frame(*frame.bounds, scale=2 * half / wide_mm * 1000)
    axes.set(xlim=(frame.west, frame.east), ylim=(frame.south, frame.north), aspect="equal")
    axes.set_facecolor(SEA)
    up = math.degrees(half * high_mm / wide_mm / 6_371_000) * 1.3
    out = min(60.0, 1.3 * math.degrees(half / 6_371_000) / max(0.1, math.cos(math.radians(lat))))
    bounds = (lon - out, max(lat - up, -89.5), lon + out, min(lat + up, 89.5))
    fill(axes, projected(basemap.shapes("land", bounds), crs), 1, fc=GROUND, ec="#4f88ad", lw=0.4)
    fill(axes, projected(basemap.shapes("lakes", bounds), crs), 1.5, fc=SEA, ec="none")
    lines(axes, projected(basemap.shapes("borders", bounds), crs), 2, color="#777777", lw=0.5)
    turn = pyproj.Transformer.from_crs(WGS84, crs, always_xy=True)
    found: list[tuple[str, float, float]] = []
    for place in basemap.places(bounds, 30):
        x, y = turn.transform(place.lon, place.lat)
        if frame.holds(x, y):
            found.append((place.name, float(x), float(y)))
    star = epicentre(axes, shown.about, crs, 6)
    label(axes, found[:9], frame, 0.8 * size_pt, [marked(star, frame)])
    least = 1.6 * frame.mm
    wide, high = max(east - west, least), max(north - south, least)
    x, y = (west + east - wide) / 2, (south + north - high) / 2
    axes.add_patch(Rectangle((x, y), wide, high, fc="none", ec="#d7191c", lw=1.3, zorder=8.5))
