"""The headline of an inventory: how many, how large, and how much of the area was seen at all; as
numbers and as words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from configs.checkpoint import Accuracy, Confidence
from configs.records import Choice, Domain, ObservationClass
from configs.stack import Rows
from inventory.about import About, Beside
from inventory.colours import OBSERVATION
from inventory.outline.outline import OUTSIDE, Inventory, strips
from inventory.outline.words import LANGUAGE, numeral, words_of
from inventory.total_area import TotalArea, adjusted


@dataclass(frozen=True)
class _Seen:
    """Pixels of the area, by what became of them."""

    area_px: int
    observed_px: int
    """With a probability, water left out."""
    classes_px: dict[ObservationClass, int]

    @property
    def fraction(self) -> float:
        """Return the observed share of the area without water (contract, `observed_fraction`); 0
        where nothing is left.
        """
        land = self.area_px - self.classes_px[ObservationClass.WATER]
        return self.observed_px / land if land else 0.0


def count_seen(probability: Rows, observation: Rows) -> _Seen:
    """Return how much of the area was observed, read in strips."""
    classes = np.zeros(256, np.int64)
    observed = 0
    for strip in strips(probability, observation):
        classes += np.bincount(strip.observation.ravel(), minlength=256)
        observed += int(
            np.count_nonzero(strip.seen & (strip.observation != ObservationClass.WATER))
        )
    by_class = {each: int(classes[each]) for each in ObservationClass}
    return _Seen(int(classes.sum() - classes[OUTSIDE]), observed, by_class)


_AFFECTED = (
    ("roads_m", "Roads within a landslide", "m"),
    ("roads_below_m", "Roads below a landslide", "m"),
    ("buildings", "Buildings within a landslide", "number"),
    ("buildings_below", "Buildings below a landslide", "number"),
    ("people", "People within a landslide", "number"),
    ("people_below", "People below a landslide", "number"),
)


@dataclass(frozen=True)
class Summary:
    """The headline numbers of one revision."""

    event: str
    revision: int
    area_km2: float
    observed_fraction: float
    landslide_count: int
    landslide_area_km2: float
    checkpoint: str
    out_of_domain: Domain
    warnings: tuple[str, ...]
    simulated: bool
    largest_m2: float
    median_m2: float
    by_confidence: dict[str, int]
    rejected_count: int
    classes_km2: dict[str, float]
    """Area of each observation class, by its name."""
    resolution_m: float
    """Spacing of the grid."""
    expected_f1: float | None = None
    """What the checkpoint reaches on imagery at this distance, where a study knows."""
    trained_on: str = ""
    """What the checkpoint knows, in words."""
    beside: Beside | None = None
    """What colour alone maps, where that was asked."""
    promise: Confidence | None = None
    """What high and medium confidence promise, where it was measured of the checkpoint."""
    total: TotalArea | None = None
    """Area of all landslides adjusted by the checkpoint's errors, where those were measured on
    ground like this.
    """
    errors: Accuracy | None = None
    """Those errors, where they were measured at all."""
    affected: Mapping[str, float] | None = None
    """Who may be affected, as far as the user gave layers (`affected.Affected.totals`);
    indicative.
    """

    def affected_rows(self) -> list[tuple[str, str, float]]:
        """Return (what, unit, how much) of who may be affected."""
        return [
            (what, unit, (self.affected or {})[name])
            for name, what, unit in _AFFECTED
            if name in (self.affected or {})
        ]

    def as_plain(self) -> dict[str, Any]:
        """Return the keys of the contract's JSON answer."""
        affected = (
            {} if self.affected is None else {"affected": {**self.affected, "indicative": True}}
        )
        return {
            "event": self.event,
            "revision": self.revision,
            "area_km2": self.area_km2,
            "observed_fraction": self.observed_fraction,
            "landslide_count": self.landslide_count,
            "landslide_area_km2": self.landslide_area_km2,
            "landslide_area_adjusted": None if self.total is None else self.total.as_plain(),
            "checkpoint": self.checkpoint,
            "out_of_domain": self.out_of_domain,
            "expected_f1": None if self.expected_f1 is None else round(self.expected_f1, 3),
            "simulated": self.simulated,
            "index": None
            if self.beside is None
            else {
                "landslide_count": self.beside.count,
                "landslide_area_km2": round(self.beside.km2, 6),
                "shared_km2": round(self.beside.shared_km2, 6),
            },
            "warnings": list(self.warnings),
            **affected,
        }


def summarise(
    inventory: Inventory, seen: _Seen, about: About, affected: Mapping[str, float] | None = None
) -> Summary:
    """Return the headline of an inventory; `affected` are the totals of what may be affected, where
    layers were given.
    """
    areas = inventory.landslides["area_m2"].to_numpy(dtype=float)
    km2 = abs(inventory.geobox.affine.determinant) / 1e6
    counts = inventory.landslides["confidence"].value_counts()
    mapped_km2, seen_km2 = float(areas.sum()) / 1e6, seen.observed_px * km2
    return Summary(
        event=about.event.name,
        revision=about.revision,
        area_km2=round(seen.area_px * km2, 4),
        observed_fraction=round(seen.fraction, 4),
        landslide_count=len(areas),
        landslide_area_km2=round(mapped_km2, 6),
        checkpoint=about.choice.card,
        out_of_domain=about.choice.out_of_domain,
        trained_on=about.choice.trained_on,
        warnings=about.warnings,
        simulated=about.simulated,
        largest_m2=float(areas.max(initial=0)),
        median_m2=float(np.median(areas)) if len(areas) else 0.0,
        by_confidence={name: int(counts.get(name, 0)) for name in ("high", "medium", "low")},
        rejected_count=len(inventory.rejected),
        classes_km2={
            OBSERVATION[each][0]: round(px * km2, 4) for each, px in seen.classes_px.items()
        },
        resolution_m=abs(inventory.geobox.affine.a),
        expected_f1=about.choice.expected_f1,
        beside=about.beside,
        promise=about.promise,
        total=None
        if about.choice.out_of_domain
        else adjusted(mapped_km2, seen_km2, about.accuracy),
        errors=about.accuracy,
        affected=affected,
    )


def number(value: float) -> str:
    """Return a number with thousands set apart and no more digits than it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share as a percentage that never rounds up to all, nor down to nothing."""
    for digits in (0, 1, 2):
        text = f"{100 * share:.{digits}f}"
        if not (share < 1 and float(text) == 100) and not (share > 0 and float(text) == 0):
            return f"{text} %"
    return "> 99.99 %" if share > 0.5 else "< 0.01 %"


def extent(area_m2: float) -> str:
    """Return an area in the unit a person would use: ten hectares and more in km²."""
    return f"{number(area_m2 / 1e6)} km²" if area_m2 >= 1e5 else f"{number(area_m2)} m²"


def length(metres: float) -> str:
    """Return a length in the unit a person would use."""
    return f"{number(metres / 1000)} km" if metres >= 1000 else f"{number(metres)} m"


def _people(count: float) -> str:
    return number(round(count))


_SPOKEN: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
    ("roads", "roads_m", "roads_below_m", length),
    ("buildings", "buildings", "buildings_below", number),
    ("people", "people", "people_below", _people),
)


def spoken(affected: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return (what, how much within landslides, how much below them) of what may be affected, as
    text.
    """
    rows = [
        (what, within, below, show) for what, within, below, show in _SPOKEN if within in affected
    ]
    return [
        (what, show(affected[within]), show(affected[below])) for what, within, below, show in rows
    ]


def headline(summary: Summary, language: str = LANGUAGE) -> list[str]:
    """Return the headline in sentences: that no checkpoint is known to work here, where that is so;
    what was found, how much was seen, how sure it is, who may be affected."""
    w = words_of(language)["headline"]
    n = partial(numeral, language=language)
    label = w["simulated"] if summary.simulated else ""
    area = {"seen": n(percent(summary.observed_fraction)), "area": n(number(summary.area_km2))}
    seen = [w["seen"].format(**area)] + ([] if summary.observed_fraction == 1 else [w["unseen"]])
    beware = first_line(summary, language)
    if not summary.landslide_count:
        nothing = w["none_unknown" if summary.out_of_domain else "none"]
        return [*beware, nothing.format(simulated=label), *seen, *_beside(summary, language)]
    count, total = n(f"{summary.landslide_count:,}"), n(number(summary.landslide_area_km2))
    key = "one" if summary.landslide_count == 1 else "found"
    found = w[f"{key}_unknown" if summary.out_of_domain else key].format(
        count=count, simulated=label, area=total
    )
    sizes = {"largest": n(extent(summary.largest_m2)), "median": n(extent(summary.median_m2))}
    size = (
        [w["size"].format(**sizes, resolution=n(f"{summary.resolution_m:g}"))]
        if summary.landslide_count > 1
        else []
    )
    names = words_of(language)["confidence"]
    sure = ", ".join(
        f"{n(f'{count:,}')} {names[name]}" for name, count in summary.by_confidence.items() if count
    )
    return [
        *beware,
        found,
        *_total(summary, language),
        *seen,
        *size,
        " ".join([w["sure"].format(counts=sure), *_promise(summary, language)]),
        *_beside(summary, language),
        *_affected_sentence(summary, language),
    ]


def first_line(made: Summary | Choice, language: str = LANGUAGE) -> list[str]:
    """Return the first line of every product where no checkpoint is known to work on the imagery:
    what the one that mapped it was trained on, and that nothing is known. Empty elsewhere.
    """
    if not made.out_of_domain:
        return []
    if made.out_of_domain == "unknown":
        line = "unknown"
    else:
        line = "out_of_domain" if made.expected_f1 is None else "out_of_domain_f1"
    name = made.card if isinstance(made, Choice) else made.checkpoint
    told = {"checkpoint": name, "trained_on": made.trained_on, "f1": f"{made.expected_f1 or 0:.2f}"}
    return [str(words_of(language)["headline"][line].format(**told))]


def _promise(summary: Summary, language: str) -> list[str]:
    """Return what the words high and medium promise, and where that was measured; nothing where no
    landslide can be called so.
    """
    words, made = words_of(language), summary.promise
    if summary.out_of_domain:
        return []
    if made is None:
        return [words["headline"]["promise_unmeasured"]]
    told = ", ".join(
        words["headline"]["right"].format(
            share=f"{100 * made.right[name]:.0f}", count=count, name=words["confidence"][name]
        )
        for name, count in made.counts.items()
        if name in made.right
    )
    return [words["headline"]["promise"].format(told=told, where=made.measured_on)]


def confidence_explained(summary: Summary, language: str = LANGUAGE) -> str:
    """Return what stands beside the colours of confidence: what the words mean, how often they were
    right and where that was measured.
    """
    w = words_of(language)
    if summary.out_of_domain:
        return str(w["confidence_low"])
    return " ".join([w["confidence_help"], *_promise(summary, language)])


def _total(summary: Summary, language: str) -> list[str]:
    """Return the area adjusted by the checkpoint's errors, with its interval; or why there is
    none, where nothing else has said so.
    """
    total, words = summary.total, words_of(language)["headline"]
    if total is None:
        return [] if summary.out_of_domain else [_no_total(summary, language)]
    km2, low, high = (
        numeral(number(value), language) for value in (total.km2, total.low_km2, total.high_km2)
    )
    return [words["total"].format(area=km2, low=low, high=high, where=total.measured_on)]


def _no_total(summary: Summary, language: str) -> str:
    """Return why the total area has no interval."""
    words, errors = words_of(language)["headline"], summary.errors
    if errors is None:
        return str(words["total_unmeasured"])
    seen_km2 = summary.observed_fraction * (
        summary.area_km2 - summary.classes_km2[OBSERVATION[ObservationClass.WATER][0]]
    )
    here = summary.landslide_area_km2 / seen_km2 if seen_km2 else 0.0
    shares = [numeral(percent(share), language) for share in (here, errors.mapped_fraction)]
    told = {"here": shares[0], "there": shares[1], "where": errors.measured_on}
    return str(words["total_elsewhere"].format(**told))


def _beside(summary: Summary, language: str) -> list[str]:
    """Return what colour alone maps, and how much of it is in the inventory."""
    beside = summary.beside
    if beside is None:
        return []
    values = {
        "count": f"{beside.count:,}",
        "area": number(beside.km2),
        "shared": number(beside.shared_km2),
    }
    told = {name: numeral(value, language) for name, value in values.items()}
    return [words_of(language)["headline"]["beside"].format(**told)]


def _affected_sentence(summary: Summary, language: str) -> list[str]:
    """Return who may be affected in one sentence; none where no layer was given."""
    affected = summary.affected
    if not affected:
        return []
    w = words_of(language)["affected"]
    parts = [
        w[f"{what}_short"].format(within=numeral(within, language), below=numeral(below, language))
        for what, within, below in spoken(affected)
    ]
    return [w["sentence"].format(parts="; ".join(parts))] if parts else []
