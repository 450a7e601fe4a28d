"""Lines and polygons of factor files, near an area, in the run's CRS."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from shapely import STRtree, box

from configs.errors import RequestError
from configs.factors import HIGHEST_CODE, ClassFile, FactorFile
from configs.vectors import UNREADABLE, Layer, layer_name
from gee.factors.distance import NO_SEGMENTS, Segments, segments_of
from gee.resample import crs_of

logger = logging.getLogger(__name__)


def is_vector(config: FactorFile) -> bool:
    """Return whether a factor's file is one of vectors, by its name."""
    return Path(config.file).suffix.lower() not in (".tif", ".tiff", ".jp2", ".png")


def near(
    config: FactorFile, path: Path, what: str, whole: GeoBox, margin_m: float
) -> gpd.GeoDataFrame:
    """Return the features of a layer that come near a grid, in its CRS.

    Raises:
        RequestError: no such file or layer, not a vector file, no CRS, empty, or wholly elsewhere.
    """
    layer = Layer(path, config.layer, config.where)
    name = layer_name(layer)
    try:
        about = pyogrio.read_info(
            path, layer=name, force_total_bounds=True, force_feature_count=True
        )
    except UNREADABLE as error:
        raise _unreadable(what, layer, error) from error
    if about["crs"] is None:
        raise RequestError(
            f"{what}: {layer} does not say its coordinate system",
            "Assign one, e.g. `ogr2ogr -a_srs EPSG:4326 out.gpkg in`.",
        )
    if not about["features"] or about["total_bounds"] is None:
        raise RequestError(f"{what}: {layer} is empty", "Name another layer or file.")
    frame = _around(whole, margin_m, about["crs"])
    _check_place(frame, about, what, layer, whole)
    try:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            found = gpd.read_file(
                path, layer=name, where=config.where, bbox=frame, engine="pyogrio"
            )
    except UNREADABLE as error:
        raise _unreadable(what, layer, error) from error
    if not isinstance(found, gpd.GeoDataFrame):
        raise RequestError(
            f"{what}: {layer} is a table without geometry", "Name a layer of lines or polygons."
        )
    found = found[~(found.geometry.is_empty | found.geometry.isna())]
    return found.to_crs(crs_of(whole))


def _unreadable(what: str, layer: Layer, error: Exception) -> RequestError:
    detail = " ".join(str(error).split())
    return RequestError(
        f"{what}: cannot read {layer}: {detail}", f"Check the file and `where: {layer.where}`."
    )


def _around(whole: GeoBox, margin_m: float, crs: str) -> tuple[float, float, float, float]:
    """Return the bounds of a grid and a margin in another CRS."""
    west, south, east, north = whole.boundingbox.bbox
    grown = (west - margin_m, south - margin_m, east + margin_m, north + margin_m)
    to_theirs = pyproj.Transformer.from_crs(
        crs_of(whole), pyproj.CRS.from_user_input(crs), always_xy=True
    )
    bounds = to_theirs.transform_bounds(*grown, densify_pts=21)
    return float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3])


def _check_place(
    frame: tuple[float, float, float, float],
    about: dict[str, Any],
    what: str,
    layer: Layer,
    whole: GeoBox,
) -> None:
    west, south, east, north = (float(value) for value in about["total_bounds"])
    if not np.isfinite(frame).all() or not box(*frame).intersects(box(west, south, east, north)):
        here = "(" + ", ".join(f"{value:.6g}" for value in _around(whole, 0.0, about["crs"])) + ")"
        there = f"({west:.6g}, {south:.6g}, {east:.6g}, {north:.6g})"
        raise RequestError(
            f"{what}: {layer} lies elsewhere: it covers {there}, the area {here} in {about['crs']}",
            "Check that it is of this region, and that its coordinate system is the right one.",
        )


def lines(
    config: FactorFile, path: Path, what: str, whole: GeoBox, cap_m: float
) -> tuple[Segments, gpd.GeoSeries]:
    """Return (the straight pieces of lines and outlines near a grid, the polygons among them).

    Raises:
        RequestError: a file that cannot be used (`near`), or one of points.
    """
    found = near(config, path, what, whole, cap_m)
    if found.empty:
        logger.warning(
            "%s: no line of %s within %g m of the area: the distance is that everywhere",
            what,
            path.name,
            cap_m,
        )
        return NO_SEGMENTS, gpd.GeoSeries(crs=found.crs)
    kinds = set(found.geom_type)
    if not kinds & {"LineString", "MultiLineString", "Polygon", "MultiPolygon", "LinearRing"}:
        raise RequestError(
            f"{what}: {path.name} holds {', '.join(sorted(kinds))}, no line",
            "Name a layer of lines (or of polygons, e.g. lakes).",
        )
    flat = found.explode(index_parts=False)
    polygons = flat.geometry[flat.geom_type == "Polygon"].make_valid()
    drawn = flat.geometry[flat.geom_type.isin(("LineString", "LinearRing"))]
    outlines = polygons.boundary.to_numpy()
    every = np.concatenate([drawn.to_numpy(), outlines])
    return segments_of(every), polygons


def inside(polygons: gpd.GeoSeries, block: GeoBox) -> NDArray[np.bool_]:
    """Return where a pixel's centre lies in any polygon, `(y, x)`."""
    return np.asarray(_burnt(list(polygons), [1] * len(polygons), block, 0) == 1)


def coded(
    config: ClassFile, path: Path, what: str, whole: GeoBox
) -> tuple[gpd.GeoSeries, NDArray[np.int32]]:
    """Return (polygons near a grid, the code of each).

    Raises:
        RequestError: a file that cannot be used (`near`), no polygon, no such attribute, or a class
            without a code.
    """
    found = near(config, path, what, whole, 0.0)
    flat = found.explode(index_parts=False)
    flat = flat[flat.geom_type == "Polygon"]
    if found.empty and config.elsewhere is None:
        condition = f" where {config.where}" if config.where else ""
        raise RequestError(
            f"{what}: {path.name} has no polygon in the area{condition}",
            "Check that it is of this region, or give the code there as `elsewhere:`.",
        )
    if len(found) and flat.empty:
        kinds = ", ".join(sorted(set(found.geom_type)))
        raise RequestError(
            f"{what}: {path.name} holds {kinds}, no polygon", "Name a layer of polygons."
        )
    fields = [name for name in found.columns if name != found.geometry.name]
    if config.attribute is None or config.attribute not in fields:
        lacking = (
            "says no `attribute:`"
            if config.attribute is None
            else f"has no field `{config.attribute}`"
        )
        raise RequestError(
            f"{what}: {path.name} {lacking}",
            f"Set `attribute:` to one of {', '.join(fields) or '(it has none)'}.",
        )
    codes = [code_of(value, config, path, what) for value in flat[config.attribute]]
    shapes = flat.geometry.make_valid()
    return shapes, np.array(codes, np.int32)


def code_of(value: object, config: ClassFile, path: Path, what: str) -> int:
    """Return the code of a class.

    Raises:
        RequestError: it has none.
    """
    if str(value) in config.codes:
        return config.codes[str(value)]
    number = float(value) if isinstance(value, int | float | np.number) else np.nan
    if number.is_integer() and str(int(number)) in config.codes:
        return config.codes[str(int(number))]
    if not config.codes and number.is_integer() and 0 <= number <= HIGHEST_CODE:
        return int(number)
    shown = "an empty value" if value is None or value != value else f"`{value}`"
    raise RequestError(
        f"{what}: {path.name}: {shown} of field `{config.attribute}` has no code",
        f"Add it to `codes:`, e.g. `codes: {{{'unknown' if value is None else value}: 1}}`"
        f" (whole numbers 0 to {HIGHEST_CODE}).",
    )


def burn(
    shapes: gpd.GeoSeries, codes: NDArray[np.int32], block: GeoBox, elsewhere: int | None
) -> NDArray[np.float32]:
    """Return the code at each pixel's centre, `(y, x)`, NaN (or `elsewhere`) where no polygon lies;
    the last one wins.
    """
    values = _burnt(list(shapes), codes.tolist(), block, -1).astype(np.float32)
    return np.where(values < 0, np.nan if elsewhere is None else elsewhere, values).astype(
        np.float32
    )


def _burnt(shapes: list[Any], values: list[int], block: GeoBox, fill: int) -> NDArray[np.int32]:
    size = int(block.shape[0]), int(block.shape[1])
    frame = box(*block.boundingbox.bbox)
    hit = np.sort(STRtree(shapes).query(frame)) if shapes else np.empty(0, np.int64)
    pairs = [(shapes[i], values[i]) for i in hit if not shapes[i].is_empty]
    if not pairs:
        return np.full(size, fill, np.int32)
    return np.asarray(
        rasterize(pairs, out_shape=size, transform=block.affine, fill=fill, dtype="int32")
    )
