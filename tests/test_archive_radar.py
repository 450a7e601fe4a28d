"""Backscatter in an archive: decibel or linear power, said and looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_archive import SIDE, write

from configs.area import around
from configs.bands import When
from configs.errors import RequestError
from configs.event import Event, default_windows
from configs.records import ObservationClass
from gee.archive.source import ArchiveSource
from gee.source import Plan

AREA = around(42.70, 142.11, 1.0)
EVENT = Event(name="e", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42.7, longitude=142.11)
WINDOWS = default_windows(EVENT, datetime(2018, 12, 1, tzinfo=UTC), 365, 90)
POWER = np.random.default_rng(3).gamma(4.4, 0.1 / 4.4, (SIDE, SIDE)).astype(np.float32)
DB = (10 * np.log10(POWER)).astype(np.float32)


def planned(
    folder: Path, numbers: np.ndarray[Any, Any], **layer: Any
) -> tuple[ArchiveSource, Plan]:
    folder.mkdir()
    numbers = numbers.copy()
    numbers[40:60, 50:80] = -9999
    write(folder / "vv.tif", numbers, nodata=-9999)
    scene = {
        "id": "pass",
        "acquired": "2018-09-20T08:00",
        "bands": {"VV": {"file": "vv.tif", "resampling": "nearest", **layer}},
    }
    content = {"format": "coslide/archive/1", "sensor": "sentinel-1", "level": "L1C"}
    text = yaml.safe_dump({**content, "scenes": [scene]})
    (folder / "archive.yaml").write_text(text)
    source = ArchiveSource(folder)
    return source, source.plan(AREA, AREA.geobox(10), EVENT, WINDOWS, ("post_VV",))


def test_power_and_decibel_are_the_same_backscatter(tmp_path: Path) -> None:
    found = []
    for name, numbers, layer in (
        ("plain", DB, {}),
        ("said", DB, {"unit": "dB"}),
        ("power", POWER, {"unit": "power"}),
    ):
        source, plan = planned(tmp_path / name, numbers, **layer)
        found.append(source.pull(plan, plan.geobox))
    for pulled in found[1:]:
        np.testing.assert_allclose(
            pulled.bands["post_VV"], found[0].bands["post_VV"], rtol=0, atol=1e-4
        )
        seen = pulled.observation[When.POST]
        np.testing.assert_array_equal(seen, found[0].observation[When.POST])
        assert ObservationClass.NOT_IMAGED in seen
        assert ObservationClass.CLEAR in seen


@pytest.mark.parametrize(
    ("numbers", "layer", "words", "remedy"),
    [
        (POWER, {}, "does not look like decibel", "unit: power"),
        (np.sqrt(POWER), {}, "does not look like decibel", "unit: power"),
        (DB, {"unit": "power"}, "is said to be power and is negative", "unit: dB"),
        (DB, {"unit": "watt"}, "VV is in `watt`", ""),
    ],
)
def test_numbers_that_cannot_be_what_they_are_said_to_be(
    tmp_path: Path, numbers: np.ndarray[Any, Any], layer: dict[str, Any], words: str, remedy: str
) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        planned(tmp_path / "a", numbers, **layer)
    assert remedy in refused.value.remedy


def test_who_says_decibel_is_believed(tmp_path: Path) -> None:
    source, plan = planned(tmp_path / "a", POWER, unit="dB")
    assert float(np.nanmedian(source.pull(plan, plan.geobox).bands["post_VV"])) > 0
