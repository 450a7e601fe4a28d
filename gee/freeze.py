"""From a live stack to an archive, bit for bit: any run can then be replayed offline, for ever.

A composite has a date at every pixel, an archive's scene has one: the composite is taken apart by
window and day, so that put together again it is the same pixel for pixel. Elevation is kept on its
native grid, from which terrain is derived again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import Area
from configs.bands import BANDS, When, inputs_of, parse_band
from configs.checksums import write_checksums
from configs.errors import RequestError, from_os_error
from configs.event import Event, Windows
from configs.files import format_of, replacing, sweep_dead
from configs.records import Advance, ObservationClass, Scene, silent
from configs.stack import CHUNK_PX, EPOCH_DAY, Stack
from gee.archive.manifest import MANIFEST, CloudMask, Layer, Manifest, SceneEntry
from gee.previous import scenes_of
from gee.resample import lattice
from gee.source import Plan, Source
from gee.stack import assemble
from gee.store import blocks_of, target

logger = logging.getLogger(__name__)

_STRIP_PX: Final = 4 * CHUNK_PX
_ELEVATION_MARGIN_PX: Final = 8
VOID_M: Final = -32768.0


def plan_of(stack: Stack) -> Plan:
    """Return the plan that a finished stack was made by, as the stack itself tells it: nobody is
    asked again.

    Raises:
        RequestError: the stack is not finished.
    """
    attributes = stack.attributes
    if not attributes.get("complete"):
        raise RequestError(
            f"the stack {stack.path} is not finished",
            "Give the same `coslide respond` command again.",
        )
    measured = inputs_of(stack.band_names)
    scenes = scenes_of(stack)
    return Plan(
        tuple(name for name in measured if name != "dem"),
        "dem" in measured,
        stack.geobox,
        Area.from_plain(attributes["area"]),
        Event.model_validate(attributes["event"]),
        Windows.model_validate(attributes["windows"]),
        scenes,
        elevation_step_m=attributes.get("elevation_step_m", 0.0),
        details=attributes["source_details"],
    )


def freeze(
    source: Source,
    plan: Plan,
    folder: Path,
    *,
    stack: Stack | None = None,
    progress: Advance = silent,
) -> Path:
    """Return the manifest of a new archive that holds what a plan shows.

    Args:
        source: the live source; asked for the elevation, and for the bands that `stack` does not
            hold.
        plan: what to freeze.
        folder: the archive; it must not exist yet.
        stack: a finished stack of this plan, whose pixels are then not asked for again.
        progress: as `gee.stack.assemble`.

    Raises:
        RequestError: the folder exists; or bands are missing in a stack that keeps pixels of an
            earlier revision.
        MachineError: the disk is full.
        CoslideError: whatever the source raises; the same call goes on.
    """
    pulled = folder.with_name(f".{folder.name}.pull")
    if folder.exists() and pulled.exists():  # killed when all but its own litter was done
        shutil.rmtree(pulled, ignore_errors=True)
        return folder / MANIFEST
    if folder.exists():
        raise RequestError(f"{folder} exists", "Choose another folder for the archive.")
    if folder.parent.is_dir():
        sweep_dead(folder.parent)
    missing = sorted(set(plan.bands) - set(stack.band_names)) if stack else []
    if stack and missing and stack.attributes.get("carried", {}).get("blocks"):
        raise RequestError(
            "the stack keeps pixels of an earlier revision and lacks "
            f"{', '.join(missing)}: they cannot be asked for again",
            "Freeze the run file instead (`coslide freeze rNNN/run.yaml`): it pulls every "
            "pixel anew.",
        )
    if stack is None or missing:
        stack = assemble(source, plan, plan.bands, pulled / "stack.zarr", progress=progress)
    try:
        pulled.mkdir(parents=True, exist_ok=True)  # until the answer is given: see above
        with replacing(folder) as temporary:
            temporary.mkdir(parents=True)
            manifest = _manifest(source, plan, stack, temporary)
            content = {
                "format": format_of("archive"),
                **manifest.model_dump(mode="json", exclude_defaults=True),
            }
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
            (temporary / MANIFEST).write_text(text, encoding="utf-8")
            write_checksums(temporary)
        shutil.rmtree(pulled, ignore_errors=True)
    except OSError as error:
        raise from_os_error(error) from error
    return folder / MANIFEST


def _manifest(source: Source, plan: Plan, stack: Stack, folder: Path) -> Manifest:
    """Return the manifest of the rasters that this writes."""
    entries = []
    for when in When:
        names = [name for name in plan.bands if parse_band(name).when is when]
        for day in _days(stack, when) if names else ():
            entries.append(_scene(plan, stack, when, day, names, folder))
    static = {}
    for name in (name for name in plan.bands if parse_band(name).when is None):
        _write_bands(stack, [(name, f"{name}.tif")], folder, None)
        static[name] = _layer(name, f"{name}.tif")
    if plan.needs_elevation:
        _write_elevation(source, plan, folder / "dem.tif")
        static["dem"] = Layer(file="dem.tif", nodata=VOID_M, resampling="bilinear")
    offer = source.offer()
    return Manifest(
        title=f"{plan.event.name}: {source.name}, frozen",
        sensor=offer.sensor,
        level=offer.level,
        resolution_m=float(abs(plan.geobox.affine.a)),
        resampling="nearest",
        elevation_model=plan.elevation_model if "dem" in static else "",
        water_percent=plan.details.get("settings", {}).get("water_percent", 80),
        scenes=tuple(entries),
        static=static,
        attribution=tuple(f"{scene.when}: {scene.id}" for scene in plan.scenes),
    )


def _strips(shape: tuple[int, int]) -> Iterator[slice]:
    for top in range(0, shape[0], _STRIP_PX):
        yield slice(top, min(top + _STRIP_PX, shape[0]))


def _days(stack: Stack, when: When) -> list[int]:
    """Return the acquisition days that show in a window, days since 1970-01-01."""
    found: set[int] = set()
    for rows in _strips(stack.shape):
        found |= {int(day) for day in np.unique(stack.date(when, rows))}
    return sorted(found - {0})


def _scene(
    plan: Plan, stack: Stack, when: When, day: int, names: list[str], folder: Path
) -> SceneEntry:
    shown = EPOCH_DAY + timedelta(days=day)
    scenes = [
        scene for scene in plan.scenes if scene.when is when and scene.acquired.date() == shown
    ]
    start = f"{when}_{shown:%Y%m%d}"
    files = {name: f"{start}_{parse_band(name).band.name}.tif" for name in names}
    _write_bands(stack, list(files.items()), folder, (when, day))
    _write_classes(stack, when, day, folder / f"{start}_classes.tif")
    return SceneEntry(
        id=start,
        acquired=_acquired(scenes, shown),
        product=scenes[0].product if scenes else "",
        when=when,
        bands={parse_band(name).band.name: _layer(name, file) for name, file in files.items()},
        cloud_mask=CloudMask(
            file=f"{start}_classes.tif",
            clear=(int(ObservationClass.CLEAR),),
            cloud=(int(ObservationClass.CLOUD),),
            shadow=(int(ObservationClass.SHADOW),),
            snow=(int(ObservationClass.SNOW),),
            water=(int(ObservationClass.WATER),),
            cast_shadow=(int(ObservationClass.CAST_SHADOW),),
            nodata=int(ObservationClass.NOT_IMAGED),
        ),
    )


def _acquired(scenes: list[Scene], day: date) -> datetime:
    return min(
        (scene.acquired for scene in scenes),
        default=datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
    )


def _layer(name: str, file: str) -> Layer:
    band = parse_band(name).band
    return Layer(file=file, scale=band.scale, offset=band.offset, nodata=band.nodata)


def _profile(geobox: GeoBox, dtype: str, nodata: float) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "height": int(geobox.shape[0]),
        "width": int(geobox.shape[1]),
        "count": 1,
        "dtype": dtype,
        "crs": str(geobox.crs),
        "transform": geobox.affine,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": CHUNK_PX,
        "blockysize": CHUNK_PX,
        "compress": "deflate",
        "predictor": 2 if dtype != "float32" else 3,
        "bigtiff": "if_safer",
    }


def _write_bands(
    stack: Stack, files: list[tuple[str, str]], folder: Path, shown: tuple[When, int] | None
) -> None:
    """Write stored integers of bands, those of one window and day only, or all."""
    with ExitStack() as opened:
        outputs = {}
        for name, file in files:
            band = parse_band(name).band
            profile = _profile(stack.geobox, band.dtype, band.nodata)
            outputs[name] = opened.enter_context(rasterio.open(folder / file, "w", **profile))
        for rows in _strips(stack.shape):
            here = None if shown is None else stack.date(shown[0], rows) == shown[1]
            for name, output in outputs.items():
                stored: NDArray[Any] = np.asarray(target(stack.group, name)[rows])
                if here is not None:
                    stored = np.where(
                        here, stored, BANDS[parse_band(name).band.name].nodata
                    ).astype(stored.dtype)
                output.write(stored, 1, window=((rows.start, rows.stop), (0, stack.shape[1])))


def _write_classes(stack: Stack, when: When, day: int, path: Path) -> None:
    with rasterio.open(
        path, "w", **_profile(stack.geobox, "uint8", int(ObservationClass.NOT_IMAGED))
    ) as output:
        for rows in _strips(stack.shape):
            here = stack.date(when, rows) == day
            seen = np.where(
                here, stack.observation(when, rows), ObservationClass.NOT_IMAGED
            ).astype(np.uint8)
            output.write(seen, 1, window=((rows.start, rows.stop), (0, stack.shape[1])))


def _write_elevation(source: Source, plan: Plan, path: Path) -> None:
    """Write the native elevation of the whole grid, block by block onto its own lattice."""
    parts = [
        source.elevation(plan, block.geobox(plan.geobox), _ELEVATION_MARGIN_PX)
        for block in blocks_of(plan, plan.block_px or source.block_px)
    ]
    places = [lattice(part.geobox) for part in parts]
    top, left = min(place.row for place in places), min(place.column for place in places)
    bottom = max(
        place.row + part.values.shape[0] for place, part in zip(places, parts, strict=True)
    )
    right = max(
        place.column + part.values.shape[1] for place, part in zip(places, parts, strict=True)
    )
    whole = np.full((bottom - top, right - left), VOID_M, np.float32)
    for place, part in zip(places, parts, strict=True):
        rows = slice(place.row - top, place.row - top + part.values.shape[0])
        columns = slice(place.column - left, place.column - left + part.values.shape[1])
        whole[rows, columns] = np.where(np.isfinite(part.values), part.values, whole[rows, columns])
    first, native = places[0], parts[0].geobox
    affine = native.affine @ type(native.affine).translation(left - first.column, top - first.row)
    with rasterio.open(
        path, "w", **_profile(GeoBox(whole.shape, affine, native.crs), "float32", VOID_M)
    ) as output:
        output.write(whole, 1)
