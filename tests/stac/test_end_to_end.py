"""What follows a first map, from a catalogue on the loopback: the event refreshed, samples of it,
and the same map by workers of a cluster.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import yaml
from shapely import box
from test_cluster import SAME, environment

from benchmarks.dask_workers import Workers
from configs.area import around
from configs.bands import When
from configs.files import sha256
from configs.layout import RunLayout
from configs.records import ObservationClass
from configs.stack import Stack
from flows.cli import main
from flows.learning.samples import make_samples
from stac import world
from stac.earth import publish
from stac.loopback import Loopback

ASKED = (
    *("respond", "--epicentre", "42.70,141.93", "--date", "2018-09-05T18:07", "--name", "quake"),
    *("--radius-km", "1.2", "--pre", "2017-09-01/2018-09-05", "--checkpoint", "index", "--json"),
)
LATER = "S2B_54TXN_20180920_0_L2A"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    with pytest.raises(SystemExit) as left:
        main([str(one) for one in arguments])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert left.value.code == 0, told
    return told


@pytest.fixture
def growing(loopback: Loopback) -> Iterator[Loopback]:
    """Return the server; what a test changes of it is put back."""
    items, files = copy.deepcopy(loopback.items), dict(loopback.files)
    yield loopback
    loopback.items, loopback.files = items, files


def test_an_event_is_refreshed_as_scenes_appear_and_as_one_is_made_anew(
    growing: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--source", f"stac:{growing.url}", "--out", tmp_path, "--set", "keep=all")
    first = call(capsys, *ASKED, *where, "--as-of", "2018-09-16T06:00")
    assert first["observed_fraction"] == pytest.approx(0.5, abs=0.1)
    event = tmp_path / "quake"

    growing.reset()
    asleep = call(capsys, "refresh", event, "--as-of", "2018-09-18T06:00", "--json")
    assert asleep["action"] == "waiting", asleep
    looked = sum(entry.sent for entry in growing.requests())
    assert looked < 0.1 * sum(len(content) for content in growing.files.values())

    second = call(capsys, "refresh", event, "--as-of", "2018-09-21T06:00", "--json")
    assert (second["action"], second["revision"]) == ("refreshed", 2), second
    assert "2018-09-20" in second["reason"]
    one, other = (Stack(RunLayout(event / name).stack) for name in ("r001", "r002"))
    was = one.observation(When.POST) == ObservationClass.CLEAR
    assert 0.3 < was.mean() < 0.7
    np.testing.assert_array_equal(other.date(When.POST)[was], one.date(When.POST)[was])
    assert (other.observation(When.POST) == ObservationClass.CLEAR).mean() > was.mean()

    anew = replace(world.small_pass(LATER), id=LATER.replace("_0_", "_1_"), generation="2025-01-01")
    publish(growing, anew)
    third = call(capsys, "refresh", event, "--as-of", "2018-09-23T06:00", "--json")
    assert (third["action"], third["revision"]) == ("refreshed", 3), third
    used = {scene["id"] for scene in Stack(RunLayout(event / "r003").stack).attributes["scenes"]}
    assert anew.id in used
    assert LATER not in used


def test_samples_are_cut_from_a_catalogue(loopback: Loopback, tmp_path: Path) -> None:
    place = around(*world.CENTRE, 1.2)
    west, south, east, north = place.polygon.bounds
    across, up = np.linspace(west, east, 7)[:-1], np.linspace(south, north, 7)[:-1]
    scars = [box(x, y, x + 0.0012, y + 0.0008) for x in across for y in up]
    gpd.GeoDataFrame(geometry=scars, crs="EPSG:4326").to_file(tmp_path / "slides.gpkg")
    event = {"time": world.EVENT.time.isoformat(), "name": "quake", "magnitude": 6.6}
    event |= {"latitude": world.CENTRE[0], "longitude": world.CENTRE[1]}
    content = {
        "format": "coslide/sampling/1",
        "name": "quake",
        "title": "a quake from a catalogue",
        "run": {
            "event": event,
            "windows": {"pre": "2017-09-01/2018-09-05", "as_of": "2018-12-01"},
            "source": {"kind": "stac", "stac": {"catalogue": loopback.url, "block_px": 256}},
        },
        "radius_km": 1.2,
        "bands": ["pre_B4", "post_B4", "post_B11", "slope"],
        "truth": {"kind": "polygons", "slides": [{"file": "slides.gpkg"}]},
        "split": {"kind": "blocks", "block_px": 64, "guard_px": 8, "shares": [0.6, 0.2, 0.2]},
        "chip_px": 48,
        "stride_px": 24,
        "licence": "made for a test",
    }
    recipe = tmp_path / "quake.yaml"
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    card = make_samples(recipe, tmp_path / "samples").card
    assert card.bands == ("pre_B4", "post_B4", "post_B11", "slope")
    assert (card.origin.level, card.origin.simulated) == ("L2A", False)
    assert 0.01 < card.positive_fraction < 0.5


@pytest.mark.slow
def test_workers_of_a_cluster_make_the_same_map(
    loopback: Loopback,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump(
            {
                "format": "coslide/run/1",
                "source": {"kind": "stac", "stac": {"catalogue": loopback.url, "block_px": 256}},
            }
        )
    )
    asked = (*ASKED, "--as-of", "2018-12-01", "--config", tmp_path / "run.yaml")
    call(capsys, *asked, "--out", tmp_path / "plain")
    plain = usage(tmp_path / "plain")
    workers = Workers(tmp_path / "dask", **environment())
    try:
        call(capsys, *asked, "--out", tmp_path / "shared", "--engine", workers.engine)
    finally:
        workers.close()
    one, other = (tmp_path / place / "quake" / "r001" for place in ("plain", "shared"))
    different = {name for name in SAME if sha256(one / name) != sha256(other / name)}
    assert different <= {"report.html"}, "which tells what a run asked for: each worker opens files"
    shared = usage(tmp_path / "shared")
    assert shared["bytes"] >= plain["bytes"], "what the workers moved is counted"


def usage(out: Path) -> dict[str, Any]:
    provenance = json.loads((out / "quake" / "r001" / "provenance.json").read_text())
    found: dict[str, Any] = provenance["account"]
    return found
