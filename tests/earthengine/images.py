"""Algorithms on images, each as its documentation says; named as the protocol names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthengine.loopback import Refused
from earthengine.pictures import (
    EVERYWHERE,
    Band,
    Grid,
    Image,
    Painted,
    bilinear,
    inside,
    remembered,
)

WIDE = "float64"


def to_type(values: NDArray[np.float64], dtype: str) -> NDArray[Any]:
    """Return values cast: clamped to the type's range, fractions cut off."""
    if dtype.startswith("float"):
        return values.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.nan_to_num(np.trunc(values)), info.min, info.max).astype(dtype)


def as_image(value: Any) -> Image:
    """Return an image, constants promoted."""
    return value if isinstance(value, Image) else constant(value)


def constant(value: Any) -> Image:
    numbers = value if isinstance(value, list) else [value]
    names = ["constant"] if len(numbers) == 1 else [f"constant_{i}" for i in range(len(numbers))]

    def painter(number: float) -> Callable[[Grid], Painted]:
        return lambda grid: (
            np.full((grid.height, grid.width), float(number)),
            np.ones((grid.height, grid.width)),
        )

    kinds = ["int32" if float(number).is_integer() else WIDE for number in numbers]
    bands = [
        Band(n, k, painter(v), EVERYWHERE) for n, k, v in zip(names, kinds, numbers, strict=True)
    ]
    return Image(tuple(bands))


def _wider(*dtypes: str) -> str:
    return str(np.result_type(*dtypes))


def _unary(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]], dtype: str | None = WIDE
) -> Any:
    def apply(value: Image) -> Image:
        def one(band: Band) -> Band:
            def paint(grid: Grid) -> Painted:
                values, mask = band.paint(grid)
                with np.errstate(all="ignore"):
                    made = function(values)
                return np.nan_to_num(made), np.where(np.isfinite(made), mask, 0.0)

            return Band(band.name, dtype or band.dtype, remembered(paint), band.native)

        return value.with_bands([one(band) for band in value.bands])

    return apply


def _binary(function: Callable[..., Any], dtype: str | None) -> Any:
    """Return an operation on matched bands: by name where the names agree, else in order; a single
    band goes with all.
    """

    def apply(image1: Any, image2: Any) -> Image:
        a, b = as_image(image1), as_image(image2)
        longer = b if len(b.bands) > len(a.bands) else a

        def one(first: Band, second: Band, name: str) -> Band:
            def paint(grid: Grid) -> Painted:
                (x, mx), (y, my) = first.paint(grid), second.paint(grid)
                with np.errstate(all="ignore"):
                    made = np.asarray(function(x, y), dtype=np.float64)
                return np.nan_to_num(made), np.where(np.isfinite(made), np.minimum(mx, my), 0.0)

            native = first.native if first.native != EVERYWHERE else second.native
            return Band(name, dtype or _wider(first.dtype, second.dtype), remembered(paint), native)

        pairs = _matched(a, b)
        footprint = a.footprint if a.footprint is not None else b.footprint
        base = a if isinstance(image1, Image) else b
        made = [one(x, y, name) for (x, y), name in zip(pairs, longer.names, strict=True)]
        return Image(tuple(made), base.properties, footprint, base.id)

    return apply


def _matched(a: Image, b: Image) -> list[tuple[Band, Band]]:
    if len(a.bands) == 1 or len(b.bands) == 1:
        size = max(len(a.bands), len(b.bands))
        return [(a.bands[i % len(a.bands)], b.bands[i % len(b.bands)]) for i in range(size)]
    if set(a.names) == set(b.names):
        return [(band, b.bands[b.names.index(band.name)]) for band in a.bands]
    if len(a.bands) != len(b.bands):
        raise Refused(400, f"Images have different numbers of bands: {a.names} and {b.names}.")
    return list(zip(a.bands, b.bands, strict=True))


def _and_mod(x: Any, y: Any) -> Any:
    return np.fmod(x, y)


def select(input: Image, bandSelectors: Any, newNames: list[str] | None = None) -> Image:
    wanted = bandSelectors if isinstance(bandSelectors, list) else [bandSelectors]
    bands = []
    for name in wanted:
        if isinstance(name, str) and name not in input.names:
            raise Refused(
                400,
                f"Image.select: Band pattern '{name}' did not match any bands. Available "
                f"bands: {input.names}",
            )
        bands.append(input.bands[name if isinstance(name, int) else input.names.index(name)])
    return rename(input.with_bands(bands), newNames) if newNames else input.with_bands(bands)


def rename(input: Image, names: list[str]) -> Image:
    if len(names) != len(input.bands):
        raise Refused(400, f"Image.rename: {len(names)} names for {len(input.bands)} bands.")
    pairs = zip(input.bands, names, strict=True)
    return input.with_bands(
        [Band(name, band.dtype, band.paint, band.native) for band, name in pairs]
    )


def add_bands(dstImg: Image, srcImg: Any, names: Any = None, overwrite: bool = False) -> Image:
    more = select(srcImg, names) if names else as_image(srcImg)
    bands = list(as_image(dstImg).bands)
    for band in more.bands:
        name, count = band.name, 0
        taken = [one.name for one in bands]
        while name in taken:
            count += 1
            name = f"{band.name}_{count}"
        bands.append(Band(name, band.dtype, band.paint, band.native))
    return as_image(dstImg).with_bands(bands)


def mask_of(image: Image) -> Image:
    def one(band: Band) -> Band:
        return Band(
            band.name,
            WIDE,
            lambda grid: (band.paint(grid)[1], np.ones((grid.height, grid.width))),
            band.native,
        )

    return image.with_bands([one(band) for band in image.bands])


def update_mask(image: Image, mask: Any) -> Image:
    def one(band: Band, by: Band) -> Band:
        def paint(grid: Grid) -> Painted:
            (values, old), (new, known) = band.paint(grid), by.paint(grid)
            return values, old * np.clip(new, 0, 1) * (known > 0)

        return Band(band.name, band.dtype, remembered(paint), band.native)

    return image.with_bands([one(band, by) for band, by in _matched(image, as_image(mask))])


def unmask(input: Image, value: Any = 0, sameFootprint: bool = True) -> Image:
    def one(band: Band, by: Band) -> Band:
        def paint(grid: Grid) -> Painted:
            (values, mask), (other, known) = band.paint(grid), by.paint(grid)
            hole = mask == 0
            if sameFootprint and input.footprint is not None:
                hole &= inside(grid, input.footprint)
            return np.where(hole, other, values), np.where(hole, known, mask)

        return Band(band.name, _wider(band.dtype, by.dtype), remembered(paint), band.native)

    bands = [one(band, by) for band, by in _matched(input, as_image(value))]
    footprint = input.footprint if sameFootprint else None
    return Image(tuple(bands), input.properties, footprint, input.id)


def where(input: Image, test: Any, value: Any) -> Image:
    def one(band: Band, by: Band, other: Band) -> Band:
        def paint(grid: Grid) -> Painted:
            (values, mask), (t, mt), (v, mv) = band.paint(grid), by.paint(grid), other.paint(grid)
            return np.where((t != 0) & (mt > 0) & (mv > 0) & (mask > 0), v, values), mask

        return Band(band.name, _wider(band.dtype, other.dtype), remembered(paint), band.native)

    tests, others = _matched(input, as_image(test)), _matched(input, as_image(value))
    return input.with_bands(
        [one(band, by, other) for (band, by), (_, other) in zip(tests, others, strict=True)]
    )


def clamp(input: Image, low: float, high: float) -> Image:
    return _unary(lambda values: np.clip(values, low, high), None)(input)


def cast(dtype: str) -> Callable[[Image], Image]:
    def apply(value: Image) -> Image:
        return _unary(lambda values: to_type(values, dtype).astype(np.float64), dtype)(value)

    return apply


def resample(image: Image, mode: str = "bilinear") -> Image:
    if mode != "bilinear":
        raise Refused(400, f"Image.resample: the emulator knows no mode {mode}.")

    def one(band: Band) -> Band:
        paint = remembered(lambda grid: bilinear(band.paint, band.native, grid))
        return Band(band.name, WIDE, paint, band.native)

    return image.with_bands([one(band) for band in image.bands])


def reduce(image: Image, reducer: str) -> Image:
    function = {"min": np.min, "mean": np.mean, "max": np.max}[reducer]

    def paint(grid: Grid) -> Painted:
        painted = [band.paint(grid) for band in image.bands]
        values, masks = (np.stack([pair[i] for pair in painted]) for i in (0, 1))
        known = masks > 0
        filled = np.ma.array(values, mask=~known)
        return np.ma.filled(function(filled, axis=0).astype(float), 0.0), known.any(axis=0).astype(
            float
        )

    return image.with_bands([Band(reducer, WIDE, remembered(paint), image.bands[0].native)])


def reduce_neighborhood(image: Image, reducer: str, kernel: int, **_: Any) -> Image:
    """Return mean or variance over a square, weighted by the mask, where the pixel itself is known;
    in the output's pixels.
    """

    def one(band: Band) -> Band:
        def paint(grid: Grid) -> Painted:
            values, mask = band.paint(grid.padded(kernel))
            sums = [
                _window_sum(np.where(mask > 0, values**power, 0) * mask, kernel) for power in (1, 2)
            ]
            count = _window_sum(mask, kernel)
            safe = np.where(count > 0, count, 1)
            mean = sums[0] / safe
            made = mean if reducer == "mean" else np.maximum(sums[1] / safe - mean**2, 0)
            return made, mask[kernel:-kernel, kernel:-kernel]

        return Band(f"{band.name}_{reducer}", WIDE, remembered(paint), band.native)

    return image.with_bands([one(band) for band in image.bands])


def _window_sum(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    size = 2 * radius + 1
    return np.lib.stride_tricks.sliding_window_view(values, (size, size)).sum(axis=(-1, -2))


def mosaic(collection: list[Image]) -> Image:
    """Return the last image on top at each pixel, band by band."""
    if not collection:
        return Image(())
    names = collection[0].names

    def one(name: str) -> Band:
        layers = [
            image.bands[image.names.index(name)] for image in collection if name in image.names
        ]

        def paint(grid: Grid) -> Painted:
            values, mask = layers[0].paint(grid)
            for layer in layers[1:]:
                over, opacity = layer.paint(grid)
                values, mask = (
                    np.where(opacity > 0, over, values),
                    np.where(opacity > 0, opacity, mask),
                )
            return values, mask

        return Band(name, _wider(*(layer.dtype for layer in layers)), remembered(paint), EVERYWHERE)

    return Image(tuple(one(name) for name in names))


ALGORITHMS: dict[str, Callable[..., Any]] = {
    "Image.constant": lambda value: constant(value),
    "Image.select": select,
    "Image.rename": rename,
    "Image.addBands": add_bands,
    "Image.mask": mask_of,
    "Image.updateMask": update_mask,
    "Image.unmask": unmask,
    "Image.where": where,
    "Image.clamp": clamp,
    "Image.resample": resample,
    "Image.reduce": reduce,
    "Image.reduceNeighborhood": reduce_neighborhood,
    "ImageCollection.mosaic": mosaic,
    "Kernel.square": lambda radius, units="pixels", normalize=True, magnitude=1: int(radius),
    "Reducer.mean": lambda: "mean",
    "Reducer.min": lambda numInputs=1: "min",
    "Reducer.variance": lambda: "variance",
    "Image.add": _binary(np.add, None),
    "Image.subtract": _binary(np.subtract, None),
    "Image.multiply": _binary(np.multiply, None),
    "Image.divide": _binary(np.divide, WIDE),
    "Image.mod": _binary(_and_mod, None),
    "Image.max": _binary(np.maximum, None),
    "Image.min": _binary(np.minimum, None),
    "Image.and": _binary(lambda x, y: (x != 0) & (y != 0), "uint8"),
    "Image.bitwiseAnd": _binary(lambda x, y: x.astype(np.int64) & y.astype(np.int64), "int32"),
    "Image.eq": _binary(np.equal, "uint8"),
    "Image.neq": _binary(np.not_equal, "uint8"),
    "Image.gt": _binary(np.greater, "uint8"),
    "Image.gte": _binary(np.greater_equal, "uint8"),
    "Image.lt": _binary(np.less, "uint8"),
    "Image.lte": _binary(np.less_equal, "uint8"),
    "Image.cos": _unary(np.cos),
    "Image.log10": _unary(np.log10),
    "Image.round": _unary(np.round),
    "Image.toUint8": cast("uint8"),
    "Image.toUint16": cast("uint16"),
    "Image.toInt16": cast("int16"),
    "Image.toFloat": cast("float32"),
}
