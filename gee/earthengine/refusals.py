"""What Earth Engine's refusals mean, in one table: the first rule whose words and status fit tells
the cure and the remedy.

The words are those of the service's own documentation (debugging guide, usage quotas, access and
noncommercial pages) and of its public issue tracker and help forum. Statuses are not relied on
where the words are plain: the same refusal has been seen as 400 and as 429.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

DEBUGGING: Final = "https://developers.google.com/earth-engine/guides/debugging"
QUOTAS: Final = "https://developers.google.com/earth-engine/guides/usage"
ACCESS: Final = "https://developers.google.com/earth-engine/guides/access"
TIERS: Final = "https://developers.google.com/earth-engine/guides/noncommercial_tiers"


class Cure(Enum):
    """What to do about a failure."""

    WAIT = "rate limited"
    AGAIN = "tried again"
    SPLIT = "split"
    SHRINK = "asked for less at once"
    """A question about scenes is made smaller; a request for pixels waits: it aggregates
    nothing.
    """
    STOP = "stopped"


@dataclass(frozen=True)
class Rule:
    """A refusal, by its words and its status."""

    signs: tuple[str, ...]
    """Any of these, in lower case; empty: whatever it says."""
    cure: Cure
    message: str
    """What the user reads before the service's own words, where nothing helps."""
    remedy: str
    source: str
    """The page that tells of this refusal."""
    statuses: tuple[int, ...] = ()
    """Empty: any."""

    def fits(self, status: int, words: str) -> bool:
        """Return whether a refusal is of this kind; `words` in lower case."""
        said = not self.signs or any(sign in words for sign in self.signs)
        return said and (not self.statuses or status in self.statuses)


_SIGN_IN: Final = (
    "Run `earthengine authenticate`, or set EE_SERVICE_ACCOUNT_KEY to a key file that is "
    "still valid; `coslide doctor` tells which credentials are used."
)
_PROJECT: Final = (
    "Register the project at https://console.cloud.google.com/earth-engine, and name one "
    "that you may use: `export EE_PROJECT=<project id>`."
)
_ENABLE: Final = (
    "Enable the Earth Engine API for the project in the Cloud console (APIs & Services, "
    "Library), wait a few minutes, and give the same command again."
)
_ROLES: Final = (
    "Let the project's owner give this account the roles `Earth Engine Resource Viewer` and "
    "`Service Usage Consumer`, or name another project: `export EE_PROJECT=<project id>`."
)
_BILLING: Final = (
    "Link an active billing account to the project in the Cloud console, or name a project that "
    "is registered for noncommercial use: `export EE_PROJECT=<project id>`."
)
_TIER: Final = (
    "See the project's usage and tier at https://console.cloud.google.com/earth-engine; wait for "
    "the next month, ask for a higher tier, or name another project: `export EE_PROJECT=<id>`."
)
_QUOTA: Final = (
    "Wait and give the same command again: it goes on; or lower `source.earthengine.workers`."
)
_DAY: Final = (
    "The quota of a day is used up: give the same command again tomorrow, it goes on; or name "
    "another project: `export EE_PROJECT=<project id>`."
)
_LATER: Final = "Give the same command again later: it goes on where it stopped."
_SMALLER: Final = (
    "Lower `source.earthengine.scenes_per_tile` or shorten the windows, then "
    "give the same command again."
)
_SHORTER: Final = "Ask for a shorter --pre or --post window, or a smaller area."
_DOCTOR: Final = "Run `coslide doctor --source earthengine`; it names what is missing."

_TOO_MUCH: Final = "Earth Engine cannot compute even a small block"
_USED_UP: Final = "Earth Engine's quota is used up"

RULES: Final = (
    # What the service computes at once.
    Rule(("too many concurrent aggregations",), Cure.SHRINK, _USED_UP, _QUOTA, DEBUGGING),
    Rule(
        ("user memory limit", "memory limit exceeded"), Cure.SPLIT, _TOO_MUCH, _SMALLER, DEBUGGING
    ),
    Rule(("output of image computation is too large",), Cure.SPLIT, _TOO_MUCH, _SMALLER, DEBUGGING),
    Rule(("computation timed out",), Cure.SPLIT, _TOO_MUCH, _SMALLER, DEBUGGING),
    Rule(("too many pixels in the region",), Cure.SPLIT, _TOO_MUCH, _SMALLER, DEBUGGING),
    Rule(("total request size", "pixel grid dimensions"), Cure.SPLIT, _TOO_MUCH, _SMALLER, QUOTAS),
    Rule(
        ("request payload size exceeds", "computed value is too large"),
        Cure.SPLIT,
        _TOO_MUCH,
        _SMALLER,
        QUOTAS,
    ),
    Rule(("5000 elements",), Cure.SPLIT, "there are too many scenes at once", _SHORTER, DEBUGGING),
    # Who pays, and who may: no waiting helps.
    Rule(
        ("billing",),
        Cure.STOP,
        "the project has no active billing account",
        _BILLING,
        ACCESS,
        (400, 402, 403, 429),
    ),
    Rule(
        ("noncommercial", "non-commercial", "eecu"),
        Cure.STOP,
        "the project's noncommercial allowance is restricted or used up",
        _TIER,
        TIERS,
    ),
    Rule(
        ("has not been used in project", "api is disabled", "service_disabled"),
        Cure.STOP,
        "the Earth Engine API is not enabled for the project",
        _ENABLE,
        ACCESS,
    ),
    Rule(
        ("not registered", "not signed up"),
        Cure.STOP,
        "the project is not registered for Earth Engine",
        _PROJECT,
        ACCESS,
        (400, 403, 404),
    ),
    Rule(("per day", "daily limit"), Cure.STOP, _USED_UP, _DAY, QUOTAS, (403, 429)),
    # How fast.
    Rule(("rate limit", "ratelimit"), Cure.WAIT, _USED_UP, _QUOTA, QUOTAS, (400, 403, 429)),
    Rule(("capacity exceeded",), Cure.WAIT, "Earth Engine is overloaded", _LATER, QUOTAS),
    Rule((), Cure.WAIT, _USED_UP, _QUOTA, QUOTAS, (429,)),
    # The rest by status.
    Rule((), Cure.STOP, "the Earth Engine credentials are refused", _SIGN_IN, ACCESS, (401,)),
    Rule(
        ("not found",),
        Cure.STOP,
        "Earth Engine does not have an asset or project asked for",
        _DOCTOR,
        ACCESS,
        (400, 404),
    ),
    Rule(
        ("required permission", "permission 'earthengine", 'permission "earthengine'),
        Cure.STOP,
        "Earth Engine denies access: this account lacks a role on the project",
        f"{_ROLES} {_PROJECT}",
        ACCESS,
        (400, 403),
    ),
    Rule((), Cure.STOP, "Earth Engine denies access", _PROJECT, ACCESS, (403,)),
)
"""The first that fits."""


def rule_for(status: int, words: str) -> Rule:
    """Return the rule that an answer of the service falls under."""
    low = words.lower()
    found = next((rule for rule in RULES if rule.fits(status, low)), None)
    if found:
        return found
    if status >= 500 or status == 408:
        return Rule((), Cure.AGAIN, f"Earth Engine keeps failing ({status})", _LATER, QUOTAS)
    return Rule((), Cure.STOP, f"Earth Engine refused the request ({status})", _DOCTOR, DEBUGGING)
