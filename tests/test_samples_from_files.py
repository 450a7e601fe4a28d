"""A sample set from what lies in a folder: what is left out is taken from the rasters."""

from __future__ import annotations

from pathlib import Path

from small_archive import NORTH, SIDE, WEST, make_archive

from configs.sampling import SamplingConfig
from flows.learning.samples import plan_of, run_of
from gee.sources import make_source

EVENT = {"name": "valley", "time": "2018-09-05", "latitude": 42.7, "longitude": 142.11}


def test_area_and_resolution_come_from_the_rasters_where_left_out(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive")
    config = SamplingConfig.model_validate(
        {
            "name": "valley",
            "title": "a small valley",
            "run": {
                "event": {**EVENT, "magnitude": 6.6},
                "windows": {"as_of": "2018-12-01"},
                "source": {"kind": "archive", "archive": "archive"},
            },
            "bands": ["pre_B4", "post_B4"],
            "truth": {"kind": "simulated"},
            "licence": "none",
        }
    )
    run = run_of(config, tmp_path)
    geobox = plan_of(config, run, make_source(run.source)).geobox
    assert run.place.origin == "extent of the rasters"
    assert geobox.resolution.x == 10
    west, south, east, north = geobox.boundingbox
    slack = 10  # corners are rounded to a centimetre: the grid may have a pixel more on each side
    for found, meant in ((west, WEST), (north, NORTH)):
        assert abs(found - meant) <= slack
    for found, meant in ((east, WEST + SIDE * 10), (south, NORTH - SIDE * 10)):
        assert abs(found - meant) <= slack
