"""From imagery and truth to a sample set on disk: one grid, one stack, labels, splits, chips (Yang
et al. 2024, Table II).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import ValidationError

from configs.area import Area
from configs.complaints import as_request_error
from configs.errors import RequestError
from configs.factors import FactorsConfig
from configs.files import sweep_dead
from configs.records import IGNORED, ObservationClass
from configs.run import RunConfig, SourceConfig
from configs.sampling import (
    PatchesConfig,
    SamplingConfig,
    SplitConfig,
    TruthConfig,
    VectorLayer,
    read_sampling,
)
from configs.stack import Stack
from configs.vectors import Layer
from flows.resolve import make_request, resolve
from flows.run.journal import progress
from gee.observation import observe
from gee.simulated.truth import simulated_mask
from gee.source import Plan, Source
from gee.sources import make_source
from gee.stack import assemble
from tiles import labels, split
from tiles.cut import Chipping, Labelled, cut
from tiles.patches import Mosaic, find_patches
from tiles.samples import Origin, SampleSet
from tiles.split import Splits
from tiles.views import Is

logger = logging.getLogger(__name__)


def make_samples(path: Path, out: Path, settings: Sequence[str] = ()) -> SampleSet:
    """Return the sample set that a sampling configuration describes, written to `out`; `settings`
    (``section.key=value``) go before what it says.

    An interrupted call goes on with the pixels it has. The stack is removed once the set stands.

    Raises:
        RequestError: a configuration, a file or a truth that cannot be used, or `out` exists.
        NothingToSeeError: no imagery.
    """
    config = read_sampling(path, settings)
    scratch = out.with_name(f".{out.name}.stack")
    if out.exists() and scratch.exists():  # killed when all but its own litter was done
        shutil.rmtree(scratch, ignore_errors=True)
        return SampleSet.open(out)
    if out.exists():
        raise RequestError(f"{out} exists already", "Choose another --out, or remove it first.")
    if out.parent.is_dir():
        sweep_dead(out.parent)
    if config.patches is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        samples = _from_patches(config, config.patches, path.parent, out)
        shutil.rmtree(scratch, ignore_errors=True)
        return samples
    if config.truth is None:  # the model has made sure of it
        raise RequestError(f"{path} names no truth", "Give `run` and `truth`, or `patches`.")
    run = run_of(config, path.parent)
    source = make_source(run.source)
    stack = _stack(config, run, source, scratch)
    label = _label(config.truth, run, stack, path.parent)
    observed = observe(
        stack, config.bands, run.place, scratch / "observed.zarr", requires=config.requires
    )
    seen = Is(observed.array, ObservationClass.CLEAR)
    if (
        not any(name.startswith("pre_") for name in config.bands)
        and observed.counts[ObservationClass.NO_PRE]
    ):
        logger.warning("some pixels lack a clear image: they are not labelled")
    with progress("cutting samples", "row") as advance:
        raster = Labelled(
            stack.view(config.bands),
            stack.geobox,
            label,
            _splits(config.split, label),
            config.bands,
            observed=seen,
            requires=config.requires,
        )
        samples = cut(
            raster,
            out,
            origin=Origin.of(
                stack, config.name, config.title, config.licence, config.attribution, config.event
            ),
            chipping=Chipping(config.chip_px, config.stride_px, config.positive_share, config.seed),
            progress=advance,
        )
    shutil.rmtree(scratch, ignore_errors=True)
    return samples


def run_of(config: SamplingConfig, folder: Path) -> RunConfig:
    """Return the run whose imagery a sampling configuration (in `folder`) asks for; all that the
    rasters of an archive show, where it names no area.

    Raises:
        RequestError: it names no imagery, or what a run cannot be.
    """
    if config.run is None:
        raise RequestError(
            f"samples `{config.name}` name no imagery", "Give `run` and `truth`, or `patches`."
        )
    preset = _placed(config.run.model_dump(exclude_unset=True), folder)
    if config.radius_km is None and "area" not in preset:
        preset |= _shown_by(preset["source"])
    return resolve(make_request(radius_km=config.radius_km), preset)


def _shown_by(source: dict[str, Any]) -> dict[str, Any]:
    """Return as `area` what the rasters of an archive show; nothing of another source."""
    if source["kind"] != "archive":
        return {}
    extent = make_source(_source_of(source)).extent()
    return {"area": Area(extent, "extent of the rasters").as_plain()} if extent else {}


def _source_of(source: dict[str, Any]) -> SourceConfig:
    try:
        return SourceConfig.model_validate(source)
    except ValidationError as error:
        raise as_request_error(error, "run.source") from error


def plan_of(config: SamplingConfig, run: RunConfig, source: Source) -> Plan:
    """Return which scenes a sample set would be made of, before the first pixel is pulled.

    Raises:
        NothingToSeeError: no imagery.
        SourceError: the source cannot be had.
    """
    geobox = run.place.geobox(run.resolution_m or source.offer().resolution_m)
    return source.plan(run.place, geobox, run.event, run.windows, config.bands)


def _from_patches(
    config: SamplingConfig, patches: PatchesConfig, folder: Path, out: Path
) -> SampleSet:
    """Return the sample set of loose patches: their mosaic, with a grid that lies nowhere."""
    mosaic = Mosaic(patches, find_patches(patches, folder), config.bands)
    height, width = mosaic.shape[1:]
    step = patches.resolution_m
    geobox = GeoBox((height, width), Affine(step, 0, 0, 0, -step, 0), None)
    label = mosaic.labels()
    origin = Origin(
        name=config.name,
        title=config.title,
        event=config.event,
        sensor=patches.sensor,
        level=patches.level,
        resolution_m=step,
        simulated=False,
        attribution=config.attribution,
        licence=config.licence,
    )
    with progress("cutting samples", "row") as advance:
        splits = mosaic.splits() or _splits(config.split, label)
        return cut(
            Labelled(mosaic, geobox, label, splits, config.bands),
            out,
            origin=origin,
            chipping=Chipping(config.chip_px, config.stride_px, config.positive_share, config.seed),
            progress=advance,
        )


def _placed(preset: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the run's parts with the paths of archive and factors, relative to the configuration's
    folder, made absolute.
    """
    source = dict(preset.get("source", {}))
    if source.get("archive"):
        source["archive"] = str((folder / source["archive"]).resolve())
    if source.get("factors"):
        try:
            factors = FactorsConfig.model_validate(source["factors"])
        except ValidationError as error:
            raise as_request_error(error, "run.source.factors") from error
        source["factors"] = factors.placed(folder).model_dump(mode="json")
    return {**preset, "source": source}


def _stack(config: SamplingConfig, run: RunConfig, source: Source, scratch: Path) -> Stack:
    plan = plan_of(config, run, source)
    with progress("pulling imagery") as advance:
        return assemble(source, plan, config.bands, scratch / "stack.zarr", progress=advance)


def _label(truth: TruthConfig, run: RunConfig, stack: Stack, folder: Path) -> NDArray[np.uint8]:
    if truth.kind == "polygons":
        layers = [_layer(layer, folder) for layer in truth.slides]
        inside = _layer(truth.inside, folder) if truth.inside else None
        return labels.truth(
            stack.geobox,
            layers,
            inside=inside,
            ignore=[_layer(layer, folder) for layer in truth.ignore],
        )
    return simulated_mask(run, stack.geobox)


def _layer(layer: VectorLayer, folder: Path) -> Layer:
    return Layer((folder / layer.file).resolve(), layer.layer, layer.where)


def _splits(config: SplitConfig, label: NDArray[np.uint8]) -> Splits:
    shape = (label.shape[0], label.shape[1])
    if config.kind == "bands":
        among = label != IGNORED
        numbers = split.bands(shape, config.axis, config.count, config.guard_px, among=among)
        names = {number: f"band-{number}" for number in range(config.count)}
        words = (
            f"{config.count} bands that follow one another along the {config.axis}, "
            f"{config.guard_px} px apart"
        )
        return Splits(numbers, names, words)
    numbers = split.random_blocks(
        shape,
        config.block_px,
        config.shares,
        config.guard_px,
        seed=config.seed,
        positive=label == 1,
    )
    words = (
        f"blocks of {config.block_px} px in shares {config.shares}, {config.guard_px} px "
        f"apart, seed {config.seed}"
    )
    return Splits(numbers, {0: "train", 1: "validation", 2: "test"}, words)
