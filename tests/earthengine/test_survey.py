"""The first questions: small, split where they are refused, and never asked unchanged."""

from __future__ import annotations

import pytest

from configs.earthengine import EarthEngineConfig
from earthengine import world
from earthengine.loopback import Fault, Loopback
from gee.earthengine import EarthEngineSource, refusals
from gee.earthengine.refusals import Cure

BANDS = ("pre_B4", "post_B4")
GRID = world.AREA.geobox(10)
CROWDED = "Too many concurrent aggregations."


def shares(source: EarthEngineSource) -> dict[str, float | None]:
    plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
    return {scene.id: scene.clear_fraction for scene in plan.scenes}


@pytest.mark.faults
@pytest.mark.parametrize(
    "message", [CROWDED, "User memory limit exceeded.", "Computation timed out."]
)
@pytest.mark.parametrize("after", [0, 4])
def test_a_refused_question_is_asked_in_smaller_parts(
    loopback: Loopback, config: EarthEngineConfig, message: str, after: int
) -> None:
    clean = shares(EarthEngineSource(config))
    loopback.faults = [
        Fault(status=400, message=message, times=1, match="value:compute", after=after)
    ]
    source = EarthEngineSource(config)
    assert shares(source) == clean
    assert source.account["split"] == 1
    assert source.account["tried_again"] == 0, "never asked again unchanged"


@pytest.mark.faults
def test_shares_that_are_never_told_leave_the_cloud_of_the_metadata(
    loopback: Loopback, config: EarthEngineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    loopback.faults = [
        Fault(status=400, message=CROWDED, times=9999, match="value:compute", after=4)
    ]
    found = shares(EarthEngineSource(config))
    assert found
    assert set(found.values()) == {None}
    assert "would not tell the clear share" in caplog.text


@pytest.mark.parametrize(
    ("status", "words", "cure"),
    [
        (400, "Output of image computation is too large (20 bands for 589824 pixels = 90.0 MiB "
         "> 80.0 MiB).", Cure.SPLIT),
        (400, "User memory limit exceeded.", Cure.SPLIT),
        (400, "Computation timed out.", Cure.SPLIT),
        (400, "Total request size (60 bytes) must be less than or equal to 50 bytes.", Cure.SPLIT),
        (429, "Too many concurrent aggregations.", Cure.SHRINK),
        (429, "", Cure.WAIT),
        (429, "Earth Engine capacity exceeded.", Cure.WAIT),
        (403, "This API method requires billing to be enabled.", Cure.STOP),
        (403, "Project is restricted: noncommercial EECU quota used up.", Cure.STOP),
        (429, "Quota exceeded: computations per day.", Cure.STOP),
        (403, "Earth Engine API has not been used in project 1 before or it is disabled.",
         Cure.STOP),
        (403, "Not signed up for Earth Engine or project is not registered.", Cure.STOP),
        (503, "The service is currently unavailable.", Cure.AGAIN),
    ],
)  # fmt: skip
def test_every_refusal_has_its_cure(status: int, words: str, cure: Cure) -> None:
    rule = refusals.rule_for(status, words)
    assert rule.cure is cure
    assert rule.remedy
