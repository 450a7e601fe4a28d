"""From imagery and polygons to a sample set: what `coslide samples CONFIG.yaml` reads (Yang et al.
2024, Table II).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from configs.checkpoint import check_requires
from configs.complaints import read_model
from configs.event import NAME_PATTERN, Event, Frozen
from configs.files import format_of
from configs.records import Level, Requires


class _Parts(BaseModel):
    """Parts of a run file: those named here are needed, any other may stand beside them."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)


class ImagerySource(_Parts):
    """Where the imagery comes from, as in a run file."""

    kind: str
    """earthengine, archive, simulated, …"""


class Imagery(_Parts):
    """Which imagery of which event is sampled: an event and a source, and what else of a run file
    is wanted (`area`, `windows`, …).

    Of an archive the area is the extent of its rasters where it is left out, and the resolution
    that of the finest.
    """

    event: Event
    source: ImagerySource


class VectorLayer(Frozen):
    """Polygons of a vector file."""

    file: str
    """Path, relative to this configuration's folder unless absolute."""
    layer: str | None = None
    where: str | None = None
    """Which features count (OGR SQL condition)."""


class TruthConfig(Frozen):
    """What is a landslide, where that was looked at, and what is left out."""

    kind: Literal["polygons", "simulated"]
    slides: tuple[VectorLayer, ...] = ()
    inside: VectorLayer | None = None
    """Interpreted extent, dissolved; everywhere where null."""
    ignore: tuple[VectorLayer, ...] = ()
    """Neither landslide nor none."""

    @model_validator(mode="after")
    def _complete(self) -> TruthConfig:
        if (self.kind == "polygons") != bool(self.slides):
            raise ValueError("`slides` goes with kind `polygons`, and only with it")
        return self


class PatchesConfig(Frozen):
    """Image patches with masks, as the field publishes them: no place on the ground is needed."""

    kind: Literal["files", "arrays"] = "files"
    """files: one patch a file (PNG, TIFF, HDF5); arrays: one .npy or .npz holds them all."""
    folder: str
    """Folder of the set, relative to this configuration's folder unless absolute."""
    images: str
    """Images below it: a pattern (``img/*.h5``), or with an `index` a template of its columns
    (``{split}/images/{png}``).
    """
    mask_names: dict[str, str] = Field(default_factory=dict)
    """How a mask's path follows from its image's: words to be exchanged, in order."""
    image_dataset: str = "img"
    """Of HDF5 and .npz files: what the image is called in them."""
    mask_dataset: str = "mask"
    channels: tuple[str | None, ...] = Field(min_length=1)
    """Stack band of each channel, in the files' order; null leaves one out."""
    scale: float = Field(default=1.0, gt=0)
    """What stored values are multiplied by to be in the bands' units (1/255 for 8 bits)."""
    scales: dict[str, float] = Field(default_factory=dict)
    """Bands with another factor."""
    nodata: float | None = None
    """Value that means nothing was imaged, where all channels have it."""
    index: str | None = None
    """Table (CSV) of the patches, in the folder."""
    where: dict[str, str] = Field(default_factory=dict)
    """Columns of the index (of an .npz without one: its arrays of one value a patch) and the value
    that a patch must have there: one scene, say.
    """
    split: str | None = None
    """Column that names a patch's split; without one the configuration's `split` is used."""
    row: str | None = None
    """Columns with a patch's place in its scene, counted in patches: neighbours are then
    neighbours again.
    """
    column: str | None = None
    number: str | None = None
    """Of arrays: column with a patch's place in the array."""
    sensor: str = "sentinel-2"
    level: Level = Level.DISPLAY
    resolution_m: float = Field(gt=0)

    @model_validator(mode="after")
    def _places(self) -> PatchesConfig:
        if bool(self.row) != bool(self.column) or (self.row and not self.index):
            raise ValueError("`row` and `column` go together, and name columns of an `index`")
        return self


class SplitConfig(Frozen):
    """How the area is split so that no pixel teaches and tests."""

    kind: Literal["bands", "blocks"] = "blocks"
    axis: Literal["easting", "northing"] = "easting"
    """Of `bands`: along easting the bands run north-south and follow one another from west to
    east.
    """
    count: int = Field(default=5, ge=2, le=50)
    """Number of `bands`, named band-0 …"""
    guard_px: int = Field(default=8, ge=0)
    """Least distance between pixels of different splits, pixels."""
    block_px: int = Field(default=256, ge=16)
    """Side of `blocks`."""
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Of `blocks`: train, validation, test."""
    seed: int = Field(default=0, ge=0)


class SamplingConfig(Frozen):
    """One domain's sample set."""

    format: str = format_of("sampling")
    name: str = Field(pattern=NAME_PATTERN)
    """Name of the domain."""
    title: str
    event: str = ""
    """What people call the event, place and year: it stands in headlines; `name` where empty."""
    patches: PatchesConfig | None = None
    """Patches with masks; or give `run` and `truth`."""
    run: Imagery | None = Field(default=None, validate_default=True)
    """Parts of a run file: event, area, windows, source. With `truth`; or give `patches`."""
    radius_km: float | None = Field(default=None, gt=0, le=500)
    """Area around the epicentre, where `run` has none."""
    bands: tuple[str, ...] = Field(min_length=1)
    requires: Requires = Requires.CLEAR
    """Which pixels are labelled: `clear`, or `radar`: wherever radar saw, so that a network learns
    to look through cloud.
    """
    truth: TruthConfig | None = Field(default=None, validate_default=True)
    split: SplitConfig = SplitConfig()
    chip_px: int = Field(default=88, ge=32, le=512)
    """Side of the chips; Yang et al. 2024 uses 88."""
    stride_px: int = Field(default=44, ge=8)
    positive_share: float | None = Field(default=None, gt=0, le=1)
    """Share of chips with a landslide; as they come where null."""
    seed: int = Field(default=0, ge=0)
    licence: str
    attribution: tuple[str, ...] = ()

    @field_validator("run", "truth")
    @classmethod
    def _there(cls, value: Any, info: ValidationInfo) -> Any:
        """Ask for imagery and truth field by field, so that all that is missing is said at once."""
        if value is None and info.data.get("patches", ...) is None:
            raise ValueError("is missing (required, unless there are `patches`)")
        return value

    @model_validator(mode="after")
    def _sighted(self) -> SamplingConfig:
        check_requires(self.requires, self.bands)
        if self.patches and (self.run or self.truth):
            raise ValueError("give either `patches`, or `run` and `truth`")
        if self.patches and (missing := set(self.bands) - set(self.patches.channels)):
            raise ValueError(f"`patches.channels` has no {', '.join(sorted(missing))}")
        return self


def read_sampling(path: Path, settings: Sequence[str] = ()) -> SamplingConfig:
    """Return the sampling configuration in a YAML file; `settings` (``section.key=value``) go
    before what it says.

    Raises:
        RequestError: missing, malformed, or of a newer format; the field is named.
    """
    return read_model(path, "sampling", SamplingConfig, settings=settings)
