"""From a folder of rasters that nobody has described to a manifest: names tell when an image was
taken and which bands it holds, numbers tell how reflectance was stored. What cannot be told is
asked for, never guessed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio

from configs.bands import BANDS, DERIVED, When
from configs.errors import RequestError
from configs.records import Level
from gee.archive.manifest import CloudMask, Layer, Manifest, SceneEntry
from gee.rasters import look_at

logger = logging.getLogger(__name__)

SUFFIXES: Final = (".tif", ".tiff", ".jp2")
_WHEN: Final = {
    **dict.fromkeys(("pre", "before", "prior"), When.PRE),
    **dict.fromkeys(("post", "after"), When.POST),
}
_MEASURED: Final = tuple(
    name for name, band in BANDS.items() if not band.static and name not in DERIVED
)
_BAND_OF: Final = {
    **{name.lower(): name for name in _MEASURED},
    **{f"b0{name[1:].lower()}": name for name in _MEASURED if re.fullmatch(r"B\d[A-Z]?", name)},
    "blue": "B2",
    "green": "B3",
    "red": "B4",
    "nir": "B8",
    "swir1": "B11",
    "swir2": "B12",
}
"""How files and their bands are called, in small letters, and the stack's name for it."""
_CLASSES: Final = "scl"
_CLASS_VALUES: Final = {"cloud": (8, 9, 10), "shadow": (3,), "snow": (11,)}
"""Scene classification of Sentinel-2 Level-2A (ESA, Level-2A Algorithm Overview, table 3)."""
_DATE: Final = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_]?(0[1-9]|1[0-2])[-_]?([0-2]\d|3[01])(?!\d)", re.ASCII
)
_AWAY_DAYS: Final = 30
"""From the event to an image whose date no name tells: it is said to be assumed."""
_STORED_IN_1E4: Final = 5.0
"""Reflectance is hardly above 2: files with larger numbers store ten thousandths."""
_LOOK_PX: Final = 512


@dataclass(frozen=True)
class _File:
    """What a raster's name tells."""

    name: str
    """Relative to the manifest's folder."""
    when: When | None
    day: date | None
    bands: tuple[str, ...]
    """In the words of the stack, in the order of the file; empty where no name tells."""
    classes: bool
    scene: tuple[str, ...]
    """The rest of the name: files that share it belong together."""


@dataclass
class _Scene:
    bands: dict[str, Layer] = field(default_factory=dict)
    mask: CloudMask | None = None


def describe_folder(
    images: Path,
    day: date,
    *,
    root: Path,
    dem: Path | None = None,
    sensor: str = "sentinel-2",
    level: Level | None = None,
    channels: Sequence[str] = (),
) -> Manifest:
    """Return the manifest of a folder of GeoTIFFs or JPEG 2000 files, with its subfolders.

    Args:
        images: the folder. A name says *pre* or *post*, or the day; and the band (``B4``, ``B04``,
            ``red``), where the file's bands do not have these names themselves.
        day: of the event, UTC.
        root: folder that holds `images` and `dem`: names are relative to it.
        dem: elevation, metres.
        sensor: as checkpoints name it.
        level: of the reflectances; by the names where None, else L2A with a warning.
        channels: bands of the files whose bands have no names, in their order.

    Raises:
        RequestError: no image, or one that cannot be read or whose time or bands nothing tells.
    """
    root = root.resolve()
    scenes: dict[tuple[Any, ...], _Scene] = {}
    display = set[bool]()
    for path in _rasters(images):
        if dem is not None and path.resolve() == dem.resolve():
            continue
        file = _told(path, images, root, day, channels)
        if file is None:
            logger.warning("%s is left out: its name tells neither a time nor a band", path)
            continue
        scene = scenes.setdefault((file.when, file.day, *file.scene), _Scene())
        if file.classes:
            scene.mask = CloudMask(file=file.name, **_CLASS_VALUES)
            continue
        for number, band in enumerate(file.bands, 1):
            if band in scene.bands:
                raise RequestError(
                    f"{scene.bands[band].file} and {file.name} are both {band} of one image",
                    "Give the images names of their own, or write archive.yaml.",
                )
            scene.bands[band], picture = _layer(root, file.name, number, band)
            display.add(picture)
    scenes = {key: scene for key, scene in scenes.items() if scene.bands}
    if not scenes:
        raise RequestError(
            f"{images} holds no image that names say enough of",
            "Call the files e.g. pre_B4.tif or 2018-09-20_red.tif, or write archive.yaml.",
        )
    if len(display) > 1:
        raise RequestError(
            f"{images} holds pictures of 8 bits and reflectances together",
            "Keep one kind in the folder.",
        )
    return Manifest(
        sensor=sensor,
        level=Level.DISPLAY if display == {True} else level or _level_by(scenes.values()),
        scenes=tuple(_entries(scenes, day)),
        static={"dem": Layer(file=_relative(dem, root))} if dem else {},
    )


def _rasters(images: Path) -> list[Path]:
    if not images.is_dir():
        raise RequestError(f"--images: there is no folder {images}", "Check the path.")
    return sorted(p for p in images.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _relative(path: Path, root: Path) -> str:
    return path.resolve().relative_to(root).as_posix()


def _told(
    path: Path, images: Path, root: Path, event: date, channels: Sequence[str]
) -> _File | None:
    """Return what is told of a file; None where neither its time nor its band is.

    Raises:
        RequestError: one of both is told, the other not.
    """
    inside = path.relative_to(images).with_suffix("").as_posix().lower()
    found = _DATE.search(inside)
    day = date(*(int(part) for part in found.groups())) if found else None
    parts = [part for part in re.split(r"[^a-z0-9]+", _DATE.sub(" ", inside)) if part]
    times = [_WHEN[part] for part in parts if part in _WHEN]
    when = times[0] if times else None
    if when is None and day is not None and day != event:
        when = When.PRE if day < event else When.POST
    named = tuple(dict.fromkeys(_BAND_OF[part] for part in parts if part in _BAND_OF))
    classes = _CLASSES in parts
    if when is None and not named and not classes:
        return None
    name = _relative(path, root)
    if when is None:
        raise RequestError(
            f"nothing tells whether {path} was taken before or after the event",
            "Put `pre`, `post` or the day (YYYYMMDD) into its name, or write archive.yaml.",
        )
    bands = () if classes else _bands_of(path, root, name, named, channels)
    rest = [p for p in parts if p not in _BAND_OF and p not in _WHEN and p != _CLASSES]
    return _File(name, when, day, bands, classes, tuple(p for p in rest if not _is_size(p)))


def _is_size(part: str) -> bool:
    """Return whether a part of a name is a pixel size (`10m`, `r20m`): no image's own name."""
    return re.fullmatch(r"r?\d+m", part) is not None


def _bands_of(
    path: Path, root: Path, name: str, named: tuple[str, ...], channels: Sequence[str]
) -> tuple[str, ...]:
    look_at(root, name, 1, name)  # refuses what is no raster on the ground
    with rasterio.open(path) as file:
        count, titles = file.count, [(title or "").strip().lower() for title in file.descriptions]
    if count == 1 and len(named) == 1:
        return named
    if all(title in _BAND_OF for title in titles):
        return tuple(_BAND_OF[title] for title in titles)
    wrong = [channel for channel in channels if channel not in _MEASURED]
    if wrong:
        raise RequestError(
            f"--channels: there is no band {', '.join(wrong)}", f"Use {', '.join(_MEASURED)}."
        )
    if len(channels) == count:
        return tuple(channels)
    raise RequestError(
        f"nothing tells which bands the {count} of {path} are",
        "Name them in their order, e.g. --channels B2,B3,B4,B8, or put the band into the names of "
        "files of one band (B04, red).",
    )


def _layer(root: Path, name: str, number: int, band: str) -> tuple[Layer, bool]:
    """Return a band as it stands in a manifest, and whether it is one of a picture of 8 bits."""
    raster = look_at(root, name, number, f"{name}, {band}")
    with rasterio.open(raster.path) as file:
        kind = np.dtype(file.dtypes[number - 1])
        thin = max(1, -(-max(file.shape) // _LOOK_PX))
        numbers = file.read(number, out_shape=tuple(-(-side // thin) for side in file.shape))
    if BANDS[band].unit != "reflectance":
        return Layer(file=name, band=number), False
    if kind == np.uint8:
        return Layer(file=name, band=number, scale=1 / 255), True
    stored = numbers[np.isfinite(numbers)] if kind.kind == "f" else numbers
    if raster.nodata is not None:
        stored = stored[stored != raster.nodata]
    large = stored.size > 0 and float(np.quantile(stored, 0.99)) * raster.scale > _STORED_IN_1E4
    undeclared = raster.nodata is None and not raster.masked and kind.kind in "ui"
    return Layer(
        file=name, band=number, scale=1e-4 if large else None, nodata=0 if undeclared else None
    ), False


def _level_by(scenes: Any) -> Level:
    names = " ".join(layer.file.lower() for scene in scenes for layer in scene.bands.values())
    for level in (Level.TOA, Level.SURFACE):
        if level.value.lower() in names:
            return level
    logger.warning(
        "no name tells the processing level: the images are taken for surface reflectance (L2A); "
        "say --level L1C where they are not"
    )
    return Level.SURFACE


def _entries(scenes: dict[tuple[Any, ...], _Scene], event: date) -> Iterator[SceneEntry]:
    """Yield the scenes with names of their own."""
    taken = set[str]()
    for (when, day, *rest), scene in scenes.items():
        name = "-".join([str(when), *([day.isoformat()] if day else []), *rest])
        while name in taken:
            name += "-2"
        taken.add(name)
        away = timedelta(days=_AWAY_DAYS if when is When.POST else -_AWAY_DAYS)
        acquired = day or event + away
        logger.info("%s: %s of %s", name, ", ".join(scene.bands), acquired)
        yield SceneEntry(
            id=name,
            acquired=datetime(acquired.year, acquired.month, acquired.day, tzinfo=UTC),
            date_assumed=day is None,
            when=when,
            bands=scene.bands,
            cloud_mask=scene.mask,
        )
