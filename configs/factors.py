"""Influencing factors from local files (Gao et al. 2021): what a run file or an archive's manifest
says about them.

They become ordinary bands of the stack, whatever the imagery comes from. Terrain and indices need
no file: `gee.derive`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from configs.bands import BANDS
from configs.event import Frozen

HIGHEST_CODE = int(BANDS["lithology"].high)


class FactorFile(Frozen):
    """A vector layer or a raster."""

    file: str = Field(min_length=1)
    """GeoPackage, GeoJSON, Shapefile, FlatGeobuf, or a raster (GeoTIFF, JPEG 2000). In a manifest a
    name inside its folder.
    """
    layer: str | None = None
    """Of a vector file with several."""
    where: str | None = None
    """Which features count (OGR SQL condition)."""
    band: int = Field(default=1, ge=1)
    """Of a raster, from 1."""
    nodata: float | None = None
    """Of a raster; from the file's own metadata where null."""

    def placed(self, folder: Path) -> Self:
        """Return the same with the file's path absolute, counted from a folder."""
        return self.model_copy(update={"file": str((folder / self.file).resolve())})


class DistanceFile(FactorFile):
    """Lines to measure the distance from (polygons by their outline, inside is 0), or a raster of
    distances in metres.
    """

    cap_m: float = Field(default=10_000.0, gt=0, le=BANDS["river_distance"].high)
    """Larger distances are not told apart, metres: lines are looked for this far around the
    area.
    """


class ClassFile(FactorFile):
    """Polygons with a class each, or a raster of codes."""

    attribute: str | None = None
    """Field of the polygons that says their class."""
    codes: dict[str, int] = Field(default_factory=dict)
    """Class -> code; classes that are whole numbers may go without, they are their own codes."""
    elsewhere: int | None = Field(default=None, ge=0, le=HIGHEST_CODE)
    """Code where no polygon lies; not known there where null."""

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        for name, code in self.codes.items():
            if not 0 <= code <= HIGHEST_CODE:
                raise ValueError(f"code {code} of `{name}` is not between 0 and {HIGHEST_CODE}")
        return self


class FactorsConfig(Frozen):
    """Files of influencing factors; each replaces what the source itself may have of that name."""

    river_distance: DistanceFile | None = None
    """Rivers."""
    fault_distance: DistanceFile | None = None
    """Faults."""
    lithology: ClassFile | None = None
    """Rock, coded."""

    @property
    def named(self) -> dict[str, DistanceFile | ClassFile]:
        """Return the factors that there is a file for, by band."""
        every = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: one for name, one in every.items() if one is not None}

    def placed(self, folder: Path) -> FactorsConfig:
        """Return the same with all paths absolute, counted from a folder."""
        return self.model_copy(
            update={name: one.placed(folder) for name, one in self.named.items()}
        )
