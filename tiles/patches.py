"""Labelled image patches, as the field publishes them, laid out on one raster that can be cut.

Published sets are loose patches: pictures with masks, HDF5 files, or arrays. A network learns
better from neighbours that are still neighbours, so patches whose place in their scene is known are
put back there; the others stand side by side, each in a cell of its own. Either way the result is
what a scene is: pixels `(band, y, x)`, labels and splits on one grid, without a place on Earth.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from configs.errors import RequestError
from configs.records import IGNORED
from configs.sampling import PatchesConfig
from tiles.split import UNUSED, Splits

_LARGEST_PATCH_PX = 2048
"""Side of the largest patch; beyond it a file is a scene, which wants a place on the ground."""


@dataclass(frozen=True)
class Patch:
    """One image with its mask, not read yet."""

    image: Path
    mask: Path
    number: int | None = None
    """Its place in an array of patches; None where a file holds one patch."""
    split: str | None = None
    place: tuple[int, int] | None = None
    """(row, column) in its scene, counted in patches."""


class Mosaic:
    """Patches on one raster, read row of patches by row of patches when they are asked for."""

    def __init__(
        self, config: PatchesConfig, patches: Sequence[Patch], bands: Sequence[str]
    ) -> None:
        """Lay the patches out, with these of their channels, in this order.

        Raises:
            RequestError: a file that cannot be read, a mask of another size, two patches in one
                place.
        """
        self.config, self.patches = config, tuple(patches)
        self.bands = tuple(bands)
        self._labels = [read_mask(config, patch) for patch in self.patches]
        self.cell = max(max(label.shape) for label in self._labels)
        self._places = _places(self.patches)
        rows, columns = (max(place[axis] for place in self._places) + 1 for axis in (0, 1))
        self.shape = (len(self.bands), rows * self.cell, columns * self.cell)
        self._row = lru_cache(maxsize=2)(self._read_row)

    def __getitem__(self, key: Any, /) -> NDArray[np.float32]:
        """Return `[bands, rows, columns]` in the bands' units, NaN where no patch lies."""
        bands, rows, columns = key
        start, stop, _ = rows.indices(self.shape[1])
        first, last = start // self.cell, max(start, stop - 1) // self.cell
        whole = np.concatenate([self._row(row) for row in range(first, last + 1)], axis=1)
        offset = first * self.cell
        window: NDArray[np.float32] = whole[bands, start - offset : stop - offset, columns]
        return window

    def labels(self) -> NDArray[np.uint8]:
        """Return `(y, x)`: 1 landslide, 0 none, 255 where no patch lies."""
        label = np.full(self.shape[1:], IGNORED, np.uint8)
        for place, patch in zip(self._places, self._labels, strict=True):
            label[self._window(place, patch.shape)] = patch
        return label

    def splits(self) -> Splits | None:
        """Return the splits that the set's own index names; None where it names none."""
        names = sorted({patch.split for patch in self.patches if patch.split})
        if not names:
            return None
        numbers = np.full(self.shape[1:], UNUSED, np.uint8)
        for place, patch, label in zip(self._places, self.patches, self._labels, strict=True):
            if patch.split:
                numbers[self._window(place, label.shape)] = names.index(patch.split)
        described = f"as the set's index says ({', '.join(names)}), patch by patch"
        return Splits(numbers, dict(enumerate(names)), described)

    def _window(self, place: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
        top, left = (step * self.cell for step in place)
        return slice(top, top + shape[0]), slice(left, left + shape[1])

    def _read_row(self, row: int) -> NDArray[np.float32]:
        pixels = np.full((len(self.bands), self.cell, self.shape[2]), np.nan, np.float32)
        for place, patch, label in zip(self._places, self.patches, self._labels, strict=True):
            if place[0] != row:
                continue
            image = read_image(self.config, patch, self.bands)
            if image.shape[1:] != label.shape:
                raise RequestError(
                    f"{patch.image} has {image.shape[1]} × {image.shape[2]} pixels, its mask "
                    f"{label.shape[0]} × {label.shape[1]}",
                    "Leave the pair out of the set, or give the mask that belongs to the image.",
                )
            left = place[1] * self.cell
            pixels[:, : label.shape[0], left : left + label.shape[1]] = image
        return pixels


def find_patches(config: PatchesConfig, folder: Path) -> list[Patch]:
    """Return the patches of a set, in the order of its index, else of its files' names.

    Args:
        config: where images and masks lie.
        folder: what the configuration's paths are relative to.

    Raises:
        RequestError: no image, an image without a mask, an index that names other columns.
    """
    base = (folder / config.folder).resolve()
    found = list(_indexed(config, base) if config.index else _by_name(config, base))
    if not found:
        raise RequestError(
            f"no patch was found in {base} ({config.images})",
            "Check `patches.folder`, `patches.images` and `patches.where`.",
        )
    for patch in found:
        for path, what in ((patch.image, "image"), (patch.mask, "mask")):
            if not path.is_file():
                raise RequestError(
                    f"the {what} {path} does not exist",
                    "Check `patches.images` and `patches.mask_names`.",
                )
    return found


def _by_name(config: PatchesConfig, base: Path) -> Iterator[Patch]:
    for image in sorted(base.glob(config.images), key=_natural):
        mask = _mask_of(config, base, image)
        if config.kind == "arrays":
            yield from (Patch(image, mask, number) for number in _numbers(config, image))
        else:
            yield Patch(image, mask)


def _indexed(config: PatchesConfig, base: Path) -> Iterator[Patch]:
    """Yield the patches that a table names, those that `where` asks for."""
    path = base / str(config.index)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} cannot be read: {error}", "Give a CSV table.") from None
    try:
        for row in rows:
            if any(row[column] != value for column, value in config.where.items()):
                continue
            image = base / config.images.format(**row)
            place = (int(row[config.row]), int(row[config.column])) if config.row else None
            split = row[config.split] if config.split else None
            number = int(row[config.number]) if config.number else None
            yield Patch(image, _mask_of(config, base, image), number, split, place)
    except (KeyError, ValueError) as error:
        raise RequestError(
            f"{path} has no usable column {error}", f"It has: {', '.join(rows[0] if rows else ())}."
        ) from None


def _mask_of(config: PatchesConfig, base: Path, image: Path) -> Path:
    """Return the mask's file: the image's path with the words of `mask_names` exchanged."""
    name = image.relative_to(base).as_posix()
    for word, instead in config.mask_names.items():
        name = name.replace(word, instead)
    return base / name


def _natural(path: Path) -> tuple[Any, ...]:
    digits = "".join(c if c.isdigit() else " " for c in path.stem).split()
    return (*(int(number) for number in digits[-1:]), path.as_posix())


def _places(patches: Sequence[Patch]) -> list[tuple[int, int]]:
    """Return each patch's (row, column): its own place where all have one, else side by side."""
    if all(patch.place for patch in patches):
        known = [patch.place for patch in patches if patch.place]
        top, left = (min(place[axis] for place in known) for axis in (0, 1))
        if len(set(known)) < len(known):
            raise RequestError(
                "two patches of the index have one place", "Name one scene with `patches.where`."
            )
        return [(row - top, column - left) for row, column in known]
    columns = ceil(sqrt(len(patches)))
    return [divmod(number, columns) for number in range(len(patches))]


def read_image(config: PatchesConfig, patch: Patch, bands: Sequence[str]) -> NDArray[np.float32]:
    """Return the image `(band, y, x)` in the bands' units, NaN where nothing was imaged.

    Raises:
        RequestError: it cannot be read, or has fewer channels than the configuration names.
    """
    values = _read(patch.image, config.image_dataset, patch.number)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.shape[-1] < len(config.channels):
        raise RequestError(
            f"{patch.image} has {values.shape[-1]} channels, not {len(config.channels)}",
            "Name the file's channels in order in `patches.channels`.",
        )
    kept = [config.channels.index(band) for band in bands]
    scales = np.array([config.scales.get(band, config.scale) for band in bands])
    image = values[:, :, kept].astype(np.float32) * scales.astype(np.float32)
    if config.nodata is not None:
        image[(values[:, :, kept] == config.nodata).all(axis=-1)] = np.nan
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def read_mask(config: PatchesConfig, patch: Patch) -> NDArray[np.uint8]:
    """Return the mask `(y, x)`: 1 landslide, 0 none (anything above half of its type's range, or
    above 0 where it holds 0 and 1).
    """
    values = _read(patch.mask, config.mask_dataset, patch.number)
    values = values[:, :, 0] if values.ndim == 3 else values
    if values.ndim != 2 or max(values.shape) > _LARGEST_PATCH_PX:
        raise RequestError(
            f"{patch.mask} is no mask of a patch: its shape is {values.shape}",
            f"A mask has one layer and at most {_LARGEST_PATCH_PX} pixels a side.",
        )
    limit = 127 if values.max(initial=0) > 1 else 0
    return (values > limit).astype(np.uint8)


def _read(path: Path, dataset: str, number: int | None) -> NDArray[Any]:
    """Return what a file holds: `(y, x)` or `(y, x, channel)`."""
    try:
        if path.suffix in (".h5", ".hdf5"):
            return _from_hdf5(path, dataset)
        if path.suffix in (".npy", ".npz"):
            values = _array(path, dataset)
            return np.asarray(values if number is None else values[number])
        with Image.open(path) as image:
            if max(image.size) > _LARGEST_PATCH_PX:
                raise RequestError(
                    f"{path} has {image.size[0]} × {image.size[1]} pixels: that is no patch",
                    "Give scenes as an archive with `run` and `truth`.",
                )
            return np.asarray(image)
    except (OSError, ValueError, KeyError, UnidentifiedImageError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"{path} cannot be read: {' '.join(str(error).split())[:200]}",
            "Copy the file anew from its publisher, or leave the pair out.",
        ) from None


def _from_hdf5(path: Path, dataset: str) -> NDArray[Any]:
    try:
        import h5py
    except ImportError:
        raise RequestError(
            f"{path} is an HDF5 file", "Install its reader: pip install 'coslide[patches]'"
        ) from None
    with h5py.File(path) as file:
        return np.asarray(file[dataset])


@lru_cache(maxsize=4)
def _array(path: Path, dataset: str) -> NDArray[Any]:
    """Return the patches of an array file, `(n, y, x)` or `(n, y, x, channel)`."""
    content = np.load(path, allow_pickle=False)
    return np.asarray(content[dataset]) if path.suffix == ".npz" else np.asarray(content)


def _numbers(config: PatchesConfig, path: Path) -> list[int]:
    """Return the places in an array file of the patches that `where` asks for: its words are other
    arrays of the file, one value a patch.
    """
    try:
        wanted = np.ones(len(_array(path, config.image_dataset)), bool)
        for name, value in config.where.items():
            wanted &= _array(path, name).astype(str) == value
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"{path} cannot be read: {' '.join(str(error).split())[:200]}",
            "Give an .npy file, or an .npz file and the name of its array.",
        ) from None
    return [int(number) for number in np.flatnonzero(wanted)]
