"""How far a scene is from what each checkpoint was trained on (Yang et al. 2024 eq. 8, tables
XI-XII).

One ranking uses one physical scaling and one set of bandwidths for all checkpoints: every band in
units of its spread over scene and checkpoints together, bandwidth 2 per band (the mean pairwise
squared distance in those units) and 2 d jointly. Per band the distance is of every observed pixel,
jointly of a sample spread over blocks, whose error is the blocks'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.area import Area
from configs.bands import When
from configs.records import Advance, ObservationClass, Ranked, Requires
from configs.selection import BandSetCalibration, SelectionConfig
from configs.stack import Stack
from models.inference.adaptation import adapted
from models.mmd import Blocked, BlockGram, block_sums, mmd2_histograms
from models.reference import Reference, Usable, sample
from models.registry import Checkpoint
from models.selection.home import away_from_home
from models.selection.signals import PLAIN, Comparison, Sample, Scaling, signal

_FEW = 1000
"""Pixels of either side of the distance after the adaptation, which is only shown."""
_TOO_FEW = 200
"""Usable pixels below which flat ground is let in as well: a distance of fewer says little."""


@dataclass(frozen=True)
class Compared:
    """A checkpoint beside the scene as that checkpoint would see it."""

    found: Checkpoint
    reference: Reference
    scene: Reference

    @cached_property
    def away(self) -> tuple[str, ...] | None:
        """What of the scene lies beyond the checkpoint's own ground (`home.away_from_home`)."""
        return away_from_home(self.found.card, self.reference, self.scene)


def compare(
    found: Sequence[Checkpoint], stack: Stack, area: Area | None, settings: SelectionConfig
) -> list[Compared]:
    """Return the checkpoints that see something, each beside the scene masked as its reference
    was.
    """
    scenes: dict[tuple[bool, Requires, float], Reference] = {}
    references = [one.reference() for one in found]
    for one, reference in zip(found, references, strict=True):
        key = _key(one, reference, stack)
        if key not in scenes:
            sight = (one.card.needs_pre, one.card.requires)
            alike = [o.card.bands for o in found if (o.card.needs_pre, o.card.requires) == sight]
            scenes[key] = _scene(
                stack,
                tuple(dict.fromkeys(b for bands in alike for b in bands)),
                area,
                key,
                settings,
            )
    pairs = []
    for one, reference in zip(found, references, strict=True):
        scene = scenes[_key(one, reference, stack)]
        if len(scene) > 1:
            pairs.append(Compared(one, reference, scene))
    return pairs


def _key(one: Checkpoint, reference: Reference, stack: Stack) -> tuple[bool, Requires, float]:
    """Return what decides which pixels of the scene a checkpoint is compared on."""
    slope = reference.slope_min_deg if "slope" in stack.band_names else 0.0
    return one.card.needs_pre, one.card.requires, slope


def _scene(
    stack: Stack,
    bands: tuple[str, ...],
    area: Area | None,
    key: tuple[bool, Requires, float],
    settings: SelectionConfig,
) -> Reference:
    needs_pre, requires, slope_min_deg = key

    usable = observed(stack, area, needs_pre, requires)
    resolution_m = abs(float(stack.geobox.resolution.x))

    def draw(slope: float) -> Reference:
        return sample(
            stack,
            bands,
            usable,
            domain="scene",
            resolution_m=resolution_m,
            count=settings.pixels,
            block_m=settings.block_m,
            slope_min_deg=slope,
            origin=stack.origin,
            seed=settings.seed,
        )

    drawn = draw(slope_min_deg)
    return drawn if drawn.pixels >= _TOO_FEW or slope_min_deg == 0 else draw(0.0)


def observed(stack: Stack, area: Area | None, needs_pre: bool, requires: Requires) -> Usable:
    """Return which pixels of the area are clear in every window the checkpoint reads; water and
    snow are other classes.

    A checkpoint that requires radar alone is compared wherever its bands are known, but on water.
    """

    def dry(rows: slice, columns: slice) -> NDArray[np.bool_]:
        seen = stack.observation(When.POST, rows, columns) != ObservationClass.WATER
        if area is not None and seen.any():
            seen &= area.mask(stack.geobox[rows, columns])
        return np.asarray(seen)

    def clear(rows: slice, columns: slice) -> NDArray[np.bool_]:
        seen = stack.observation(When.POST, rows, columns) == ObservationClass.CLEAR
        if needs_pre:
            seen &= stack.observation(When.PRE, rows, columns) == ObservationClass.CLEAR
        if area is not None and seen.any():
            seen &= area.mask(stack.geobox[rows, columns])
        return np.asarray(seen)

    return dry if requires is Requires.RADAR else clear


def rank(compared: Sequence[Compared], settings: SelectionConfig, advance: Advance) -> list[Ranked]:
    """Return each checkpoint's distance to its scene: jointly with error and p-value, band by band,
    and what a study knows of it.
    """
    terms = [_in_own_terms(one) for one in compared]
    spreads = {
        relative: _spreads([o for o in terms if o.found.card.relative == relative])
        for relative in {one.found.card.relative for one in terms}
    }
    shared = _shared_bands(compared)
    own: dict[tuple[int, tuple[str, ...]], NDArray[np.float64]] = {}
    ranked, known = [], signals_of(compared, settings)
    for done, one in enumerate(terms, 1):
        card, bands = one.found.card, shared or one.found.card.bands
        spread = spreads[card.relative]
        gram = _gram(one, bands, spread, settings, own)
        ranked.append(
            Ranked(
                card=card.name,
                distance=math.sqrt(max(0.0, gram.mmd2())),
                standard_error=gram.standard_error(settings.bootstraps, settings.seed, root=True),
                per_band={
                    band: _band_distance(one, band, spread[band], settings) for band in card.bands
                },
                p_value=gram.p_value(settings.permutations, settings.seed),
                validation_f1=card.validation_f1,
                note=_note(one, bands, bool(shared)),
                expected_f1=expected_f1(one.found, known[card.name], settings),
                advantage=card.unseen_advantage,
                signals=known[card.name],
                adapted_distance=_after(one, bands, spread, settings),
            )
        )
        advance(done, len(compared))
    return ranked


def _shared_bands(compared: Sequence[Compared]) -> tuple[str, ...]:
    """Return the bands that all candidates read, where they do not read the same; else none."""
    if len({frozenset(one.found.card.bands) for one in compared}) == 1:
        return ()
    return tuple(
        band
        for band in compared[0].reference.bands
        if all(band in one.found.card.bands for one in compared)
    )


def _gram(
    one: Compared,
    bands: Sequence[str],
    spread: Mapping[str, float],
    settings: SelectionConfig,
    own: dict[tuple[int, tuple[str, ...]], NDArray[np.float64]],
) -> BlockGram:
    """Return the kernel sums of scene and reference; what depends on the scene alone is kept in
    `own`.
    """
    scene, reference = (_blocked(drawn, bands, spread) for drawn in (one.scene, one.reference))
    width = 2.0 * scene.values.shape[1]
    key = (id(one.scene), tuple(bands))
    if key not in own:
        own[key] = block_sums(scene, scene, width, settings.kernels)
    return BlockGram.of(scene, reference, width, settings.kernels, own[key])


def _in_own_terms(one: Compared) -> Compared:
    """Return a comparison in units that both sides have: of a checkpoint that reads relative
    brightness, scene and reference after each was normalised by its own statistics.
    """
    if not one.found.card.relative:
        return one
    normalisation = one.found.card.normalisation
    return replace(
        one,
        scene=adapted(one.scene, normalisation),
        reference=adapted(one.reference, normalisation),
    )


def _after(
    one: Compared, bands: Sequence[str], spread: dict[str, float], settings: SelectionConfig
) -> float | None:
    """Return the joint distance once the scene is adapted to the checkpoint, in the ranking's
    scaling; None where it is not.
    """
    normalisation = one.found.card.normalisation
    if normalisation.adapt == "card" or one.found.card.relative:
        return None
    scene, reference = (
        _blocked(adapted(part, normalisation).thinned(_FEW), bands, spread)
        for part in (one.scene, one.reference)
    )
    width = 2.0 * len(bands)
    own = block_sums(scene, scene, width, settings.kernels)
    return math.sqrt(max(0.0, BlockGram.of(scene, reference, width, settings.kernels, own).mmd2()))


def signals_of(
    compared: Sequence[Compared], settings: SelectionConfig
) -> dict[str, dict[str, float]]:
    """Return, by checkpoint, the distances that a study of its bands goes by; none where no study
    covers it.

    Checkpoints that read the same bands are measured in one scaling, as in the study.
    """
    found: dict[str, dict[str, float]] = {one.found.card.name: {} for one in compared}
    alike: dict[tuple[frozenset[str], bool, int], list[Compared]] = {}
    for one in compared:
        card = one.found.card
        key = (frozenset(card.bands), card.simulated, id(one.scene))
        alike.setdefault(key, []).append(one)
    for some in alike.values():
        card = some[0].found.card
        known = settings.calibration(card.bands, card.simulated)
        if known is None:
            continue
        scene = thinned(some[0].scene, card.bands)
        cards = [thinned(one.reference, card.bands) for one in some]
        scaling, shared = Scaling.of(scene, cards), dict[str, float]()
        for one, drawn in zip(some, cards, strict=True):
            comparison = Comparison(scene, drawn, scaling, shared)
            names = dict.fromkeys((PLAIN, *known.limits))
            found[one.found.card.name] = {name: signal(comparison, name) for name in names}
    return found


def thinned(reference: Reference, bands: Sequence[str]) -> Sample:
    """Return the part of a reference sample that the study's statistics are measured by."""
    return Sample.thinned(bands, reference.columns(bands), reference.block, reference.domain)


def expected_f1(
    found: Checkpoint, signals: Mapping[str, float], settings: SelectionConfig
) -> float | None:
    """Return the F1 that a study lets one expect of a checkpoint at such a distance, its advantage
    on other unseen domains added; None where it says nothing.
    """
    known: BandSetCalibration | None = settings.calibration(found.card.bands, found.card.simulated)
    if known is None or not known.expected_f1 or PLAIN not in signals:
        return None
    points, f1 = zip(*known.expected_f1, strict=True)
    usual = float(np.interp(signals[PLAIN], points, f1))
    return min(1.0, max(0.0, usual + (found.card.unseen_advantage or 0.0)))


def _note(one: Compared, bands: Sequence[str], mixed: bool) -> str:
    notes = [f"{one.scene.pixels} pixels of the scene"]
    if one.scene.slope_min_deg != one.reference.slope_min_deg:
        notes.append("flat ground let in: hardly a sloping pixel was observed")
    if mixed:
        notes.append(f"joint distance over the {len(bands)} bands all candidates read")
    return "; ".join(notes)


def _spreads(compared: Sequence[Compared]) -> dict[str, float]:
    """Return each band's standard deviation over scene and checkpoints together: half the scene,
    half the checkpoints, equally.
    """
    spreads = {}
    for band in dict.fromkeys(band for one in compared for band in one.found.card.bands):
        holders = [one for one in compared if band in one.found.card.bands]
        scene = holders[0].scene.band_histogram(band).moments()
        cards = [one.reference.band_histogram(band).moments() for one in holders]
        parts = [(0.5, scene), *((0.5 / len(cards), moments) for moments in cards)]
        mean = sum(weight * m for weight, (m, _) in parts)
        variance = sum(weight * (s * s + (m - mean) ** 2) for weight, (m, s) in parts)
        spreads[band] = math.sqrt(variance) or 1.0
    return spreads


def _blocked(drawn: Reference, bands: Sequence[str], spread: Mapping[str, float]) -> Blocked:
    """Return the pixels in units of each band's spread, `(n, bands)`, each with its block."""
    values = drawn.columns(bands).astype(np.float64) / np.array([spread[band] for band in bands])
    return Blocked.of(values, drawn.block)


def _band_distance(one: Compared, band: str, spread: float, settings: SelectionConfig) -> float:
    """Return MMD of one band: every usable pixel of the scene against the checkpoint's sample."""
    scene, reference = one.scene.band_histogram(band), one.reference.band_histogram(band)
    squared = mmd2_histograms(
        scene.counts,
        reference.counts,
        scene.step / spread,
        2.0,
        kernels=settings.kernels,
        unbiased=True,
    )
    return math.sqrt(max(0.0, squared))
