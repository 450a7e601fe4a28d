"""What a kit will take before it begins: requests, hours and disk, by the plans of its imagery and
one step of its training timed on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from configs.kit import KitConfig
from configs.sampling import read_sampling
from configs.studying import StudyConfig
from flows.learning.samples import plan_of, run_of
from gee.sources import make_source
from models.architectures import build

_REQUEST_S = 30.0
"""Assumed of one block of composited pixels; the live service was not measured."""
_FORWARD_SHARE = 1 / 3
"""Of a training step: backward takes about twice as long as forward."""


@dataclass(frozen=True)
class Imagery:
    """One event's imagery."""

    name: str
    km2: float
    pixels: int
    scenes: int
    requests: int
    megabytes: float
    done: bool
    """Whether its sample set is there already: then nothing is asked for."""


@dataclass(frozen=True)
class Estimate:
    """What a kit will take; an order of magnitude."""

    imagery: tuple[Imagery, ...]
    checkpoints: int
    pulling_s: float
    training_s: float
    asking_s: float
    """For the checkpoints' maps of every event."""
    disk_bytes: int

    @property
    def hours(self) -> float:
        """Return the hours of it all, one after another."""
        return (self.pulling_s + self.training_s + self.asking_s) / 3600

    def lines(self) -> list[str]:
        """Return it in words."""
        lines = [
            f"  {one.name:<20} {one.km2:>8,.1f} km², "
            + (
                "samples are there"
                if one.done
                else f"{one.scenes} scenes, {one.requests:,} requests, {one.megabytes:,.0f} MB"
            )
            for one in self.imagery
        ]
        total = sum(one.requests for one in self.imagery)
        return [
            f"{len(self.imagery)} events, {self.checkpoints} checkpoints: {total:,} requests, "
            f"about {self.hours:.1f} h, {self.disk_bytes / 1e9:.1f} GB of disk",
            *lines,
            f"  pulling {self.pulling_s / 3600:.2f} h ({_REQUEST_S:g} s a request assumed, not "
            f"measured), training {self.training_s / 3600:.2f} h and mapping "
            f"{self.asking_s / 3600:.2f} h (one step timed on this machine)",
        ]

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "events": [vars(one) for one in self.imagery],
            "checkpoints": self.checkpoints,
            "requests": sum(one.requests for one in self.imagery),
            "megabytes": round(sum(one.megabytes for one in self.imagery), 1),
            "hours": round(self.hours, 6),
            "disk_gigabytes": round(self.disk_bytes / 1e9, 6),
            "words": self.lines(),
        }


def estimate(
    kit: KitConfig, study: StudyConfig, samples: Mapping[str, tuple[Path, Path]]
) -> Estimate:
    """Return what a kit will take.

    Args:
        kit: the kit.
        study: its study of the events that are there.
        samples: event -> (sampling configuration, folder of the sample set).

    Raises:
        NothingToSeeError: no imagery of an event.
        SourceError: the source cannot be had.
    """
    imagery = tuple(_imagery(name, *places) for name, places in samples.items())
    waiting = sum(one.requests for one in imagery)
    trainings = [study.training(made, seed) for made in study.compositions for seed in study.seeds]
    step_s, parameters = _step(kit)
    steps = sum(one.length(study.total) for one in trainings)
    pixels = sum(one.pixels for one in imagery)
    per_pixel = step_s * _FORWARD_SHARE / (trainings[0].batch * _side(kit) ** 2)
    return Estimate(
        imagery,
        len(trainings),
        waiting * _REQUEST_S / kit.source.requests_at_once,
        steps * step_s,
        pixels * len(trainings) * per_pixel * _overlap(kit),
        # 16 bits a band and the label, twice while samples are cut; a byte a pixel of each map;
        # weights in half precision, here and in the folder of checkpoints.
        pixels * (2 * (2 * len(kit.bands) + 2) + len(trainings)) + 4 * parameters * len(trainings),
    )


def _imagery(name: str, recipe: Path, samples: Path) -> Imagery:
    config = read_sampling(recipe)
    run = run_of(config, recipe.parent)
    source = make_source(run.source)
    if samples.exists():
        grid = run.place.geobox(run.resolution_m or source.offer().resolution_m)
        pixels = int(grid.shape[0]) * int(grid.shape[1])
        return Imagery(name, round(run.place.km2, 1), pixels, 0, 0, 0.0, True)
    plan = plan_of(config, run, source)
    pixels = int(plan.geobox.shape[0]) * int(plan.geobox.shape[1])
    return Imagery(
        name,
        round(run.place.km2, 1),
        pixels,
        len({scene.id for scene in plan.scenes}),
        plan.requests,
        round(plan.megabytes, 1),
        False,
    )


def _side(kit: KitConfig) -> int:
    return int(kit.recipe.get("crop_px") or kit.chip_px)


def _overlap(kit: KitConfig) -> float:
    """Return how often a pixel is mapped, tiles overlapping by their halos."""
    if kit.tiles is None:
        return 1.0
    return float((kit.tiles.size / (kit.tiles.size - 2 * kit.tiles.halo)) ** 2)


def _step(kit: KitConfig) -> tuple[float, int]:
    """Return (seconds of one training step on this machine, parameters of the network)."""
    study_recipe = {"arguments": {}, "architecture": "resu_senet", "batch": 5, **kit.recipe}
    use_gpu = study_recipe.get("device", "auto") != "cpu" and torch.cuda.is_available()
    device = "cuda" if use_gpu else "cpu"
    module = build(study_recipe["architecture"], len(kit.bands), **study_recipe["arguments"]).to(
        device
    )
    chips = torch.rand(study_recipe["batch"], len(kit.bands), _side(kit), _side(kit), device=device)
    seconds = []
    for _ in range(2):  # the first one warms up
        begun = time.perf_counter()
        module(chips).float().mean().backward()
        if use_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), sum(one.numel() for one in module.parameters())
