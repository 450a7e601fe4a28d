"""What an archive covers: outlines of rasters, and how much of an area a scene shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely import affinity, segmentize, transform
from shapely.geometry.base import BaseGeometry

from configs.area import WGS84, Area
from configs.bands import RADAR, parse_band
from configs.errors import RequestError
from configs.records import ObservationClass, Scene
from gee.archive.composite import Candidate, look
from gee.plausible import REFLECTANCES, no_reflectance, too_bright
from gee.rasters import Array, Raster
from gee.resample import crs_of, transformer

_LOW_SHARE, _FEWEST_PX = 0.001, 400
_GLANCE_PX: Final = 256
"""Longest side of the look by which scenes are ranked."""


def outline(geobox: GeoBox) -> BaseGeometry:
    """Return a grid's outline in WGS 84, in one piece: its longitudes may exceed 180 at the
    antimeridian.
    """
    left, bottom, right, top = geobox.boundingbox
    frame = geobox.extent.geom
    to_wgs84 = transformer(crs_of(geobox).to_wkt(), WGS84)
    middle = float(to_wgs84.transform((left + right) / 2, (bottom + top) / 2)[0])
    if crs_of(geobox).is_geographic:
        middle = (left + right) / 2
    else:
        frame = segmentize(frame, (right - left) / 16)

    def lonlat(
        xy: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        lon, lat = to_wgs84.transform(xy[:, 0], xy[:, 1])
        return np.column_stack([middle + (np.asarray(lon) - middle + 180) % 360 - 180, lat])

    found: BaseGeometry = transform(frame, lonlat)
    return found


def meets(extent: BaseGeometry, geometry: BaseGeometry) -> bool:
    """Return whether two WGS 84 geometries touch, whatever turn their longitudes are on."""
    return any(extent.intersects(affinity.translate(geometry, turn)) for turn in (-360, 0, 360))


def looked(candidate: Candidate, area: Area, geobox: GeoBox) -> Candidate:
    """Return a scene with its imaged and clear shares of the area, from a quick look.

    Raises:
        RequestError: numbers that are no reflectances.
    """
    coarse = _thinned(geobox)
    pixels, found = look(candidate, coarse, quick=True)
    _check_reflectance(candidate, pixels)
    inside = area.mask(coarse)
    part = found[inside] if inside.any() else found.ravel()
    imaged = float(np.mean(part != ObservationClass.NOT_IMAGED))
    return replace(
        candidate,
        imaged_fraction=imaged,
        around_fraction=float(np.mean(found != ObservationClass.NOT_IMAGED)),
        clear_fraction=float(np.mean(part == ObservationClass.CLEAR)),
        too_bright=too_bright(pixels),
    )


def _thinned(geobox: GeoBox) -> GeoBox:
    """Return a grid of few pixels over the same ground."""
    height, width = (int(side) for side in geobox.shape)
    thin = max(1, -(-max(height, width) // _GLANCE_PX))
    return GeoBox(
        (-(-height // thin), -(-width // thin)), geobox.affine @ Affine.scale(thin), geobox.crs
    )


def _check_reflectance(candidate: Candidate, pixels: Mapping[str, Array]) -> None:
    """Make sure that what is said to be reflectance can be some.

    Raises:
        RequestError: numbers as they are stored, without their scale.
    """
    for name, values in pixels.items():
        if not no_reflectance({name: values}):
            continue
        base, raster = parse_band(name).band.name, candidate.bands[name][0]
        raise RequestError(
            f"scene {candidate.entry.id}, {base}: {raster.path.name} holds no reflectance: half of "
            f"it is above {np.nanmedian(values):.4g}, and no ground sends back twice what it gets",
            f"Write what turns them into 0 to 1 in archive.yaml, `scale: {_scale_of(raster)}`.",
        )


def _scale_of(raster: Raster) -> str:
    """Return what numbers of a file's kind are mostly stored by."""
    return "0.00392157` (1/255) and `level: display" if raster.kind == "uint8" else "0.0001"


def pictures(rasters: Iterable[Raster]) -> list[str]:
    """Return a doubt about files of 8 bits that are said to hold reflectances, if there are any."""
    names = {
        raster.path.name
        for raster in rasters
        if raster.kind == "uint8" and raster.what.rpartition(", ")[2] in REFLECTANCES
    }
    return [
        f"{', '.join(sorted(names))}: 8 bits said to be reflectance; most such files are pictures, "
        "stretched for the eye: if so, write `level: display` in archive.yaml"
    ] * bool(names)


def check_backscatter(candidate: Candidate, geobox: GeoBox) -> None:
    """Make sure that radar bands are in what the manifest says: land sends back far less than it
    receives, so that decibel are negative nearly everywhere, and power never is.

    Raises:
        RequestError: linear power where decibel are expected, or the other way round.
    """
    for name, (raster, _) in candidate.bands.items():
        base = parse_band(name).band.name
        if base not in RADAR:
            continue
        numbers = raster.glance(_thinned(geobox))
        known = numbers[np.isfinite(numbers)]
        if len(known) < _FEWEST_PX:
            continue
        where = f"scene {candidate.entry.id}, {base}: {raster.path.name}"
        low, middle = (float(each) for each in np.quantile(known, (_LOW_SHARE, 0.5)))
        if name in candidate.power and middle < 0:
            raise RequestError(
                f"{where} is said to be power and is negative (median {middle:.3g})",
                "It looks like decibel: write `unit: dB` for that band in archive.yaml.",
            )
        if candidate.entry.bands[base].unit is None and low >= 0:
            raise RequestError(
                f"{where} does not look like decibel: no value is negative (median {middle:.3g})",
                "If it is linear power, write `unit: power` for that band in archive.yaml, and it "
                "is converted; if it is decibel all the same, `unit: dB`.",
            )


def record(candidate: Candidate) -> Scene:
    """Return a scene as it goes into plan and provenance."""
    entry, masked = candidate.entry, candidate.mask is not None
    return Scene(
        entry.id,
        candidate.when,
        entry.acquired,
        entry.product,
        clear_fraction=round(candidate.clear_fraction, 4),
        cloud_fraction=round(candidate.imaged_fraction - candidate.clear_fraction, 4)
        if masked
        else None,
        date_assumed=entry.date_assumed,
        sun=entry.sun,
    )
