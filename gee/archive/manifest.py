"""``archive.yaml``: which files are which bands of which acquisition, and how their numbers become
physical values.

Written by hand by people with a folder of rasters; every complaint therefore names the field and
what would be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from configs.bands import BANDS, DERIVED, RADAR, When
from configs.complaints import read_model
from configs.errors import RequestError
from configs.event import Event, Frozen, Moment, Windows
from configs.factors import FactorsConfig
from configs.files import format_of
from configs.records import Level, Sun
from gee.resample import Method

MANIFEST = "archive.yaml"
DECIBEL, POWER = "dB", "power"
"""What backscatter may be in."""
FROM_DEM = tuple(name for name, inputs in DERIVED.items() if inputs == ("dem",))


class Layer(Frozen):
    """One band of one raster file: physical value = number * scale + offset."""

    file: str = Field(min_length=1)
    """Name inside the archive's folder."""
    band: int = Field(default=1, ge=1)
    """Which band of the file, from 1."""
    scale: float | None = None
    """From the file's own metadata where not given (usually 1)."""
    offset: float | None = None
    nodata: float | None = None
    """From the file's own metadata where not given. NaN that is not declared is refused."""
    unit: str | None = None
    """What heights, distances or angles are in after `scale` and `offset`, e.g. m, ft, us-ft; from
    the file's own metadata or vertical CRS where not given. Backscatter: dB, or power (linear),
    which is turned into dB; where not given, numbers that cannot be dB are refused."""
    resampling: Method | None = None
    """nearest or bilinear; the archive's own where not given."""


class CloudMask(Frozen):
    """A classified raster: which of its values mean what. What is in no list is cloud if `clear` is
    given, else clear.
    """

    file: str = Field(min_length=1)
    band: int = Field(default=1, ge=1)
    clear: tuple[int, ...] = ()
    cloud: tuple[int, ...] = ()
    shadow: tuple[int, ...] = ()
    snow: tuple[int, ...] = ()
    water: tuple[int, ...] = ()
    """Permanent water: it does not count as land that was not observed."""
    cast_shadow: tuple[int, ...] = ()
    """Hidden from the sun by the terrain. Computed where the scene says where the sun stood and the
    archive has a `dem`; a mask may know it better.
    """
    nodata: float | None = None

    @model_validator(mode="after")
    def _disjoint(self) -> CloudMask:
        lists = (self.clear, self.cloud, self.shadow, self.snow, self.water, self.cast_shadow)
        values = [value for each in lists for value in each]
        if not values:
            raise ValueError("name at least one value, e.g. `cloud: [1]`")
        if len(set(values)) != len(values):
            raise ValueError("a value stands in two lists")
        return self


def _measured(bands: dict[str, Layer]) -> dict[str, Layer]:
    for name in bands:
        if name not in BANDS or BANDS[name].static or name in DERIVED:
            right = ", ".join(
                band.name for band in BANDS.values() if not band.static and band.name not in DERIVED
            )
            raise ValueError(f"`{name}` is no band of a scene; use {right} (indices are computed)")
        unit = bands[name].unit
        if name in RADAR and unit is not None and unit not in (DECIBEL, POWER):
            raise ValueError(f"{name} is in `{unit}`: write `unit: {DECIBEL}` or `unit: {POWER}`")
    return bands


def _static(layers: dict[str, Layer]) -> dict[str, Layer]:
    for name in layers:
        if name not in BANDS or not BANDS[name].static:
            right = ", ".join(band.name for band in BANDS.values() if band.static)
            raise ValueError(f"`{name}` is no static layer; use {right}")
    return layers


class SceneEntry(Frozen):
    """One acquisition."""

    id: str = Field(min_length=1, max_length=200)
    acquired: Moment
    """UTC. A day alone is enough; on the day of the event such a scene is neither before nor
    after.
    """
    product: str = ""
    """Free text, e.g. S2A_MSIL1C."""
    date_assumed: bool = False
    """True where the true date is not known and `acquired` is a plausible one; every product then
    says so.
    """
    when: When | None = None
    """Keeps the scene out of the other window."""
    sun_azimuth_deg: float | None = Field(default=None, ge=0, le=360)
    """Where the sun stood, clockwise from true north: with its elevation and the archive's `dem`,
    ground in the terrain's shadow counts as not observed.
    """
    sun_elevation_deg: float | None = Field(default=None, gt=0, le=90)
    """Above the horizon; metadata often give the zenith angle, which is 90 less this."""
    bands: Annotated[dict[str, Layer], AfterValidator(_measured)] = Field(min_length=1)
    cloud_mask: CloudMask | None = None

    @model_validator(mode="after")
    def _both_angles(self) -> SceneEntry:
        if (self.sun_azimuth_deg is None) != (self.sun_elevation_deg is None):
            raise ValueError("give both sun_azimuth_deg and sun_elevation_deg, or neither")
        return self

    @property
    def sun(self) -> Sun | None:
        """Return where the sun stood, if the author says."""
        if self.sun_azimuth_deg is None or self.sun_elevation_deg is None:
            return None
        return Sun(self.sun_azimuth_deg, self.sun_elevation_deg)

    @property
    def time_known(self) -> bool:
        """Return whether a time of day is known; midnight sharp is a day without one."""
        return (self.acquired.hour, self.acquired.minute, self.acquired.second) != (0, 0, 0)

    def belongs(self, when: When, event: Event, windows: Windows) -> bool:
        """Return whether it may serve a window."""
        if self.when not in (None, when) or (
            not self.time_known and self.acquired.date() == event.time.date()
        ):
            return False
        return windows.holds(when, self.acquired, event)


class Manifest(Frozen):
    """An archive of rasters."""

    format: str = format_of("archive")
    title: str = ""
    folder: str | None = None
    """Where the files are, relative to this manifest; its own folder where not given."""
    sensor: str = Field(min_length=1)
    """e.g. sentinel-2. Checkpoints are chosen by it."""
    level: Level
    """L1C (top of atmosphere), L2A (surface reflectance) or display (8-bit pictures: every band
    states its `scale`).
    """
    resolution_m: float | None = Field(default=None, gt=0)
    """Ground resolution; that of the finest band where not given."""
    resampling: Method = "bilinear"
    """How bands come onto the grid; masks always by nearest neighbour."""
    water_percent: float = Field(default=80, gt=0, le=100)
    """Occurrence of surface water from which a pixel is permanent water (static layer `water`)."""
    scenes: tuple[SceneEntry, ...] = Field(min_length=1)
    static: Annotated[dict[str, Layer], AfterValidator(_static)] = Field(default_factory=dict)
    elevation_model: str = Field(default="", max_length=40)
    """Which model the layer `dem` is, e.g. srtm, nasadem, aw3d30, glo30: a checkpoint that learnt
    slope from another is told apart.
    """
    factors: FactorsConfig = FactorsConfig()
    """Rivers, faults, rock: files inside the folder that become bands."""
    attribution: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> Manifest:
        names = [scene.id for scene in self.scenes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two scenes are called {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _scaled(self) -> Manifest:
        if self.level is Level.DISPLAY:
            for scene in self.scenes:
                for name, layer in scene.bands.items():
                    if layer.scale is None:
                        raise ValueError(
                            f"scene {scene.id}, {name}: say what turns its numbers into "
                            "brightness 0 to 1, "
                            "e.g. `scale: 0.00392157` (1/255) for 8 bits"
                        )
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what to beware of in a run on this archive, in sentences."""
        found = [
            f"the date of scene {scene.id} is assumed ({scene.acquired.date()}), not known"
            for scene in self.scenes
            if scene.date_assumed
        ]
        blind = [
            scene.id
            for scene in self.scenes
            if scene.cloud_mask is None and not scene.bands.keys() <= set(RADAR)
        ]
        if blind:
            found.append(
                f"no cloud mask for {', '.join(blind)}: clouds and their shadows pass for "
                "clear ground"
            )
        supplied = [name for name in FROM_DEM if name in self.static]
        if supplied and "dem" not in self.static:
            found.append(
                f"{', '.join(supplied)} as supplied by the archive, not derived: it may "
                "differ from what checkpoints were trained on"
            )
        return tuple(found)


def read_manifest(where: Path, folder: Path | None = None) -> tuple[Manifest, Path, Path]:
    """Return (manifest, its file, the folder its names resolve in).

    Args:
        where: a folder with ``archive.yaml``, or the manifest itself, which may stand elsewhere.
        folder: overrides the manifest's own `folder`.

    Raises:
        RequestError: missing, malformed (field and line are named), or of a newer format.
    """
    path = where / MANIFEST if where.is_dir() else where
    if not path.is_file():
        raise RequestError(
            f"--source: there is no archive at {where}",
            f"Give a folder with {MANIFEST}, or the manifest itself.",
        )
    manifest = read_model(path, "archive", Manifest)
    root = folder or (path.parent / manifest.folder if manifest.folder else path.parent)
    if not root.is_dir():
        raise RequestError(
            f"{path}: folder: {root} is not there",
            "Set `folder:` to where the rasters are, relative to the manifest.",
        )
    return manifest, path, root
