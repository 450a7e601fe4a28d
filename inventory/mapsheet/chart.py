"""The map itself: relief, what was not observed, landslides, and what helps to find one's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from configs.area import WGS84
from configs.records import ObservationClass
from configs.stack import Stack
from inventory import basemap
from inventory.about import About
from inventory.colours import CONFIDENCE
from inventory.footprints import step_for
from inventory.mapsheet.paper import Paper, printable, round_scale, width_mm
from inventory.outline.outline import code_of
from inventory.report.relief import shaded

RELIEF = LinearSegmentedColormap.from_list("relief", ("#767d73", "#e6e7e0", "#ffffff"))
GROUND, SEA, UNSEEN, AREA, ROAD = "#eeeee9", "#d6e6f0", "#6b7780", "#08306b", "#7a5c3e"
HATCH = "////"
SHAKING, WATER = "#6a3d9a", "#9cc4dd"
_HALO = [patheffects.Stroke(linewidth=1.8, foreground="#ffffffd9")]
_RELIEF_PX = {"a4": 1400, "a3": 2000}
_COARSE_SCALE = 200_000
"""Denominator from which the packaged coast is fine enough to be drawn in the map."""
_FINEST_MM = 0.06
"""Detail of an outline that paper still shows."""


@dataclass(frozen=True)
class Shown:
    """What a map shows, every layer in the CRS of the grid."""

    about: About
    stack: Stack
    landslides: gpd.GeoDataFrame
    unseen: gpd.GeoDataFrame
    area: Any
    roads: gpd.GeoDataFrame | None = None
    shaking: gpd.GeoDataFrame | None = None
    """Lines with a `value`."""
    named: gpd.GeoDataFrame | None = None
    """The user's own places, points with a `name`."""

    @property
    def crs(self) -> str:
        """Return the CRS of the map."""
        return code_of(self.stack.geobox.crs)


@dataclass(frozen=True)
class Frame:
    """A map's window on the ground."""

    west: float
    south: float
    east: float
    north: float
    scale: float
    """Denominator."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return west, south, east, north."""
        return self.west, self.south, self.east, self.north

    @property
    def mm(self) -> float:
        """Return a millimetre of the sheet on the ground in metres."""
        return self.scale / 1000

    def holds(self, x: float, y: float) -> bool:
        """Return whether a place lies in it."""
        return self.west < x < self.east and self.south < y < self.north


def frame_of(shown: Shown, paper: Paper) -> Frame:
    """Return the window around the area at the largest usual scale that shows it whole."""
    west, south, east, north = shown.area.bounds
    room = 0.94
    wide, high = (
        (east - west) / (room * paper.map.width),
        (north - south) / (room * paper.map.height),
    )
    scale = round_scale(max(wide, high) * 1000)
    x, y = (west + east) / 2, (south + north) / 2
    half = paper.map.width * scale / 2000, paper.map.height * scale / 2000
    return Frame(x - half[0], y - half[1], x + half[0], y + half[1], scale)


def lonlat_bounds(frame: Frame, crs: str) -> basemap.Bounds:
    """Return a window's bounds in degrees, east beyond 180 across the antimeridian."""
    edge = shapely.segmentize(
        shapely.box(frame.west, frame.south, frame.east, frame.north).exterior, frame.mm * 20
    )
    xy = shapely.get_coordinates(edge)
    turn = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    lon, lat = (np.asarray(each) for each in turn.transform(xy[:, 0], xy[:, 1]))
    lon = lon[0] + (lon - lon[0] + 180) % 360 - 180
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def path_of(polygon: Any) -> Outline:
    """Return polygons with their holes as one path."""
    rings = [
        shapely.get_coordinates(ring) for ring in shapely.get_rings(shapely.get_parts(polygon))
    ]
    codes = [
        np.r_[Outline.MOVETO, [Outline.LINETO] * (len(ring) - 2), Outline.CLOSEPOLY]
        for ring in rings
    ]
    return Outline(np.concatenate(rings), np.concatenate(codes).astype(Outline.code_type))


def fill(axes: Axes, polygons: NDArray[Any], zorder: float, **style: Any) -> None:
    """Draw polygons."""
    for each in polygons:
        if each is not None and each.area > 0:
            axes.add_patch(PathPatch(path_of(each), zorder=zorder, **style))


def lines(axes: Axes, strokes: NDArray[Any], zorder: float, **style: Any) -> None:
    """Draw lines."""
    for stroke in shapely.get_parts(strokes):
        if not stroke.is_empty and "Line" in stroke.geom_type:
            axes.plot(*shapely.get_coordinates(stroke).T, zorder=zorder, **style)


def projected(shapes: NDArray[Any], crs: str) -> NDArray[Any]:
    """Return shapes of WGS 84 in a CRS."""
    turn = pyproj.Transformer.from_crs(WGS84, crs, always_xy=True)
    moved = shapely.transform(
        shapely.segmentize(shapes, 0.5), lambda xy: np.column_stack(turn.transform(*xy.T))
    )
    return np.asarray(moved)


def haloed(axes: Axes, x: float, y: float, words: str, **style: Any) -> None:
    """Write text with a light rim; the rim is drawn as shapes, the text itself can be searched."""
    style = {"clip_on": True, "parse_math": False, "zorder": 8, **style}
    axes.text(x, y, words, path_effects=_HALO, **style)
    axes.text(x, y, words, **style)


def draw(axes: Axes, shown: Shown, frame: Frame, size: str) -> None:
    """Draw everything that the map shows into axes of the window."""
    axes.set(xlim=(frame.west, frame.east), ylim=(frame.south, frame.north), aspect="equal")
    axes.set_facecolor(GROUND)
    bounds = lonlat_bounds(frame, shown.crs)
    if frame.scale >= _COARSE_SCALE:
        axes.set_facecolor(SEA)
        fill(axes, projected(basemap.shapes("land", bounds), shown.crs), 0, fc=GROUND, ec="none")
    _relief(axes, shown, size)
    if frame.scale >= _COARSE_SCALE:
        for name in ("land", "lakes"):
            edges = projected(basemap.shapes(name, bounds), shown.crs)
            fill(axes, edges, 2, fc=SEA if name == "lakes" else "none", ec="#4f88ad", lw=0.5)
    borders = projected(basemap.shapes("borders", bounds), shown.crs)
    lines(axes, borders, 2.1, color="#555555", lw=0.8, dashes=(6, 2, 1, 2))
    _unseen(axes, shown, frame)
    if shown.roads is not None:
        lines(axes, shown.roads.geometry.to_numpy(), 4, color="white", lw=1.5)
        lines(axes, shown.roads.geometry.to_numpy(), 4.1, color=ROAD, lw=0.7)
    _landslides(axes, shown, frame)
    fill(axes, np.array([shown.area]), 6, fc="none", ec=AREA, lw=1.1)
    _shaking(axes, shown, frame)


def _relief(axes: Axes, shown: Shown, size: str) -> None:
    lit = shaded(shown.stack, _RELIEF_PX[size])
    if lit is None:
        return
    step = step_for(shown.stack.shape, _RELIEF_PX[size])
    affine = shown.stack.geobox.affine
    right, low = (
        affine.c + affine.a * step * lit.shape[1],
        affine.f + affine.e * step * lit.shape[0],
    )
    masked = np.ma.masked_invalid(lit)
    axes.imshow(
        masked, cmap=RELIEF, vmin=0.05, vmax=1, extent=(affine.c, right, low, affine.f), zorder=1
    )
    axes.set_autoscale_on(False)


def _unseen(axes: Axes, shown: Shown, frame: Frame) -> None:
    """Hatch what was not observed; water, where no landslide is looked for, is blue."""
    shapes = shapely.simplify(shown.unseen.geometry.to_numpy(), frame.mm * 2 * _FINEST_MM)
    wet = (shown.unseen["class"] == int(ObservationClass.WATER)).to_numpy(dtype=bool)
    fill(axes, shapes[wet], 2.5, fc=WATER, ec=WATER, lw=0.3)
    blind = shapes[~wet]
    fill(axes, blind, 3, fc="#ffffff99", ec=UNSEEN, lw=0.2, hatch=HATCH, hatch_linewidth=0.45)


def _landslides(axes: Axes, shown: Shown, frame: Frame) -> None:
    """Draw landslides, the surest on top; a thin outline keeps the smallest ones visible."""
    for zorder, name in enumerate(("low", "medium", "high")):
        mine = shown.landslides[shown.landslides["confidence"] == name].geometry.to_numpy()
        mine = shapely.simplify(mine, frame.mm * _FINEST_MM)
        patches = [PathPatch(path_of(each)) for each in mine if each.area > 0]
        colour = CONFIDENCE[name]
        axes.add_collection(
            PatchCollection(patches, fc=colour + "d9", ec=colour, lw=0.35, zorder=5 + 0.1 * zorder)
        )


def _shaking(axes: Axes, shown: Shown, frame: Frame) -> None:
    if shown.shaking is None:
        return
    window = shapely.box(frame.west, frame.south, frame.east, frame.north)
    for value, shape in zip(shown.shaking["value"], shown.shaking.geometry, strict=True):
        inside = shapely.line_merge(shapely.intersection(shape, window))
        lines(axes, np.array([inside]), 6.5, color=SHAKING, lw=0.9, dashes=(5, 2))
        longest = max(shapely.get_parts(inside), key=lambda part: part.length, default=None)
        if longest is not None and not longest.is_empty:
            x, y = longest.interpolate(0.5, normalized=True).coords[0]
            style = {"color": SHAKING, "fontsize": 7, "ha": "center", "va": "center", "zorder": 9}
            haloed(axes, x, y, f"{float(value):g}", **style)


def named_places(shown: Shown, frame: Frame, most: int) -> list[tuple[str, float, float]]:
    """Return (name, x, y) of the places in a window, the most important first: the user's own where
    given.
    """
    if shown.named is not None:
        rows = zip(shown.named["name"], shown.named.geometry, strict=True)
        every = [(str(name), float(p.x), float(p.y)) for name, p in rows if name]
    else:
        found = basemap.places(lonlat_bounds(frame, shown.crs), most)
        turn = pyproj.Transformer.from_crs(WGS84, shown.crs, always_xy=True)
        every = []
        for p in found:
            x, y = turn.transform(p.lon, p.lat)
            every.append((p.name, float(x), float(y)))
    return [place for place in every if frame.holds(place[1], place[2])][:most]


def label(
    axes: Axes,
    found: Sequence[tuple[str, float, float]],
    frame: Frame,
    size_pt: float,
    avoid: Sequence[Any],
) -> None:
    """Write names of places where they cover no earlier one, nor a shape to avoid, and stay inside
    the frame.
    """
    taken = list(avoid)
    high = 1.3 * size_pt * 0.35
    for name, x, y in found:
        words = printable(name)
        wide = width_mm(words, size_pt) + 1
        for side in (1, -1):
            left = x + (1.2 if side > 0 else -1.2 - wide) * frame.mm
            box: Any = shapely.box(
                left, y - high / 2 * frame.mm, left + wide * frame.mm, y + high / 2 * frame.mm
            )
            box = box.union(shapely.Point(x, y).buffer(0.6 * frame.mm)).envelope
            inside = frame.holds(*box.bounds[:2]) and frame.holds(*box.bounds[2:])
            if inside and not any(box.intersects(each) for each in taken):
                taken.append(box)
                axes.plot(x, y, "o", ms=2.6, mfc="white", mec="black", mew=0.7, zorder=8)
                haloed(axes, left, y, words, fontsize=size_pt, va="center_baseline")
                break
