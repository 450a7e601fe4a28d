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
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from configs.area import Area
from configs.bands import When
from configs.records import Advance, ObservationClass, Ranked, Requires
from configs.selection import AGREEMENT, JOINT, BandSetCalibration, SelectionConfig
from configs.stack import Stack
from models.inference.adaptation import adapted
from models.mmd import Blocked, BlockGram, block_sums, mmd2_histograms
from models.reference import Reference, Usable, sample
from models.registry import Checkpoint
from models.selection.signals import PLAIN, Comparison, Sample, Scaling, diversity, signal

SCORE = "score"
OWN = "distance of the rule"
"""The rule's statistic without a checkpoint's credits: what the F1 to be expected goes by."""
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


def rank(
    compared: Sequence[Compared],
    settings: SelectionConfig,
    advance: Advance,
    agreed: Mapping[str, float] = MappingProxyType({}),
) -> list[Ranked]:
    """Return each checkpoint's distance to its scene: jointly with error and p-value, band by band,
    and what the study found.

    `agreed` is how far each checkpoint agrees with the others (`models.selection.agreement`), where
    they were asked.
    """
    terms = [_in_own_terms(one) for one in compared]
    spreads = {
        relative: _spreads([o for o in terms if o.found.card.relative == relative])
        for relative in {one.found.card.relative for one in terms}
    }
    common = [
        band
        for band in compared[0].reference.bands
        if all(band in one.found.card.bands for one in compared)
    ]
    mixed = len({frozenset(one.found.card.bands) for one in compared}) > 1
    bands_of = [tuple(common) if mixed and common else one.found.card.bands for one in compared]
    own: dict[tuple[int, tuple[str, ...]], NDArray[np.float64]] = {}
    ranked, known = [], scored(compared, settings, agreed)
    for done, (one, bands) in enumerate(zip(terms, bands_of, strict=True), 1):
        spread = spreads[one.found.card.relative]
        scene, reference = (_blocked(drawn, bands, spread) for drawn in (one.scene, one.reference))
        width = 2.0 * scene.values.shape[1]
        key = (id(one.scene), bands)
        if key not in own:
            own[key] = block_sums(scene, scene, width, settings.kernels)
        gram = BlockGram.of(scene, reference, width, settings.kernels, own[key])
        distance = math.sqrt(max(0.0, gram.mmd2()))
        ranked.append(
            Ranked(
                card=one.found.card.name,
                distance=distance,
                standard_error=gram.standard_error(settings.bootstraps, settings.seed, root=True),
                per_band={
                    band: _band_distance(one, band, spread[band], settings)
                    for band in one.found.card.bands
                },
                p_value=gram.p_value(settings.permutations, settings.seed),
                validation_f1=one.found.card.validation_f1,
                note=_note(one, bands, mixed),
                advantage=one.found.card.unseen_advantage,
                score=known[one.found.card.name].get(SCORE, distance),
                signals={
                    name: value
                    for name, value in known[one.found.card.name].items()
                    if name != SCORE
                },
                adapted_distance=_after(one, bands, spread, settings),
                agreement=agreed.get(one.found.card.name),
            )
        )
        advance(done, len(compared))
    return ranked


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


def scored(
    compared: Sequence[Compared],
    settings: SelectionConfig,
    agreed: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, dict[str, float]]:
    """Return, by checkpoint, its score and signals as the study's calibration of its bands asks for
    them.

    Without a calibration a checkpoint has no score of its own, nor where its calibration goes by
    agreement and nobody voted. Checkpoints of different bands have one if all are calibrated: how
    much F1 is to be expected of them, less is worse (docs/results.md); where a calibration says
    no F1, where their score falls in what is usual for their bands.
    """
    found: dict[str, dict[str, float]] = {one.found.card.name: {} for one in compared}
    alike: dict[tuple[frozenset[str], bool, int], list[Compared]] = {}
    for one in compared:
        alike.setdefault(
            (frozenset(one.found.card.bands), one.found.card.simulated, id(one.scene)), []
        ).append(one)
    known = {
        key: settings.calibration(some[0].found.card.bands, key[1]) for key, some in alike.items()
    }
    several = len({key[:2] for key in alike}) > 1
    for key, some in alike.items():
        calibration = known[key]
        if calibration is None:
            return {name: {} for name in found}
        for one, values in zip(some, _scores(some, calibration, agreed), strict=True):
            if several and SCORE in values:
                expected = expected_f1(
                    calibration, values.get(OWN, math.nan), one.found.card.unseen_advantage
                )
                values[SCORE] = (
                    usual(values[SCORE], calibration.distances)
                    if expected is None
                    else 1 - expected
                )
            found[one.found.card.name] = values
    return found


def _scores(
    some: Sequence[Compared], known: BandSetCalibration, agreed: Mapping[str, float]
) -> list[dict[str, float]]:
    """Return score and signals of checkpoints that read the same bands, in one scaling."""
    bands = some[0].found.card.bands
    scene, cards = thinned(some[0].scene, bands), [thinned(one.reference, bands) for one in some]
    scaling, shared = Scaling.of(scene, cards), dict[str, float]()
    scored = []
    for one, card in zip(some, cards, strict=True):
        comparison = Comparison(scene, card, scaling, shared)
        values = {name: signal(comparison, name) for name in known.limits}
        own = _own(comparison, one.found.card.name, known.statistic, agreed)
        if own is not None:
            variety = diversity(np.bincount(card.domain).tolist())
            credit = known.diversity * variety + known.advantage * (
                one.found.card.unseen_advantage or 0.0
            )
            values[OWN] = own
            beside = known.distance * comparison.statistic(PLAIN) if known.distance else 0.0
            values[SCORE] = own + beside - credit
        scored.append(values)
    return scored


def _own(
    compared: Comparison, name: str, statistic: str, agreed: Mapping[str, float]
) -> float | None:
    """Return the statistic of the rule; None where plain joint MMD is the rule, or the checkpoints
    were not asked.
    """
    if statistic == AGREEMENT:
        return 1 - agreed[name] if name in agreed else None
    return None if statistic == JOINT else compared.statistic(statistic)


def thinned(reference: Reference, bands: Sequence[str]) -> Sample:
    """Return the part of a reference sample that the study's statistics are measured by."""
    return Sample.thinned(bands, reference.columns(bands), reference.block, reference.domain)


def expected_f1(known: BandSetCalibration, own: float, advantage: float | None) -> float | None:
    """Return the F1 that a study lets one expect of a checkpoint with such a statistic of its own;
    None where it says nothing.
    """
    if not known.expected_f1 or math.isnan(own):
        return None
    points, f1 = zip(*known.expected_f1, strict=True)
    return min(1.0, max(0.0, float(np.interp(own, points, f1)) + (advantage or 0.0)))


def usual(score: float, distances: Sequence[float]) -> float:
    """Return the share of held-out domains whose score lies below, and above 1 how far beyond all
    of them it is.
    """
    if not distances:
        return score
    beyond = max(0.0, score - distances[-1]) / (abs(distances[-1]) or 1.0)
    return float(np.searchsorted(distances, score)) / len(distances) + beyond


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
