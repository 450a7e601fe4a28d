"""Layers of vector files that the user names: ``FILE[:LAYER]``, checked before anything is read of
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyogrio
import pyogrio.errors
from pyproj.exceptions import ProjError
from shapely import GEOSException

from configs.errors import RequestError
from configs.spelling import file_meant, instead

if TYPE_CHECKING:
    import geopandas as gpd

UNREADABLE = (
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
    pyogrio.errors.FeatureError,
    pyogrio.errors.FieldError,
    pyogrio.errors.GeometryError,
    pyogrio.errors.CRSError,
    GEOSException,
    ProjError,
    ValueError,
    OSError,
)
"""What GDAL, GEOS and PROJ raise of a vector file that is damaged."""
_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".kml", ".gml")
"""Vector files that are opened. Nothing that may point elsewhere, such as OGR's virtual format.
"""
_PACKED = (".kmz", ".zip", ".gz", ".tar", ".tgz", ".7z", ".rar")


@dataclass(frozen=True)
class Layer:
    """A polygon layer of a vector file, perhaps only some of its features."""

    file: Path
    name: str | None = None
    """Layer; may be left out where the file holds only one."""
    where: str | None = None
    """Which features count, e.g. ``kind = 'interpreted'`` (OGR SQL condition)."""

    @classmethod
    def parse(cls, text: str, where: str | None = None) -> Layer:
        """Return the layer written as ``FILE[:LAYER]``; either may hold colons of its own."""
        text = str(Path(text).expanduser()) if text.startswith("~") else text
        if Path(text).exists() or ":" not in text[2:]:  # a drive letter's colon is no separator
            return cls(Path(text), None, where)
        at = [place for place, letter in enumerate(text) if letter == ":" and place > 1]
        there = [place for place in at if Path(text[:place]).exists()]
        place = there[0] if there else at[-1]
        return cls(Path(text[:place]), text[place + 1 :].strip(), where)

    def __str__(self) -> str:
        return f"{self.file}:{self.name}" if self.name else str(self.file)


def layer_name(layer: Layer) -> str:
    """Return the name of a layer, after making sure that it is there.

    Raises:
        RequestError: no such file or layer, not a vector file, or one that points elsewhere.
    """
    path = layer.file
    _check_file(path)
    try:
        names = [str(name) for name, _ in pyogrio.list_layers(path)]
    except (pyogrio.errors.DataSourceError, UnicodeDecodeError) as error:
        raise RequestError(
            f"cannot read {path}: it is not a vector file, or damaged", "Export it again."
        ) from error
    except pyogrio.errors.GeometryError as error:
        # A layer of surfaces (TIN) beside others hides the list of them all.
        if layer.name is not None:
            return layer.name
        raise RequestError(
            f"{path} holds a layer of 3D surfaces, which is no layer of polygons",
            "Name the layer of polygons, FILE:LAYER.",
        ) from error
    if layer.name is not None and layer.name not in names:
        ways = f"It holds {', '.join(names)}."
        raise RequestError(f"{path} has no layer `{layer.name}`", instead(layer.name, names, ways))
    if layer.name is None and len(names) != 1:
        raise RequestError(
            f"{path} holds {len(names)} layers: {', '.join(names)}",
            f"Name one: {path}:{names[0] if names else 'LAYER'}.",
        )
    return layer.name or names[0]


def _check_file(path: Path) -> None:
    """Refuse what is no vector file that is read: a folder, packed, in parts, or virtual."""
    if path.is_dir() and path.suffix.lower() == ".gdb":
        raise RequestError(
            f"{path} is a file geodatabase, which coslide does not read",
            "Export the layer as a GeoPackage, e.g. `ogr2ogr layer.gpkg folder.gdb LAYER`.",
        )
    if path.is_dir():
        raise RequestError(f"{path} is a folder", "Name the file in it: FILE or FILE:LAYER.")
    if not path.is_file():
        ways = "Write FILE or FILE:LAYER, and check the path."
        raise RequestError(f"no such file: {path}", f"{file_meant(path)} {ways}".strip())
    if path.suffix.lower() not in _SUFFIXES:
        packed = path.suffix.lower() in _PACKED
        raise RequestError(
            f"{path} is {'packed' if packed else 'not a vector file coslide reads'}",
            f"{'Unpack it and name the file in it' if packed else 'Use one of'}: "
            f"{', '.join(_SUFFIXES)}.",
        )
    if path.suffix.lower() == ".shp" and not _beside(path, ".shx"):
        raise RequestError(
            f"{path} lacks the file beside it that ends in .shx",
            "Copy all parts of the shapefile: .shp, .shx, .dbf and .prj.",
        )
    with path.open("rb") as file:
        if b"<OGRVRT" in file.read(4096):
            raise RequestError(
                f"{path} is a virtual file that points elsewhere", "Convert it with `ogr2ogr`."
            )


def _beside(path: Path, suffix: str) -> bool:
    return any(path.with_suffix(one).is_file() for one in (suffix, suffix.upper()))


def read_vector(layer: Layer) -> gpd.GeoDataFrame:
    """Return a layer's features in its own coordinate system.

    Raises:
        RequestError: no such file or layer, not a vector file, surfaces instead of polygons, no
            geometry, or no coordinate system.
    """
    import geopandas as gpd

    name = layer_name(layer)
    try:
        frame = gpd.read_file(layer.file, layer=name, where=layer.where, engine="pyogrio")
    except (pyogrio.errors.GeometryError, GEOSException) as error:
        if isinstance(error, GEOSException) and "WKB type" not in str(error):
            raise RequestError(
                f"{layer} holds outlines that are none: numbers are missing or not finite",
                "Mend them in a GIS (check validity), and export the layer again.",
            ) from error
        raise RequestError(
            f"{layer} holds 3D surfaces (TIN or multipatch), not polygons",
            "Export their footprints as polygons.",
        ) from error
    except UNREADABLE as error:
        detail = " ".join(str(error).split())
        about = f" and `where: {layer.where}`" if layer.where else ""
        raise RequestError(f"cannot read {layer}: {detail}", f"Check the file{about}.") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise RequestError(
            f"{layer} is a table without geometry", "Name a layer of polygons, FILE:LAYER."
        )
    if frame.crs is None:
        raise RequestError(
            f"{layer} does not say its coordinate system",
            "Assign one, e.g. `ogr2ogr -a_srs EPSG:4326 out.gpkg in`.",
        )
    return frame


def in_crs(frame: gpd.GeoDataFrame, crs: Any, layer: Layer) -> gpd.GeoDataFrame:
    """Return a frame in another coordinate system.

    Raises:
        RequestError: its own is tied to no place on Earth.
    """
    try:
        return frame.to_crs(crs)
    except ProjError as error:
        raise RequestError(
            f"{layer} is in `{frame.crs.name}`, a local system that nothing can be put in place by",
            "Assign its true one, e.g. `ogr2ogr -a_srs EPSG:32654 out.gpkg in`.",
        ) from error
