"""A finished run in the hands of a program: its rasters on one grid, its landslides as a table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import rioxarray
import xarray as xr

from configs.bands import When
from configs.errors import RequestError
from configs.layout import RunLayout
from configs.run import read_run
from configs.stack import Part, Stack

_RASTERS = {
    "probability": "probability.tif",
    "mask": "landslides.tif",
    "observation": "observation.tif",
}
"""Variable → product: landslide probability 0-1 (NaN where not observed), the mask (1 landslide,
0 none, 255 not observed) and the observation classes.
"""


@dataclass(frozen=True)
class OpenedRun:
    """A revision, opened."""

    data: xr.Dataset
    """Dimensions `(y, x)`; CRS by `data.rio.crs`. `probability`, `mask`, `observation`, and every
    band of the stack (`post_B4`, `slope`, …) where the revision still holds it. Lazy: pixels are
    read when asked for.
    """
    landslides: gpd.GeoDataFrame
    """One row a landslide, in the grid's CRS; columns as docs/contract.md lists them."""
    provenance: dict[str, Any]
    folder: Path


def open_run(path: Path) -> OpenedRun:
    """Return a revision's rasters and landslides.

    Args:
        path: the revision's folder, or one of its products.

    Raises:
        RequestError: it is no revision.
    """
    folder = path.parent if path.is_file() else path
    layout = RunLayout(folder)
    missing = [
        name for name in (*_RASTERS.values(), "landslides.gpkg") if not (folder / name).exists()
    ]
    if missing:
        raise RequestError(
            f"{folder} is no revision: it has no {', '.join(missing)}",
            "Give the folder of a revision, e.g. runs/EVENT/r001.",
        )
    variables = {name: _raster(folder / file) for name, file in _RASTERS.items()}
    if layout.stack.exists():
        variables |= _bands(
            Stack(layout.stack).of_area(read_run(layout.config).place), variables["mask"]
        )
    landslides = gpd.read_file(folder / "landslides.gpkg", layer="landslides")
    provenance = json.loads(layout.provenance.read_text(encoding="utf-8"))
    return OpenedRun(xr.Dataset(variables), landslides, provenance, folder)


def _raster(path: Path) -> xr.DataArray:
    """Return a product `(y, x)` with its CRS; nodata becomes NaN where it is a number."""
    raster = rioxarray.open_rasterio(path, chunks=None, masked=path.name == "probability.tif")
    if not isinstance(raster, xr.DataArray):
        raise RequestError(f"{path} holds several rasters", "Make the revision again.")
    return raster.squeeze("band", drop=True)


def _bands(stack: Stack, like: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the stack's bands in their units, and each window's observation, on the same grid."""
    opened = xr.open_zarr(stack.path, consolidated=False, chunks=None)
    part = stack.part or Part(0, 0, *stack.shape)
    opened = opened.isel(y=part.rows, x=part.columns)
    names = [*stack.band_names, *(f"{when}_observation" for when in When)]
    return {
        name: xr.DataArray(
            opened[name].variable, coords={"y": like.y, "x": like.x}, name=name
        ).rio.write_crs(like.rio.crs)
        for name in names
        if name in opened
    }
