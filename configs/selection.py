"""How a checkpoint is chosen for a scene, and what is known about how far is too far
(`configs/selection.yaml`).

The numbers of the choice stand here; the calibration is written by the leave-one-domain-out study
and only read.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from configs.complaints import read_model
from configs.event import Frozen
from configs.files import format_of

_CALIBRATION = Path(__file__).resolve().parent / "selection.yaml"


class BandSetCalibration(Frozen):
    """What leave-one-domain-out experiments say about checkpoints that read one set of bands."""

    bands: tuple[str, ...]
    study: str = ""
    """Which study says so."""
    simulated: bool = False
    """Whether the experiments were made on simulated imagery: they then hold for simulated
    checkpoints alone.
    """
    near: float = Field(default=0.0, ge=0)
    """Cards whose joint MMD is within so much of the chosen one's are averaged where the run asks
    for `average`.
    """
    alarm: float | None = None
    """Joint MMD of the chosen checkpoint beyond which no checkpoint is known to work; null: not
    known, and nothing is claimed.
    """
    limits: dict[str, float] = Field(default_factory=dict)
    """Further signals (`models.selection.signals`) and the value of each beyond which no checkpoint
    is known to work.
    """
    expected_f1: tuple[tuple[float, float], ...] = ()
    """(joint MMD, F1) points, ascending, between which the F1 to be expected is interpolated; a
    checkpoint's own advantage on unseen domains is added. Checkpoints of different bands are
    compared by it."""


class SelectionConfig(Frozen):
    """How scenes are compared with the checkpoints' reference samples."""

    format: str = format_of("selection")
    kernels: int = Field(default=5, ge=1, le=15)
    """Gaussians of the kernel (facts of Yang et al. 2024's value range; see models/mmd)."""
    pixels: int = Field(default=3000, ge=100, le=50_000)
    """Pixels of the scene in the joint distance; its error comes from the blocks, more pixels
    hardly change it.
    """
    block_m: float = Field(default=1000.0, gt=0)
    """Least side of the blocks whose pixels are taken as one draw, metres."""
    slope_min_deg: float = Field(default=5.0, ge=0, le=90)
    """Flatter ground is left out of scene and reference alike: landslides hardly start there,
    fields and towns would.
    """
    bootstraps: int = Field(default=200, ge=20)
    permutations: int = Field(default=500, ge=20)
    seed: int = Field(default=0, ge=0)
    calibrations: tuple[BandSetCalibration, ...] = ()

    def calibration(
        self, bands: tuple[str, ...], simulated: bool = False
    ) -> BandSetCalibration | None:
        """Return what is known about checkpoints of a set of bands, in any order; None where
        nothing is.
        """
        alike = (
            c for c in self.calibrations if set(c.bands) == set(bands) and c.simulated == simulated
        )
        return next(alike, None)


def read_selection(path: Path = _CALIBRATION) -> SelectionConfig:
    """Return the settings with the study's calibration; the defaults, which claim nothing, where
    there is no file.

    Raises:
        RequestError: malformed, or of a newer format.
    """
    if not path.exists():
        return SelectionConfig()
    remedy = "Run `coslide study` again, or delete the file."
    return read_model(path, "selection", SelectionConfig, remedy)
