"""An engine for benchmarks: whatever the expression, its bands' pixels are rendered already and
only sliced.

It knows some algorithms more than the evaluator, as far as other clients need them to describe an
image; none of them computes.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from earthengine import collections_, images
from earthengine.evaluator import Evaluator, _grid, _Walk
from earthengine.loopback import Refused
from earthengine.pictures import Band, Grid, Image, Raster, asset

LIMIT, DOWNLOAD_LIMIT = 48 * 2**20, 32 * 2**20
SIDE_PX = 10_000
TOP_BIT = 0x8000


class Prerendered(Evaluator):
    """Knows one scene; answers questions about it truly and pixels from a bank of random
    numbers.
    """

    def __init__(
        self,
        scene: str,
        bands: Sequence[str],
        crs: str,
        origin: tuple[float, float],
        moment_ms: float,
    ) -> None:
        affine = Affine(10, 0, origin[0], 0, -10, origin[1])
        still = Raster(np.broadcast_to(np.zeros(1, "uint16"), (SIDE_PX, SIDE_PX)), crs, affine)
        index = scene.rsplit("/", 1)[-1]
        whole = asset(
            scene, dict.fromkeys(bands, still), {"system:time_start": moment_ms, "system:id": scene}
        )
        super().__init__(
            [
                regridded(whole, Grid(crs, affine, SIDE_PX, SIDE_PX)),
                asset(f"GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED/{index}", {"cs_cdf": still}),
                asset("JRC/GSW1_4/GlobalSurfaceWater", {"occurrence": still}),
            ]
        )
        self.algorithms |= DESCRIBING
        self._bank = np.random.default_rng(0).integers(1, 10_000, 4 << 20).astype("uint16")
        self._images: dict[str, Image] = {}
        self._payloads: dict[Any, bytes] = {}
        self._lock = threading.Lock()

    def value(self, expression: dict[str, Any]) -> Any:
        """Return the JSON of a computed value, images described with their bands."""
        return _describe(_Walk(self, expression).result())

    def pixels(self, request: dict[str, Any]) -> bytes:
        """Return an NPY payload of the expression's bands and types, pixels of which the recipe
        says that they are clear.
        """
        image = self._image(request["expression"])
        if wanted := request.get("bandIds"):
            image = images.select(image, wanted)
        grid = _grid(request["grid"])
        return self._rendered(image, grid.height, grid.width, LIMIT, _npy)

    def download(self, request: dict[str, Any]) -> bytes:
        """Return a GeoTIFF of what a download link was made for."""
        image = self._image(request["expression"])
        native = image.bands[0].native
        return self._rendered(image, native.height, native.width, DOWNLOAD_LIMIT, _geotiff)

    def _image(self, expression: dict[str, Any]) -> Image:
        """Return what an expression comes to, walked once however often it is asked for."""
        key = json.dumps(expression)
        with self._lock:
            if key not in self._images:
                self._images[key] = images.as_image(_Walk(self, expression).result())
            return self._images[key]

    def _rendered(
        self, image: Image, height: int, width: int, limit: int, write: Callable[[Any, Grid], bytes]
    ) -> bytes:
        types = [(band.name, band.dtype) for band in image.bands]
        size = height * width * sum(np.dtype(kind).itemsize + 1 for _, kind in types)
        if size > limit:
            raise Refused(
                400,
                f"Total request size ({size} bytes) must be less than or equal to {limit} bytes.",
            )
        key = (id(image), height, width, write)
        with self._lock:
            if key not in self._payloads:
                table = np.zeros((height, width), types)
                for band in image.bands:
                    table[band.name] = self._rendered_band(band, height, width)
                self._payloads[key] = write(table, image.bands[0].native)
            return self._payloads[key]

    def _rendered_band(self, band: Band, height: int, width: int) -> Any:
        """Return random counts below what the recipe makes of one pixel: a code, or a code's bit on
        top of it.
        """
        values, _ = band.paint(replace(band.native, height=1, width=1))
        one = np.asarray(values).astype(band.dtype).item()
        if band.dtype == "uint8":
            return one
        counts = np.resize(self._bank, (height, width))
        return counts + np.uint16(one & TOP_BIT) if band.dtype == "uint16" else counts


def _npy(table: Any, native: Grid) -> bytes:
    file = io.BytesIO()
    np.save(file, table)
    return file.getvalue()


def _geotiff(table: Any, native: Grid) -> bytes:
    names = table.dtype.names
    profile = {
        "height": table.shape[0],
        "width": table.shape[1],
        "count": len(names),
        "dtype": table.dtype[0],
    }
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", crs=native.crs, transform=native.affine, **profile
        ) as file:
            for number, name in enumerate(names, 1):
                file.write(table[name], number)
        return bytes(memory.read())


def regridded(image: Image, grid: Grid) -> Image:
    """Return an image whose bands lie on a grid."""
    return image.with_bands([Band(band.name, band.dtype, band.paint, grid) for band in image.bands])


def _describe(value: Any) -> Any:
    if isinstance(value, Image):
        return {
            "type": "Image",
            "id": value.id,
            "bands": [_describe_band(band) for band in value.bands],
            "properties": value.properties,
        }
    if isinstance(value, dict):
        return {name: _describe(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_describe(one) for one in value]
    return collections_.encode(value)


def _describe_band(band: Band) -> dict[str, Any]:
    native = band.native
    info = np.iinfo(band.dtype) if np.dtype(band.dtype).kind in "iu" else None
    kind = (
        {"precision": "int", "min": int(info.min), "max": int(info.max)}
        if info
        else {"precision": "double"}
    )
    return {
        "id": band.name,
        "data_type": {"type": "PixelType", **kind},
        "dimensions": [native.width, native.height],
        "crs": native.crs,
        "crs_transform": list(native.affine)[:6],
    }


def _reproject(image: Image, crs: Any, crsTransform: Any = None, scale: Any = None) -> Image:
    code = crs.crs if isinstance(crs, Grid) else crs
    native = image.bands[0].native
    affine = Affine(*crsTransform) if crsTransform else native.affine
    return regridded(image, replace(native, crs=code, affine=affine))


def _clip(
    input: Image, geometry: Any = None, width: Any = None, height: Any = None, **_: Any
) -> Image:
    native = input.bands[0].native
    affine = native.affine
    if geometry is not None:  # a rectangle in pixels of the projection that was set before
        left, top, right, bottom = geometry.bounds
        width, height = width or round(right - left), height or round(bottom - top)
        affine = affine @ Affine.translation(left, top)
    return regridded(input, Grid(native.crs, affine, int(height), int(width)))


def _slice(image: Image, start: int, end: int | None = None) -> Image:
    return image.with_bands(image.bands[start:end])


def _columns(
    collection: list[Image], reducer: Any, selectors: list[str], **_: Any
) -> dict[str, Any]:
    return {"list": [[one.properties.get(name) for one in collection] for name in selectors]}


def _iterate(
    collection: list[Image], function: Callable[[Any, Any], Any], first: Any = None
) -> Any:
    for one in collection:
        first = function(one, first)
    return first


DESCRIBING: dict[str, Callable[..., Any]] = {
    "Collection.size": lambda collection: len(collection),
    "Collection.first": lambda collection: collection[0],
    "Collection.reduceColumns": _columns,
    "Collection.toList": lambda collection, count, offset=0: list(collection)[
        int(offset) : int(offset) + int(count)
    ],
    "Element.toDictionary": lambda element, properties=None: {},
    "Reducer.toList": lambda **_: "list",
    "Reducer.repeat": lambda reducer, count: reducer,
    "List.get": lambda list, index: list[int(index)],
    "List.slice": lambda list, start, end=None, step=1: list[
        int(start) : None if end is None else int(end)
    ],
    "Image.reproject": _reproject,
    "Image.clipToBoundsAndScale": _clip,
    "Image.slice": _slice,
    "Image.bandNames": lambda image: image.names,
    "Collection.iterate": _iterate,
    "Image.mask": lambda image, mask=None: image,
    "Image.propertyNames": lambda element: [],
    "Element.propertyNames": lambda element: [],
    "List.contains": lambda list, element: element in list,
    "If": lambda condition, trueCase=None, falseCase=None: trueCase if condition else falseCase,
    "GeometryConstructors.Rectangle": lambda coordinates, **_: collections_.rectangle(coordinates),
}
