"""A sampling file for somebody who has none: images, elevation and polygons are named, the rest is
taken from the rasters and written down for the next time.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from configs.area import Area
from configs.bands import BANDS, DERIVED, When
from configs.errors import RequestError
from configs.event import parse_moment
from configs.files import format_of, write_text
from configs.records import Level
from configs.sampling import SamplingConfig
from configs.vectors import Layer, layer_name
from gee.archive.folder import describe_folder
from gee.archive.manifest import MANIFEST, Manifest, read_manifest
from gee.archive.source import ArchiveSource

logger = logging.getLogger(__name__)

_TERRAIN = ("slope", "hillshade")
_BLOCKS = 6
"""Blocks of ground along the shorter side, at least: fewer cannot be dealt to three splits."""
_BLOCK_PX = (64, 256)


def describe_samples(
    images: Path,
    truth: str,
    date: str,
    out: Path,
    *,
    dem: Path | None = None,
    extent: str | None = None,
    ignore: Sequence[str] = (),
    sensor: str = "sentinel-2",
    level: str | None = None,
    channels: Sequence[str] = (),
) -> Path:
    """Return the sampling file of a sample set, written beside its folder-to-be `out` together with
    the manifest of the images where they have none.

    Args:
        images: folder of GeoTIFFs (`gee.archive.folder.describe_folder`), or an archive.
        truth: landslide polygons, ``FILE[:LAYER]``.
        date: day of the event, UTC.
        out: folder that `coslide samples` is to make; OUT.yaml is written beside it.
        dem: elevation, metres; terrain is derived from it.
        extent: polygons of what was looked at; everything where None.
        ignore: polygons whose ground is left out of account.
        sensor: as checkpoints name it.
        level: L1C or L2A, where no name tells.
        channels: bands of files whose bands have no names.

    Raises:
        RequestError: a file that cannot be used, or another OUT.yaml stands there.
    """
    moment, _ = parse_moment(date)
    layers = {"truth": [truth], "extent": [extent] if extent else [], "ignore": list(ignore)}
    for text in (text for texts in layers.values() for text in texts):
        layer_name(Layer.parse(text))
    archive = _archive(images, moment.date(), out, dem, sensor, level, channels)
    source = ArchiveSource(archive)
    shown = source.extent()
    if shown is None:
        raise RequestError(f"{images} shows nothing", "Give a folder with images.")
    area = Area(shown, "extent of the rasters")
    (longitude, latitude), name = area.centre, _name_of(out)
    days = [scene.acquired.date() for scene in source.manifest.scenes]
    content = {
        "format": format_of("sampling"),
        "name": name,
        "title": name,
        "run": {
            "event": {
                "name": name,
                "time": moment.isoformat(),
                "time_of_day_known": len(date.strip()) > len("YYYY-MM-DD"),
                "latitude": round(latitude, 4),
                "longitude": round(longitude, 4),
            },
            "windows": _windows(moment.date(), days),
            "source": {"kind": "archive", "archive": _from(out.parent, archive)},
        },
        "bands": _bands(source),
        "truth": _truth(truth, extent, ignore, out.parent),
        **_cutting(min(area.geobox(source.offer().resolution_m).shape)),
        "licence": "not stated",
    }
    SamplingConfig.model_validate(content)
    if extent is None:
        logger.warning("no --extent: all ground without a polygon counts as free of landslides")
    path = out.with_name(f"{out.name}.yaml")
    _write(path, content, f"The sample set again: coslide samples {path.name} --out FOLDER")
    return path


def _truth(truth: str, extent: str | None, ignore: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the polygons of a sampling file, as layers seen from its folder."""
    return {
        "kind": "polygons",
        "slides": [_layer(truth, folder)],
        **({"inside": _layer(extent, folder)} if extent else {}),
        **({"ignore": [_layer(text, folder) for text in ignore]} if ignore else {}),
    }


def _archive(
    images: Path,
    day: date,
    out: Path,
    dem: Path | None,
    sensor: str,
    level: str | None,
    channels: Sequence[str],
) -> Path:
    """Return the archive: the images' own manifest, or one written beside the sample set."""
    if (images / MANIFEST).is_file():
        if dem is not None or channels or level is not None:
            raise RequestError(
                f"{images / MANIFEST} says what the files are",
                "Leave out --dem, --channels and --level, or say it there (`static: {dem: …}`).",
            )
        return read_manifest(images)[1]
    if dem is not None and not dem.is_file():
        raise RequestError(f"--dem: no such file: {dem}", "Check the path.")
    inside = [images.resolve(), *([dem.resolve().parent] if dem else [])]
    root = Path(os.path.commonpath(inside))
    known = None if level is None else _level(level)
    manifest = describe_folder(
        images, day, root=root, dem=dem, sensor=sensor, level=known, channels=channels
    )
    path = out.with_name(f"{out.name}.{MANIFEST}")
    _write(path, _content(manifest, _from(out.parent, root)), "What the images are")
    return path


def _level(text: str) -> Level:
    if text not in (Level.TOA, Level.SURFACE):
        raise RequestError(f"--level: `{text}` is no level", "Use L1C or L2A.")
    return Level(text)


def _content(manifest: Manifest, folder: str) -> dict[str, Any]:
    plain = manifest.model_dump(mode="json", exclude_defaults=True)
    return {"format": format_of("archive"), "folder": folder, **plain}


def _from(folder: Path, path: Path) -> str:
    """Return a path as it is written in a file of `folder`."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _layer(text: str, folder: Path) -> dict[str, str]:
    layer = Layer.parse(text)
    return {"file": _from(folder, layer.file), **({"layer": layer.name} if layer.name else {})}


def _name_of(out: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", out.name).strip("-._")[:64]
    if not name:
        raise RequestError(f"--out: {out} gives no name", "Use letters or digits.")
    return name


def _windows(day: date, days: list[date]) -> dict[str, str]:
    """Return windows that hold every image."""
    first, last = min(day, *days), max(day, *days)
    last_moment = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    return {"pre": f"{first}/{day}", "post": f"{day}/{last}", "as_of": last_moment.isoformat()}


def _bands(source: ArchiveSource) -> list[str]:
    """Return the bands that are read: those measured, both dates of each where there are two, and
    terrain.

    Raises:
        RequestError: no image after the event.
    """
    offered = source.offer().bands
    measured = [name for name, band in BANDS.items() if not band.static and name not in DERIVED]
    post = [name for name in measured if f"{When.POST}_{name}" in offered]
    if not post:
        raise RequestError(
            "there is no image after the event", "Check --date, and the names of the files."
        )
    pre = [f"{When.PRE}_{name}" for name in post if f"{When.PRE}_{name}" in offered]
    return [
        *pre,
        *(f"{When.POST}_{name}" for name in post),
        *(name for name in _TERRAIN if name in offered),
    ]


def _cutting(shortest_px: int) -> dict[str, Any]:
    """Return blocks and chips that suit the images' size."""
    least, most = _BLOCK_PX
    block = min(most, max(least, shortest_px // _BLOCKS // 8 * 8))
    chip = SamplingConfig.model_fields["chip_px"].default if block >= most // 2 else least
    return {
        "split": {"kind": "blocks", "block_px": block, "guard_px": 8},
        "chip_px": chip,
        "stride_px": chip // 2,
    }


def _write(path: Path, content: dict[str, Any], title: str) -> None:
    """Write a file that may have been edited since: never over another.

    Raises:
        RequestError: another one stands there.
    """
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    text = f"# {title}\n{body}"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise RequestError(
            f"{path} is there already and says something else",
            "Use it without --images (`coslide samples FILE.yaml`), remove it, or choose another "
            "--out.",
        )
    write_text(path, text)
