"""What an archive covers: outlines of rasters, and how much of an area a scene shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely import affinity, segmentize, transform
from shapely.geometry.base import BaseGeometry

from configs.area import WGS84, Area
from configs.records import ObservationClass, Scene
from gee.archive.composite import Candidate, look
from gee.plausible import too_bright
from gee.resample import crs_of, transformer

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
    """Return a scene with its imaged and clear shares of the area, from a quick look."""
    height, width = (int(side) for side in geobox.shape)
    thin = max(1, -(-max(height, width) // _GLANCE_PX))
    coarse = GeoBox(
        (-(-height // thin), -(-width // thin)), geobox.affine @ Affine.scale(thin), geobox.crs
    )
    pixels, found = look(candidate, coarse, quick=True)
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
