"""The first questions: small, split where they are refused, and never asked unchanged."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from configs.bands import When
from configs.earthengine import EarthEngineConfig
from configs.event import DateRange
from configs.records import ObservationClass
from earthengine import world
from earthengine.conftest import ROWS, write_key
from earthengine.crowd import CROWDED, MOST_AGGREGATIONS, Crowded, many_scenes
from earthengine.evaluator import Evaluator
from earthengine.loopback import Fault, Loopback
from earthengine.pictures import Image, Raster, asset
from gee.earthengine import EarthEngineSource, optical, refusals
from gee.earthengine.refusals import Cure

BANDS = ("pre_B4", "post_B4")
GRID = world.AREA.geobox(10)


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


FIRST_HOURS = "20180915T012000_T54TXN"


def first_hours(*, older: bool) -> list[Image]:
    """Return the small Earth on which one scene after the event has no cloud product yet, but its
    own masks: cloud in the northern half, snow at its foot; or, of an older kind, QA60.
    """
    kept = [one for one in world.catalogue() if one.properties["system:index"] != FIRST_HOURS]
    (scene,) = [
        one for one in world.catalogue() if str(one.id) == f"COPERNICUS/S2_HARMONIZED/{FIRST_HOURS}"
    ]
    size, affine = world.lattice(60)
    rows = np.broadcast_to(np.arange(size)[:, None], (size, size))
    said = np.full((size, size), 0.0 if older else 1.0)
    masks = {
        "MSK_CLASSI_OPAQUE": Raster((rows < size // 2).astype("uint8"), world.CRS, affine, said),
        "MSK_CLASSI_CIRRUS": Raster(np.zeros((size, size), "uint8"), world.CRS, affine, said),
        "MSK_CLASSI_SNOW_ICE": Raster(
            (rows >= size // 2 + 5).astype("uint8"), world.CRS, affine, said
        ),
        "QA60": Raster(
            np.where(rows < size // 2, 1 << 10, 0).astype("uint16"), world.CRS, affine, 1 - said
        ),
    }
    beside = asset(str(scene.id), masks, scene.properties)
    return [*kept, scene.with_bands([*scene.bands, *beside.bands])]


@pytest.mark.parametrize("older", [False, True])
def test_a_scene_without_any_cloud_product_is_judged_by_its_own_masks(
    loopback: Loopback,
    config: EarthEngineConfig,
    older: bool,
    tmp_path: Path,
    private_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days = DateRange(first=date(2018, 9, 5), last=date(2018, 9, 16))
    early = world.WINDOWS.model_copy(update={"post": days})
    with Loopback(Evaluator(first_hours(older=older))) as fresh:
        monkeypatch.setenv("COSLIDE_EE_URL", fresh.url)
        write_key(tmp_path / "key.json", private_key, fresh.url)
        source = EarthEngineSource(config)
        plan = source.plan(world.AREA, GRID, world.EVENT, early, ("post_B4",))
        seen = source.pull(plan, GRID).observation[When.POST]
    (facts,) = plan.details["scenes"].values()
    assert facts["clouds"] == optical.OWN_MASKS
    _, top = world.origin()
    down = top - (GRID.affine.f - 10 * (np.arange(GRID.shape[0]) + 0.5))
    land = seen != ObservationClass.WATER
    for rows, expected in (
        (down < world.SIDE_M / 2, ObservationClass.CLOUD),
        (
            (down >= world.SIDE_M / 2 + 300),
            ObservationClass.CLEAR if older else ObservationClass.SNOW,
        ),
    ):
        assert rows.any()
        assert (seen[rows][land[rows]] == expected).all()


@pytest.mark.faults
@pytest.mark.parametrize("count", [360, 1000])
@pytest.mark.parametrize("others", [0, 3])
def test_the_first_question_of_a_large_event_stays_small(
    loopback: Loopback,
    config: EarthEngineConfig,
    count: int,
    others: int,
    tmp_path: Path,
    private_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else's aggregations leave no room at first, and then `others` of them little."""
    few = config.model_copy(update={"scenes_per_tile": 4})
    crowded = Crowded(Evaluator(many_scenes(count)))
    if others:
        crowded.busy, crowded.leaving = MOST_AGGREGATIONS, MOST_AGGREGATIONS - others
    with Loopback(crowded) as there:
        monkeypatch.setenv("COSLIDE_EE_URL", there.url)
        write_key(tmp_path / "key.json", private_key, there.url)
        source = EarthEngineSource(few)
        start = time.monotonic()
        plan = source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)
        asked = len(there.requests("value:compute"))
        seconds = time.monotonic() - start
    name = f"{count} scenes, {others} aggregations of others"
    counts = (asked, crowded.refused, source.account["tried_again"], source.account["split"])
    ROWS.append((name, "plan complete", *map(str, counts), f"{seconds:.1f}"))
    assert crowded.peak <= MOST_AGGREGATIONS
    assert bool(crowded.refused) == bool(others)
    assert crowded.largest < 20_000
    assert asked < count / 4
    assert len(plan.scenes) == 9 * 2 * few.scenes_per_tile
    assert all(scene.clear_fraction == 1.0 for scene in plan.scenes)
