"""Factor files opened for a run: each a band that can be asked for block by block, the same in
every window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

import geopandas as gpd
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.bands import BANDS
from configs.content import content
from configs.errors import RequestError
from configs.factors import HIGHEST_CODE, ClassFile, DistanceFile, FactorsConfig
from configs.files import inside
from gee.factors import vectors
from gee.factors.distance import Segments, distance_m
from gee.rasters import Numbers, Raster, look_at

_GLANCE_PX: Final = 128
"""Side of the quick look by which a raster is found to be of the area and of codes."""


class _Opened(Protocol):
    """A factor over one run's grid."""

    def on(self, block: GeoBox) -> NDArray[np.float32]:
        """Return the factor on a block of that grid, `(y, x)`, NaN where not known."""
        ...


@dataclass(frozen=True)
class _Distance:
    segments: Segments
    polygons: gpd.GeoSeries
    cap_m: float

    def on(self, block: GeoBox) -> NDArray[np.float32]:
        away = distance_m(self.segments, block, self.cap_m)
        if len(self.polygons):
            away[vectors.inside(self.polygons, block)] = 0
        return away


@dataclass(frozen=True)
class _Coded:
    shapes: gpd.GeoSeries
    codes: NDArray[np.int32]
    elsewhere: int | None

    def on(self, block: GeoBox) -> NDArray[np.float32]:
        return vectors.burn(self.shapes, self.codes, block, self.elsewhere)


@dataclass(frozen=True)
class _Warped:
    raster: Raster
    classes: bool

    def on(self, block: GeoBox) -> NDArray[np.float32]:
        return self.raster.warp(block, "nearest" if self.classes else "bilinear")


class Factors:
    """The factor files of a run or an archive. Cheap to make; files are read when a grid is
    known.
    """

    def __init__(self, config: FactorsConfig, folder: Path | None = None) -> None:
        """Take note of the files.

        Args:
            config: which.
            folder: where their names must resolve inside; None for paths as they are.
        """
        self._given = config.named
        self._folder = folder
        self._opened: dict[tuple[str, GeoBox], _Opened] = {}
        self._lock = Lock()

    @property
    def bands(self) -> tuple[str, ...]:
        """Return the stack bands that there are files for."""
        return tuple(self._given)

    def details(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return what goes into a plan and its provenance: file, checksum and settings of each
        factor.

        Raises:
            RequestError: a file that is not there.
        """
        found = {}
        for name in names:
            settings = self._given[name].model_dump(
                mode="json", exclude_defaults=True, exclude={"file"}
            )
            path = self._path(name)
            if not path.is_file():
                raise RequestError(f"factor {name}: there is no file {path}", "Correct `file:`.")
            found[name] = {"file": path.name, "sha256": content(path), **settings}
        return found

    def open(self, name: str, whole: GeoBox) -> _Opened:
        """Return a factor over a run's grid, read once.

        Raises:
            RequestError: its file cannot be used there.
        """
        with self._lock:
            if (name, whole) not in self._opened:
                self._opened[name, whole] = self._open(name, whole)
            return self._opened[name, whole]

    def _path(self, name: str) -> Path:
        file = self._given[name].file
        return Path(file) if self._folder is None else inside(self._folder, file, f"factor {name}")

    def _open(self, name: str, whole: GeoBox) -> _Opened:
        config, path, what = self._given[name], self._path(name), f"factor {name}"
        if not vectors.is_vector(config):
            numbers = Numbers(1.0, 0.0, config.nodata)
            raster = look_at(path.parent, path.name, config.band, what, numbers, BANDS[name])
            _check_raster(raster, whole, isinstance(config, ClassFile))
            return _Warped(raster, isinstance(config, ClassFile))
        if isinstance(config, DistanceFile):
            return _Distance(*vectors.lines(config, path, what, whole, config.cap_m), config.cap_m)
        return _Coded(*vectors.coded(config, path, what, whole), config.elsewhere)


def _check_raster(raster: Raster, whole: GeoBox, classes: bool) -> None:
    """Refuse a raster that is not of the area, or whose values cannot be what they should.

    Raises:
        RequestError: it is such a one.
    """
    height, width = (int(side) for side in whole.shape)
    thin = max(1, -(-max(height, width) // _GLANCE_PX))
    coarse = GeoBox(
        (-(-height // thin), -(-width // thin)), whole.affine @ Affine.scale(thin), whole.crs
    )
    values = raster.glance(coarse)
    values = values[np.isfinite(values)]
    if not values.size:
        raise RequestError(
            f"{raster.what}: {raster.path.name} shows nothing of the area: it lies "
            "elsewhere, or is nodata there",
            "Check that it is of this region, and its `nodata:`.",
        )
    if classes and ((values % 1 != 0) | (values < 0) | (values > HIGHEST_CODE)).any():
        odd = values[(values % 1 != 0) | (values < 0) | (values > HIGHEST_CODE)][0]
        raise RequestError(
            f"{raster.what}: {raster.path.name} holds {odd:g}, which is no code",
            f"Give a raster of whole numbers 0 to {HIGHEST_CODE}, and name its `nodata:`.",
        )
    if not classes and (values < 0).any():
        raise RequestError(
            f"{raster.what}: {raster.path.name} holds {values.min():g}, which is no distance",
            "Give a raster of metres, and name its `nodata:`.",
        )
