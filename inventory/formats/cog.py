"""The rasters of a revision as cloud-optimised GeoTIFFs: written in strips, with overviews,
statistics and nodata.

`landslides.tif` is burnt from the polygons themselves, so raster and inventory cannot disagree.
GeoTIFF has no place for category names; GDAL reads them from a small ``.aux.xml`` beside the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from rasterio.windows import Window

from configs.files import replacing, write_text
from configs.stack import Rows
from inventory.colours import MASK, OBSERVATION, rgb
from inventory.outline.outline import OUTSIDE, Inventory, Strip, code_of, strips

BLOCK_PX = 512
DESCRIPTION = "TIFFTAG_IMAGEDESCRIPTION"
"""Tag in which programs look for what an image says of itself."""
UNSEEN = 255
"""Value of ``landslides.tif`` where nothing was observed."""
_CACHE_BYTES = 128 * 2**20
_DECIMALS = 3
"""Digits of a stored probability. Chosen: a twentieth of what any calibration can claim, and half
the file.
"""

_Categories = Mapping[int, tuple[str, str]]
"""Name and colour of each value of a raster of classes."""
Draw = Callable[[Strip], NDArray[Any]]
"""What is written of a strip, `(y, x)`."""


@dataclass(frozen=True)
class _Cog:
    """How a raster is stored."""

    dtype: str
    nodata: float
    description: str
    categories: _Categories | None = None

    def options(self) -> dict[str, Any]:
        """Return the creation options of GDAL's COG driver."""
        classes = self.categories is not None
        return {
            "driver": "COG",
            "compress": "DEFLATE",
            "level": 6,
            "predictor": "STANDARD" if classes else "FLOATING_POINT",
            "blocksize": BLOCK_PX,
            "overviews": "IGNORE_EXISTING",
            "overview_resampling": "NEAREST" if classes else "AVERAGE",
            "overview_compress": "DEFLATE",
            "statistics": "YES",
            "bigtiff": "IF_SAFER",
        }


_PROBABILITY = _Cog("float32", np.nan, "landslide probability, 0 to 1")
LANDSLIDES = _Cog("uint8", UNSEEN, "1 landslide, 0 observed and none, 255 not observed", MASK)
_OBSERVED = _Cog(
    "uint8",
    OUTSIDE,
    "what was seen of each pixel",
    {int(each): look for each, look in OBSERVATION.items()},
)


def _fill(
    path: Path,
    cog: _Cog,
    geobox: GeoBox,
    blocks: Iterator[tuple[slice, NDArray[Any]]],
    tags: dict[str, str],
) -> None:
    """Write a plain tiled GeoTIFF strip by strip: the source of the COG."""
    height, width = (int(n) for n in geobox.shape)
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": cog.dtype,
        "crs": code_of(geobox.crs),
        "transform": geobox.affine,
        "nodata": cog.nodata,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "compress": "DEFLATE",
        "zlevel": 1,
        "bigtiff": "IF_SAFER",
    }
    with rasterio.open(path, "w", **profile) as file:
        file.set_band_description(1, cog.description)
        file.update_tags(**tags)
        if cog.categories:
            file.write_colormap(
                1, {value: (*rgb(colour), 255) for value, (_, colour) in cog.categories.items()}
            )
            file.update_tags(
                1, **{f"CLASS_{value}": name for value, (name, _) in cog.categories.items()}
            )
        for rows, block in blocks:
            file.write(block, 1, window=Window(0, rows.start, width, rows.stop - rows.start))


def _name_categories(path: Path, categories: _Categories) -> None:
    """Write the category names where GDAL looks for them."""
    root = ET.Element("PAMDataset")
    names = ET.SubElement(ET.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(categories) + 1):
        ET.SubElement(names, "Category").text = categories[value][0] if value in categories else ""
    write_text(path.with_name(path.name + ".aux.xml"), ET.tostring(root, encoding="unicode") + "\n")


def write_cog(
    path: Path,
    cog: _Cog,
    geobox: GeoBox,
    blocks: Iterator[tuple[slice, NDArray[Any]]],
    tags: dict[str, str],
) -> Path:
    """Return the path of a COG, written whole or not at all.

    Args:
        path: where it goes.
        cog: how it is stored.
        geobox: its grid.
        blocks: consecutive strips of whole rows, a multiple of 512 of them each but the last:
            (rows, `(y, x)`).
        tags: what the file says of itself.
    """
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_PAM_ENABLED="NO"), replacing(path) as part:
        plain = part.with_name(part.name + ".plain")
        try:
            _fill(plain, cog, geobox, blocks, tags)
            rasterio.shutil.copy(plain, part, **cog.options())
        finally:
            plain.unlink(missing_ok=True)
    if cog.categories:
        _name_categories(path, cog.categories)
    return path


def rounded(probability: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Return probabilities to three digits, except where that would move one over the threshold."""
    short = np.round(probability, _DECIMALS)
    with np.errstate(invalid="ignore"):
        return np.where((short >= threshold) == (probability >= threshold), short, probability)


def burnt(landslides: gpd.GeoDataFrame, geobox: GeoBox, rows: slice) -> NDArray[np.uint8]:
    """Return which pixels of some rows have their centre in a landslide, `(y, x)`, 1 or 0."""
    shape = (rows.stop - rows.start, int(geobox.shape[1]))
    affine = geobox.affine @ Affine.translation(0, rows.start)
    top, bottom = affine.f, affine.f + affine.e * shape[0]
    bounds = landslides.geometry.bounds
    here = landslides.geometry[(bounds["maxy"] > bottom) & (bounds["miny"] < top)]
    if here.empty:
        return np.zeros(shape, np.uint8)
    return np.asarray(rasterize(here.to_list(), out_shape=shape, transform=affine, dtype="uint8"))


def write_rasters(
    folder: Path,
    inventory: Inventory,
    probability: Rows,
    observation: Rows,
    tags: dict[str, str],
    names: tuple[str, ...] | None = None,
) -> dict[str, Path]:
    """Return the three rasters of a revision by name, or only those in `names`; each is written
    whole or not at all.
    """
    geobox, threshold = inventory.geobox, inventory.threshold

    def rounded_probability(strip: Strip) -> NDArray[np.float32]:
        return rounded(np.where(strip.seen, strip.probability, np.float32(np.nan)), threshold)

    def mask(strip: Strip) -> NDArray[np.uint8]:
        return np.where(
            strip.seen, burnt(inventory.landslides, geobox, strip.rows), np.uint8(UNSEEN)
        )

    def seen(strip: Strip) -> NDArray[np.uint8]:
        return strip.observation

    plans: list[tuple[str, _Cog, Draw]] = [
        ("landslides.tif", LANDSLIDES, mask),
        ("probability.tif", _PROBABILITY, rounded_probability),
        ("observation.tif", _OBSERVED, seen),
    ]
    return {
        name: write_cog(
            folder / name,
            cog,
            geobox,
            ((strip.rows, draw(strip)) for strip in strips(probability, observation, BLOCK_PX)),
            tags,
        )
        for name, cog, draw in plans
        if names is None or name in names
    }
