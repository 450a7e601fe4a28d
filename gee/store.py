"""The files of a stack: the Zarr group with its CF attributes, the blocks it is written in and the
markers of those that are done.

Whether a block is done is decided by what lies on disk: the marker of this very plan, and chunks
with the checksum it holds.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely import box, prepare

from configs.bands import When, parse_band
from configs.errors import CoslideError, RequestError
from configs.event import as_plain
from configs.files import check_format, replacing, sweep, write_text
from configs.places import drop, is_remote, zarr_at
from configs.stack import CHUNK_PX, FORMAT, Stack, grid_attributes
from gee.chunks import COMPRESSION, HANDS, write_window
from gee.derive import hillshade_attributes
from gee.previous import Earlier, scene_attributes
from gee.source import Plan, Source

logger = logging.getLogger(__name__)

_Window = tuple[slice, slice]
_NOTES: Final = {
    f"{when}_{what}": dtype
    for when in When
    for what, dtype in (("observation", "uint8"), ("date", "int32"))
}


@dataclass(frozen=True)
class Block:
    """One unit of work: whole chunks of the grid, written by one thread."""

    row: int
    column: int
    window: _Window

    @property
    def marker(self) -> str:
        return f"{self.row}_{self.column}"

    def geobox(self, whole: GeoBox) -> GeoBox:
        return whole[self.window]


def markers(path: Path) -> Path:
    """Return the folder of a stack's markers, beside the group: inside, Zarr readers would stumble
    over it.
    """
    return path.with_name(f"{path.name}.blocks")


def blocks_of(plan: Plan, block_px: int) -> Iterator[Block]:
    """Yield the blocks that touch the area or its context, in reading order."""
    outline = plan.area.pulled(str(plan.geobox.crs))
    prepare(outline)
    height, width = (int(side) for side in plan.geobox.shape)
    for row in range(-(-height // block_px)):
        for column in range(-(-width // block_px)):
            rows = slice(row * block_px, min((row + 1) * block_px, height))
            columns = slice(column * block_px, min((column + 1) * block_px, width))
            block = Block(row, column, (rows, columns))
            if outline.intersects(box(*block.geobox(plan.geobox).boundingbox)):
                yield block


def open_or_create(
    path: Path,
    key: str,
    source: Source,
    plan: Plan,
    names: tuple[str, ...],
    kept: Earlier | None = None,
) -> None:
    """Make sure that `path` is a stack of this plan; one of another plan goes, anything else is
    refused.
    """
    if path.exists() and any(path.iterdir()):
        attributes = _attributes(path)
        if attributes is not None:
            check_format(attributes.get("format"), "stack", str(path))
            if attributes.get("plan_key") == key and _opens(path, names):
                sweep(markers(path))
                return
        what = "is damaged" if attributes is None else "holds another plan's pixels, or is damaged"
        logger.warning("%s %s; it is made anew", path, what)
        drop(path)
    drop(markers(path))
    with replacing(path) as temporary:
        _create(temporary, _describe(key, source, plan, names, kept), plan.geobox, names)


def _opens(path: Path, names: tuple[str, ...]) -> bool:
    """Return whether every array of a stack has a readable head."""
    group = zarr.open_group(zarr_at(path), mode="r", use_consolidated=False)
    try:
        for name in stored_names(names):
            target(group, name)
    except (KeyError, ValueError, TypeError):
        return False
    return True


def _attributes(path: Path) -> dict[str, Any] | None:
    """Return a stack's attributes; None where its head cannot be read any more."""
    try:
        return dict(zarr.open_group(zarr_at(path), mode="r", use_consolidated=False).attrs)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        if (path / "zarr.json").exists() and markers(path).exists():
            return None
        raise RequestError(
            f"{path} exists and is no stack", "Choose another output folder, or move it away."
        ) from None


def _describe(
    key: str, source: Source, plan: Plan, names: tuple[str, ...], kept: Earlier | None
) -> dict[str, Any]:
    """Return the group's attributes: all that a reader must know about the pixels."""
    offer = source.offer()
    return {
        "format": FORMAT,
        "plan_key": key,
        "grid": grid_attributes(plan.geobox),
        "bands": list(names),
        "source": source.name,
        "sensor": offer.sensor,
        "level": str(offer.level),
        "simulated": offer.simulated,
        "event": as_plain(plan.event),
        "area": plan.area.as_plain(),
        "windows": as_plain(plan.windows),
        "scenes": [*map(scene_attributes, plan.scenes), *(kept.scenes(plan) if kept else ())],
        "elevation_step_m": plan.elevation_step_m,
        "elevation_model": plan.elevation_model,
        "source_details": json.loads(json.dumps(dict(plan.details), default=str)),
        "warnings": list(offer.warnings),
        "policy": kept.policy if kept else None,
        "complete": False,
        **hillshade_attributes(),
    }


def _create(
    path: Path, attributes: Mapping[str, Any], geobox: GeoBox, names: tuple[str, ...]
) -> None:
    group = zarr.create_group(zarr_at(path), attributes={"format": FORMAT})
    for name in names:
        band = parse_band(name).band
        cf = {
            "units": band.unit,
            "long_name": band.title,
            "scale_factor": band.scale,
            "add_offset": band.offset,
        }
        _array(group, name, geobox, band.dtype, band.nodata, {**cf, "_FillValue": band.nodata})
    for when in When:
        _array(
            group,
            f"{when}_observation",
            geobox,
            "uint8",
            0,
            {"long_name": f"observation class, {when}"},
        )
        days = {
            "units": "days since 1970-01-01",
            "calendar": "standard",
            "_FillValue": 0,
            "long_name": f"acquisition day, {when}",
        }
        _array(group, f"{when}_date", geobox, "int32", 0, days)
    group.attrs.update(
        attributes
    )  # last: where nothing can be renamed, the plan's key says that all arrays are there


def _array(
    group: zarr.Group,
    name: str,
    geobox: GeoBox,
    dtype: str,
    fill: int,
    attributes: Mapping[str, Any],
) -> None:
    group.create_array(
        name,
        shape=tuple(int(side) for side in geobox.shape),
        chunks=(CHUNK_PX, CHUNK_PX),
        dtype=dtype,
        fill_value=fill,
        compressors=COMPRESSION,
        dimension_names=("y", "x"),
        attributes=dict(attributes),
    )


def target(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise CoslideError(f"`{name}` in the stack is not an array")
    return array


def write_block(
    path: Path,
    group: zarr.Group,
    block: Block,
    key: str,
    stored: Mapping[str, NDArray[Any]],
    notes: Mapping[str, Any],
) -> None:
    """Write a block's chunks, then its marker."""
    with HANDS:
        for name, values in stored.items():
            if is_remote(path):
                target(group, name)[block.window] = values
            else:
                dtype, fill = _kind(name)
                write_window(path / name, *block.window, values.astype(dtype, copy=False), fill)
        crc = _crc(stored.values())
    rows, columns = block.window
    window = [rows.start, rows.stop, columns.start, columns.stop]
    marker = {"key": key, "crc": crc, "window": window, **notes}
    write_text(markers(path) / block.marker, json.dumps(marker))


def _kind(name: str) -> tuple[str, int]:
    """Return the type and the fill value of one of a stack's arrays."""
    if name in _NOTES:
        return _NOTES[name], 0
    band = parse_band(name).band
    return band.dtype, band.nodata


def _crc(arrays: Iterable[NDArray[Any]]) -> int:
    crc = 0
    for values in arrays:
        crc = zlib.crc32(np.ascontiguousarray(values).data, crc)
    return crc


def stored_names(names: tuple[str, ...]) -> list[str]:
    """Return the names of a stack's arrays: bands, observation and dates."""
    return [*names, *(f"{when}_{what}" for when in When for what in ("observation", "date"))]


def is_done(
    path: Path, block: Block, key: str, names: tuple[str, ...], marked: str | None = None
) -> bool:
    """Return whether a block is on disk as it was written: its marker (`marked`, else the block's
    own name) is this plan's and its chunks have the checksum.
    """
    try:
        file = markers(path) / (marked or block.marker)
        marker = json.loads(file.read_text(encoding="utf-8"))
        if marker.get("key") != key:
            return False
        group = zarr.open_group(zarr_at(path), mode="r", use_consolidated=False)
        return bool(
            marker["crc"]
            == _crc(np.asarray(target(group, name)[block.window]) for name in stored_names(names))
        )
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        logger.warning("block %s is damaged and is asked for again: %s", block.marker, error)
        return False


def damaged(path: Path) -> list[str]:
    """Return the blocks of a finished stack whose pixels are not those that were written."""
    group = zarr.open_group(zarr_at(path), mode="r", use_consolidated=False)
    names = tuple(str(name) for name in _as_list(group.attrs["bands"]))
    found = []
    for file in sorted(markers(path).iterdir()) if markers(path).exists() else []:
        try:
            window = json.loads(file.read_text(encoding="utf-8")).get("window")
        except ValueError:
            found.append(file.name)
            continue
        if window is None:  # made before markers told their window
            continue
        top, bottom, left, right = window
        block = Block(0, 0, (slice(top, bottom), slice(left, right)))
        if not is_done(path, block, str(group.attrs["plan_key"]), names, file.name):
            found.append(file.name)
    return found


def _as_list(value: Any) -> list[Any]:
    return list(value)


def mark_complete(path: Path, blocks: list[Block]) -> None:
    """Write into the group what is only known at the end."""
    counts: dict[str, int] = {}
    carried = {"blocks": 0, "asked": 0, "news_px": 0}
    for block in blocks:
        marker = json.loads((markers(path) / block.marker).read_text(encoding="utf-8"))
        if "news_px" in marker:
            carried["blocks"] += 1
            carried["asked"] += int(marker["asked"])
            carried["news_px"] += marker["news_px"]
        for name, count in marker["implausible"].items():
            counts[name] = counts.get(name, 0) + count
    group = zarr.open_group(zarr_at(path), mode="r+", use_consolidated=False)
    before: Any = group.attrs["warnings"]
    warnings = [str(text) for text in before if not str(text).startswith("implausible")]
    warnings += [
        f"implausible values in {name}: {count} pixels beyond {parse_band(name).band.low:g} ... "
        f"{parse_band(name).band.high:g} {parse_band(name).band.unit} count as not imaged"
        for name, count in counts.items()
    ]
    for text in warnings:
        logger.warning("%s", text)
    group.attrs.update(
        {"warnings": warnings, "implausible": counts, "carried": carried, "complete": True}
    )


def intact(path: Path) -> Stack | None:
    """Return a finished stack of an earlier revision; None where there is none (any more), or where
    its pixels are not those that were written: they are pulled again.
    """
    if not path.exists():
        return None
    try:
        stack = Stack(path)
        if stack.attributes.get("complete") and not damaged(path):
            return stack
    except (OSError, ValueError, KeyError, TypeError, CoslideError) as error:
        logger.info("%s: %s", path, error)
    logger.warning("the stack of %s is damaged: nothing of it is kept", path.parent.name)
    return None
