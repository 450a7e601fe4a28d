"""An archive as a `Source`: what the manifest offers, which of its scenes a run would use, and
their pixels.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely import ops
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import BANDS, DERIVED, StackBand, When, parse_band
from configs.checksums import check
from configs.errors import NothingToSeeError, RequestError
from configs.event import Event, Windows
from configs.records import Level, ObservationClass, Offer, Scene
from gee.archive.composite import Candidate, compose, first_choice, groups
from gee.archive.coverage import check_backscatter, looked, meets, outline, pictures, record
from gee.archive.fingerprints import fingerprints
from gee.archive.manifest import FROM_DEM, POWER, Layer, SceneEntry, read_manifest
from gee.ground import pixel_size_m
from gee.plausible import OFFSET
from gee.previous import FINGERPRINTS
from gee.rasters import Array, Numbers, Raster, look_at
from gee.resample import Method
from gee.source import DOUBTS, Elevation, Plan, Pulled, Source, beside

logger = logging.getLogger(__name__)


class ArchiveSource:
    """A folder of rasters with a manifest. Any CRS, resolution and number type; nothing is
    fetched.
    """

    name = "archive"
    block_px = 512

    def __init__(self, where: Path, folder: Path | None = None) -> None:
        """Read the manifest.

        Args:
            where: the folder, or the manifest where that stands elsewhere.
            folder: overrides where the manifest says the files are.

        Raises:
            RequestError: no manifest there, or a malformed one.
        """
        self.manifest, self._path, self._folder = read_manifest(where, folder)
        self.workers = min(4, os.cpu_count() or 1)
        self._rasters: dict[tuple[str, int, str], Raster] = {}

    @property
    def folder(self) -> Path:
        """Return where its files are."""
        return self._folder

    def offer(self) -> Offer:
        """Return the bands of all scenes and static layers, and what can be derived from them."""
        manifest, names = self.manifest, set[str]()
        for scene in manifest.scenes:
            for when in When if scene.when is None else (scene.when,):
                names |= {f"{when}_{base}" for base in scene.bands}
        names |= {
            f"{when}_{name}"
            for when in When
            for name, inputs in DERIVED.items()
            if all(f"{when}_{base}" in names for base in inputs)
        }
        names |= {"dem", *FROM_DEM} if "dem" in manifest.static else set()
        names |= set(manifest.static)
        return Offer(
            self.name,
            manifest.sensor,
            manifest.level,
            self._resolution_m,
            frozenset(names),
            False,
            manifest.warnings,
        )

    @cached_property
    def _resolution_m(self) -> float:
        if self.manifest.resolution_m is not None:
            return self.manifest.resolution_m
        finest = min(
            max(pixel_size_m(self._raster(layer, f"scene {scene.id}, {name}", name).geobox))
            for scene in self.manifest.scenes
            for name, layer in scene.bands.items()
        )
        return round(finest, 1 if finest >= 1 else 2)  # 0.59 m is not 0.6, 9.99 m is 10

    def extent(self) -> BaseGeometry | None:
        """Return the union of the scenes' outlines in WGS 84; longitudes may exceed 180 at the
        antimeridian.
        """
        return ops.unary_union([self._outline(scene) for scene in self.manifest.scenes])

    def _outline(self, scene: SceneEntry) -> BaseGeometry:
        name, layer = next(iter(scene.bands.items()))
        return outline(self._raster(layer, f"scene {scene.id}, {name}", name).geobox)

    def _raster(self, layer: Layer, what: str, base: str | None) -> Raster:
        key = (layer.file, layer.band, what)
        if key not in self._rasters:
            numbers = Numbers(layer.scale, layer.offset, layer.nodata, layer.unit)
            holds = BANDS[base] if base else None
            self._rasters[key] = look_at(self._folder, layer.file, layer.band, what, numbers, holds)
        return self._rasters[key]

    def plan(
        self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]
    ) -> Plan:
        """Return the scenes that a pull would use, best first per window
        (`composite.first_choice`).

        Every file is opened and looked at, so that what cannot be read is said before anything is
        written.

        Raises:
            RequestError: a band the archive does not have, or a file that cannot be read or is not
                the one that was frozen.
            NothingToSeeError: the area misses the archive, no scene lies in a window, or all of
                them are void there.
        """
        measured, needs_elevation = self._measured(bands)
        self._check_area(area)
        for name in (
            *(name for name in measured if parse_band(name).when is None),
            *(["dem"] if needs_elevation else []),
        ):
            self._static(name)
        scenes: list[Scene] = []
        bright: list[str] = []
        for when in When:
            names = tuple(name for name in measured if parse_band(name).when is when)
            inside = [
                scene for scene in self.manifest.scenes if scene.belongs(when, event, windows)
            ]
            for group in groups(names, inside) if names else ():
                ranked = self._ranked(when, group, area, geobox, event, windows)
                scenes += [record(one) for one in ranked]
                bright += [one.entry.id for one in ranked if one.too_bright]
        root = self._folder.resolve()
        check(root, "the archive", [p.relative_to(root).as_posix() for p in self._files()])
        return Plan(
            measured,
            needs_elevation,
            geobox,
            area,
            event,
            windows,
            tuple(scenes),
            elevation_step_m=self._elevation_step_m(scenes, geobox),
            megabytes=sum(path.stat().st_size for path in self._files()) / 1e6,
            details=self._details(area, event, windows) | self._doubts(bright, geobox),
        )

    def _elevation_step_m(self, scenes: Iterable[Scene], geobox: GeoBox) -> float:
        """Return the side of the native pixels of elevation, where there is any and a scene says
        where the sun stood.
        """
        if "dem" not in self.manifest.static or not any(scene.sun for scene in scenes):
            return 0.0
        raster = self._static("dem")[0]
        factors = raster.coarsening(abs(geobox.affine.a))
        return min(pixel_size_m(raster.coarse_geobox(factors)))

    def _files(self) -> list[Path]:
        """Return the files that have been opened."""
        return sorted({raster.path for raster in self._rasters.values()})

    def _details(self, area: Area, event: Event, windows: Windows) -> dict[str, Any]:
        """Return what provenance says of the archive."""
        manifest, root = self.manifest, self._folder.resolve()
        near = [
            scene
            for scene in manifest.scenes
            if any(scene.belongs(when, event, windows) for when in When)
            and meets(self._outline(scene), area.polygon)
        ]
        details: dict[str, Any] = {
            "manifest": self._path.name,
            "manifest_sha256": hashlib.sha256(self._path.read_bytes()).hexdigest(),
            "files": {p.relative_to(root).as_posix(): p.stat().st_size for p in self._files()},
            "attribution": list(manifest.attribution),
            **({"elevation": {"model": named}} if (named := manifest.elevation_model) else {}),
            FINGERPRINTS: fingerprints(manifest, self._folder, near),
        }
        return details

    def _doubts(self, bright: Iterable[str], geobox: GeoBox) -> dict[str, Any]:
        """Return what looks wrong with the files; `bright` are scenes without a dark pixel."""
        found, manifest = [], self.manifest
        doubted = ", ".join(dict.fromkeys(bright))
        if doubted and manifest.sensor == "sentinel-2" and manifest.level is not Level.DISPLAY:
            found.append(
                f"no pixel of {doubted} is darker than {OFFSET} in any band, as if the offset of "
                "Sentinel-2 files since January 2022 were left in: give the bands `offset: -0.1` "
                "in archive.yaml"
            )
        if manifest.level is not Level.DISPLAY:
            found += pictures(self._rasters.values())
        for (*_, what), raster in self._rasters.items():
            undeclared = raster.nodata is None or what == "static layer dem"
            if undeclared and (count := raster.fill_within(geobox)):
                found.append(
                    f"{raster.what}: {count:,} pixels of {raster.path.name} look like fill that no "
                    "nodata declares and count as not known: name it, `nodata:` in archive.yaml"
                )
        return {DOUBTS: found} if found else {}

    def _measured(self, bands: Iterable[str]) -> tuple[tuple[str, ...], bool]:
        """Return (bands to pull, whether elevation is needed): terrain from the dem where there is
        one, else as supplied.
        """
        offered, measured, needs_elevation = self.offer().bands, dict[str, None](), False
        for name in bands:
            if name not in offered:
                raise RequestError(
                    f"the archive {self._path} has no band {name}; it can deliver "
                    f"{', '.join(sorted(offered))}",
                    "Add its file to the manifest, or choose a --checkpoint that does not read it.",
                )
            parsed = parse_band(name)
            if name == "dem" or (name in FROM_DEM and "dem" in self.manifest.static):
                needs_elevation = True
            elif parsed.when is None:
                measured[name] = None
            else:
                for base in DERIVED.get(parsed.band.name, (parsed.band.name,)):
                    measured[StackBand(BANDS[base], parsed.when).name] = None
        return tuple(measured), needs_elevation

    def _check_area(self, area: Area) -> None:
        extent = self.extent()
        if extent is None or meets(extent, area.polygon):
            return
        west, south, east, north = extent.bounds
        raise NothingToSeeError(
            f"the area ({area.origin}, around {area.centre[1]:.2f}°, "
            f"{area.centre[0]:.2f}°) lies outside the archive's imagery: "
            f"{south:.2f}° to {north:.2f}° north, {west:.2f}° to {east:.2f}° east",
            "Check --epicentre LAT,LON (latitude first) and the area.",
        )

    def _static(self, name: str) -> tuple[Raster, Method]:
        layer = self.manifest.static[name]
        method: Method = layer.resampling or (
            "nearest" if BANDS[name].unit == "class" else "bilinear"
        )
        return self._raster(layer, f"static layer {name}", name), method

    def _candidate(self, scene: SceneEntry, when: When, names: Iterable[str]) -> Candidate:
        found: dict[str, tuple[Raster, Method]] = {}
        for name in names:
            base = parse_band(name).band.name
            layer, what = scene.bands[base], f"scene {scene.id}, {base}"
            found[name] = (
                self._raster(layer, what, base),
                layer.resampling or self.manifest.resampling,
            )
        mask = None
        if scene.cloud_mask is not None:
            layer = Layer(
                file=scene.cloud_mask.file,
                band=scene.cloud_mask.band,
                nodata=scene.cloud_mask.nodata,
                scale=1,
                offset=0,
            )
            mask = self._raster(layer, f"scene {scene.id}, cloud mask", None)
        power = frozenset(
            name for name in found if scene.bands[parse_band(name).band.name].unit == POWER
        )
        return Candidate(scene, when, found, mask, power)

    def _ranked(
        self,
        when: When,
        names: tuple[str, ...],
        area: Area,
        geobox: GeoBox,
        event: Event,
        windows: Windows,
    ) -> list[Candidate]:
        """Return the scenes that show something of the area, best first; those that show its
        context alone are among the last.
        """
        bases = {parse_band(name).band.name for name in names}
        inside = [scene for scene in self.manifest.scenes if scene.belongs(when, event, windows)]
        if not inside:
            dates = ", ".join(
                f"{scene.id} ({scene.acquired:%Y-%m-%d})" for scene in self.manifest.scenes
            )
            window = windows.pre if when is When.PRE else windows.post
            raise NothingToSeeError(
                f"no scene of the archive lies in the {when} window {window} on its side "
                f"of the event; it has {dates}",
                f"Widen the window with --{when} FROM/TO.",
            )
        usable = [scene for scene in inside if bases <= scene.bands.keys()]
        if not usable:
            lacking = ", ".join(
                sorted(bases - set[str]().union(*(scene.bands for scene in inside)) or bases)
            )
            raise RequestError(
                f"no scene in the {when} window has {lacking} "
                f"({', '.join(scene.id for scene in inside)})",
                "Add the files to the manifest, or choose a --checkpoint that does not read them.",
            )
        candidates = [self._candidate(scene, when, names) for scene in usable]
        for one in candidates:
            check_backscatter(one, geobox)
        seen = [looked(one, area, geobox) for one in candidates]
        if not any(candidate.imaged_fraction for candidate in seen):
            raise NothingToSeeError(
                "every pixel of the area is nodata in "
                f"{', '.join(scene.id for scene in usable)} ({when} window)",
                "Choose another area or other scenes; check `nodata:` in the manifest.",
            )
        return first_choice([one for one in seen if one.around_fraction > 0], event)

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return a block of the best clear image of each window, and the static layers that the
        plan names.
        """
        bands: dict[str, Array] = {}
        seen: dict[When, NDArray[np.uint8]] = {}
        dates: dict[When, NDArray[np.int32]] = {}
        entries = {scene.id: scene for scene in self.manifest.scenes}
        for when in When:
            names = tuple(name for name in plan.bands if parse_band(name).when is when)
            if not names:
                continue
            scenes = [entries[one.id] for one in plan.scenes if one.when is when]
            both = Pulled({}, {}, {})
            for group in groups(names, scenes):
                bases = {parse_band(name).band.name for name in group}
                chosen = (
                    self._candidate(one, when, group) for one in scenes if bases <= one.bands.keys()
                )
                found, classes, days = compose(chosen, group, block)
                both = beside(both, Pulled(found, {when: classes}, {when: days}))
            seen[when], dates[when] = both.observation[when], both.date[when]
            bands |= {name: self._bright(name, values) for name, values in both.bands.items()}
        if "water" in self.manifest.static and seen:
            raster, method = self._static("water")
            wet = raster.warp(block, method) >= self.manifest.water_percent
            for classes in seen.values():
                classes[wet & (classes != ObservationClass.NOT_IMAGED)] = ObservationClass.WATER
        for name in plan.bands:
            if parse_band(name).when is None:
                raster, method = self._static(name)
                bands[name] = raster.warp(block, method)
        return Pulled(bands, seen, dates)

    def _bright(self, name: str, values: Array) -> Array:
        """Return a scene's band; black in a picture is dark ground, where a reflectance of 0 could
        not be.
        """
        least = np.float32(parse_band(name).band.low)
        return np.maximum(values, least) if self.manifest.level is Level.DISPLAY else values

    def usage(self) -> dict[str, Any]:
        """Return nothing: no service is asked."""
        return {}

    def add_usage(self, counts: Mapping[str, int]) -> None:
        """Count nothing: no service is asked."""

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return the archive's own elevation around a block; heights that cannot be are void."""
        values, geobox = self._static("dem")[0].around(block, margin_px)
        with np.errstate(invalid="ignore"):
            possible = (values >= BANDS["dem"].low) & (values <= BANDS["dem"].high)
        return Elevation(np.where(possible, values, np.float32(np.nan)), geobox)


_: type[Source] = ArchiveSource
