"""Cards that require radar alone: they see where radar saw, whatever the cloud did to the optical
bands beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from affine import Affine
from cards import make_card
from fake_source import an_event
from odc.geo.geobox import GeoBox
from pydantic import ValidationError
from small_archive import CRS, NORTH, SIDE, WEST, write

from configs.area import Area
from configs.bands import When
from configs.event import default_windows
from configs.records import ObservationClass, Requires
from configs.sampling import SamplingConfig
from configs.stack import Stack
from gee.archive import ArchiveSource
from gee.observation import observe
from gee.stack import assemble
from models.selection.ranking import observed
from tiles.samples import SampleCard

BANDS = ("post_B4", "post_VV", "post_VH")
EVENT = an_event(42.70, 142.11)
GRID = GeoBox((SIDE, SIDE), Affine(10, 0, WEST, 0, -10, NORTH), CRS)
AREA = Area(GRID.geographic_extent.geom, "all of it")
WINDOWS = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 200, 80)
SQUARE = slice(100, 160)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return the stack of an archive with an optical and a radar scene: a cloud, a gap of each, and
    a lake.
    """
    folder = tmp_path_factory.mktemp("radar")
    optical, classes = np.full((SIDE, SIDE), 1500, np.uint16), np.full((SIDE, SIDE), 1, np.uint8)
    classes[SQUARE, SQUARE] = 2
    optical[170:180, SQUARE] = 0
    classes[190:200, SQUARE] = 5
    echo = np.full((SIDE, SIDE), -9.5, np.float32)
    echo[205:215, SQUARE] = np.nan
    write(folder / "b4.tif", optical)
    write(folder / "classes.tif", classes)
    for name in ("vv", "vh"):
        write(folder / f"{name}.tif", echo, nodata=float("nan"))
    manifest = {
        "format": "coslide/archive/1",
        "sensor": "sentinel-2",
        "level": "L1C",
        "resolution_m": 10,
        "scenes": [
            {
                "id": "s2",
                "acquired": "2018-09-20",
                "bands": {"B4": {"file": "b4.tif", "scale": 1e-4, "nodata": 0}},
                "cloud_mask": {"file": "classes.tif", "clear": [1], "cloud": [2], "water": [5]},
            },
            {
                "id": "s1",
                "acquired": "2018-09-12",
                "bands": {"VV": {"file": "vv.tif"}, "VH": {"file": "vh.tif"}},
            },
        ],
    }
    (folder / "archive.yaml").write_text(yaml.safe_dump(manifest))
    source = ArchiveSource(folder)
    assert not any("no cloud mask" in line for line in source.offer().warnings)
    plan = source.plan(AREA, GRID, EVENT, WINDOWS, BANDS)
    assert {scene.id for scene in plan.scenes} == {"s1", "s2"}
    return assemble(source, plan, BANDS, folder / "stack.zarr")


def seen(
    stack: Stack, tmp_path: Path, bands: tuple[str, ...], requires: Requires
) -> dict[ObservationClass, int]:
    found = observe(stack, bands, AREA, tmp_path / f"{requires}.zarr", requires=requires)
    assert sum(found.counts.values()) == found.area_px
    if requires is Requires.CLEAR:
        assert found.radar_only_px == 0
    assert bool(found.warnings) == bool(found.radar_only_px)
    return found.counts | {ObservationClass.NO_PRE: found.radar_only_px}


def test_radar_looks_through_cloud_and_gaps_but_not_behind_its_own(
    stack: Stack, tmp_path: Path
) -> None:
    strict = seen(stack, tmp_path, BANDS, Requires.CLEAR)
    wide = seen(stack, tmp_path, BANDS, Requires.RADAR)
    cloud, gap, lake, blind = 60 * 60, 10 * 60, 10 * 60, 10 * 60
    assert strict[ObservationClass.CLOUD] == cloud
    assert strict[ObservationClass.WATER] == wide[ObservationClass.WATER] == lake
    assert wide[ObservationClass.CLOUD] == 0
    assert wide[ObservationClass.NOT_IMAGED] == strict[ObservationClass.NOT_IMAGED] - gap
    assert strict[ObservationClass.NOT_IMAGED] >= gap + blind
    assert wide[ObservationClass.CLEAR] == strict[ObservationClass.CLEAR] + cloud + gap
    assert wide[ObservationClass.NO_PRE] == cloud + gap  # told apart: seen by radar alone


def test_the_optical_values_under_cloud_are_given_as_they_are(stack: Stack) -> None:
    assert np.isfinite(
        stack.read("post_B4")[stack.observation(When.POST) == ObservationClass.CLOUD]
    ).all()
    assert np.isnan(stack.read("post_B4")).any()


def test_only_cards_and_samples_with_radar_may_require_it() -> None:
    assert make_card(BANDS).requires is Requires.CLEAR
    assert make_card(BANDS, requires="radar").requires is Requires.RADAR
    with pytest.raises(ValidationError, match="VV or VH"):
        make_card(("post_B4",), requires="radar")
    content = {
        "name": "a",
        "title": "a",
        "run": {
            "event": {"name": "a", "time": "2018-09-05", "latitude": 42.7, "longitude": 142.1},
            "source": {"kind": "simulated"},
        },
        "bands": ["post_B4"],
        "requires": "radar",
        "truth": {"kind": "simulated"},
        "licence": "none",
    }
    with pytest.raises(ValidationError, match="VV or VH"):
        SamplingConfig.model_validate(content)
    assert (
        SampleCard.model_fields["requires"].default is Requires.CLEAR
    )  # older sets are of clear pixels


def test_a_scene_is_compared_with_such_a_card_where_radar_saw(stack: Stack) -> None:

    rows, columns = slice(0, stack.shape[0]), slice(0, stack.shape[1])
    clear = observed(stack, None, False, Requires.CLEAR)(rows, columns)
    radar = observed(stack, None, False, Requires.RADAR)(rows, columns)
    assert (clear <= radar).all()
    assert radar.sum() > clear.sum() + 3000
