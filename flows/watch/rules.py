"""Does this earthquake call for a map? Pure answers, each with its reason; no network, no clock, no
state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from configs.area import Area
from configs.land import land_fraction
from configs.watch import ALERTS, Alert, Rule, WatchConfig
from gee.feed import Detail, Quake


@dataclass(frozen=True)
class Decision:
    """Whether an earthquake qualifies, and why (not)."""

    qualifies: bool
    reason: str


def screen(quake: Quake, config: WatchConfig, now: datetime, *, begun: bool) -> Decision:
    """Return what the feed alone says: kind, age, magnitude by region, depth, losses.

    Args:
        quake: as the feed tells it.
        config: the rules.
        now: the clock.
        begun: it was mapped before; then its age does not matter.
    """
    if quake.kind != "earthquake":
        return Decision(False, f"it is a {quake.kind}")
    if not begun and now - quake.time > timedelta(days=config.oldest_days):
        return Decision(False, f"it is older than {config.oldest_days:g} days")
    rule = _rule_for(quake, config)
    if rule is None:
        return Decision(False, "it lies in no rule's region")
    if quake.magnitude is None:
        return Decision(False, "its magnitude is not known yet")
    if quake.magnitude < rule.min_magnitude:
        return Decision(
            False, f"M {quake.magnitude:g} is below {rule.min_magnitude:g} ({rule.name})"
        )
    if quake.depth_km is not None and quake.depth_km > rule.max_depth_km:
        return Decision(
            False,
            f"it is {quake.depth_km:g} km deep, more than {rule.max_depth_km:g} ({rule.name})",
        )
    if below := _below(quake.pager, rule.min_pager, "PAGER"):
        return Decision(False, f"{below} ({rule.name})")
    return Decision(True, f"M {quake.magnitude:g} meets the rule `{rule.name}`")


def judge(detail: Detail, area: Area, steep: float | None, config: WatchConfig) -> Decision:
    """Return what the detail adds: the landslide alert, land, relief.

    Args:
        detail: the event's detail; it has passed `screen`.
        area: what would be mapped.
        steep: share of the shaken land that is steep, None where nobody knows.
        config: the rules.
    """
    rule = _rule_for(detail.quake, config)
    if rule is not None and (
        below := _below(detail.landslide_alert, rule.min_landslide_alert, "landslide")
    ):
        return Decision(False, f"{below} ({rule.name})")
    land = land_fraction(area)
    if land < config.min_land or land == 0:
        return Decision(False, f"the shaken area lies in the sea (land: {land:.1%})")
    if steep is not None and steep < config.min_steep:
        return Decision(False, f"the shaken land is flat (steep: {steep:.1%})")
    words = "relief not known" if steep is None else f"steep {steep:.0%}"
    return Decision(True, f"{area.km2:,.0f} km² ({area.origin}), land {land:.0%}, {words}")


def _rule_for(quake: Quake, config: WatchConfig) -> Rule | None:
    """Return the first rule whose region holds the epicentre."""
    return next(
        (rule for rule in config.rules if rule.holds(quake.latitude, quake.longitude)), None
    )


def overlap(one: Area, other: Area) -> float:
    """Return intersection / union of two areas, 0-1 (in degrees: both lie at the same place)."""
    union = one.polygon.union(other.polygon).area
    return float(one.polygon.intersection(other.polygon).area / union) if union else 0.0


def _below(found: Alert | None, wanted: Alert | None, what: str) -> str:
    if wanted is None:
        return ""
    if found is None:
        return f"no {what} alert so far, {wanted} is asked for"
    return (
        f"{what} alert {found}, {wanted} is asked for"
        if ALERTS.index(found) < ALERTS.index(wanted)
        else ""
    )
