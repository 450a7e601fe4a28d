"""`coslide respond --source stac:…` on the loopback: from the catalogue to the products, the dry
run, and a folder as a catalogue.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from configs.area import around
from configs.bands import When
from configs.stac import StacConfig
from flows.cli import main
from gee.archive import ArchiveSource
from gee.freeze import freeze
from gee.stac import StacSource
from gee.stack import assemble
from stac import world
from stac.folder import write_catalogue
from stac.loopback import Loopback

ASKED = (
    *("respond", "--epicentre", "42.70,141.93", "--date", "2018-09-05T18:07"),
    *("--radius-km", "1.2", "--as-of", "2018-12-01"),
    *("--pre", "2017-09-01/2018-09-05", "--post", "2018-09-05/2018-11-30", "--json"),
)


def told(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    with pytest.raises(SystemExit) as left:
        main([*ASKED, *arguments])
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    assert left.value.code == answer.get("code", 0), answer
    return answer


def test_it_maps(loopback: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = told(
        ("--source", f"stac:{loopback.url}", "--out", str(tmp_path), "--name", "quake"), capsys
    )
    assert answer["status"] == "ok", answer
    assert answer["observed_fraction"] == pytest.approx(1.0, abs=0.01)
    provenance = json.loads((tmp_path / "quake/r001/provenance.json").read_text())
    details = provenance["source"]["details"]
    assert details["catalogue"] == loopback.url
    lying = details["scenes"]["S2B_54TXN_20180915_0_L2A"]
    assert lying["offset"] == 0.0
    assert "pixels" in lying["offset_by"]


def test_a_dry_run_reads_overviews_alone(
    loopback: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = told(("--source", f"stac:{loopback.url}", "--out", str(tmp_path), "--dry-run"), capsys)
    named = {scene["id"]: scene for scene in answer["scenes"]}  # type: ignore[attr-defined]
    assert "S2B_54TXN_20181010_0_L2A" in named
    assert "S2B_54TXN_20181205_0_L2A" not in named  # after --as-of
    assert named["S2B_54TXN_20180915_0_L2A"]["clear_fraction"] == pytest.approx(0.5, abs=0.1)
    assert answer["requests"] > 10  # type: ignore[operator]
    assert 0.1 < answer["megabytes"] < 100  # type: ignore[operator]
    whole = sum(len(content) for content in loopback.files.values())
    assert sum(entry.sent for entry in loopback.requests()) < whole / 2


def test_a_plan_tells_what_a_pull_moves(loopback: Loopback, tmp_path: Path) -> None:
    """The numbers of the guide (docs/stac.md), within what another library's compression does."""
    bands = tuple(f"{when}_{name}" for when in When for name in world.BANDS)
    area = around(*world.CENTRE, 3.0)
    source = StacSource(StacConfig(catalogue=loopback.url, workers=2, requests=4))
    wanted = (*bands, "dem", "slope")
    plan = source.plan(area, area.geobox(10), world.EVENT, world.WINDOWS, wanted)
    looked = sum(entry.sent for entry in loopback.requests())
    assemble(source, plan, wanted, tmp_path / "stack.zarr")
    moved = sum(entry.sent for entry in loopback.requests()) - looked
    whole = sum(len(content) for content in loopback.files.values())
    assert len(plan.scenes) == 6
    told = plan.megabytes * 1e6
    assert np.allclose([whole, looked, told, moved], [27.9e6, 3.7e6, 14.1e6, 9.8e6], rtol=0.1)
    usage = source.usage()
    assert usage["bytes"] == looked + moved
    assert usage["requests"] <= 50 + plan.requests


def test_a_folder_is_a_catalogue(loopback: Loopback, tmp_path: Path) -> None:
    """A static catalogue gives the same pixels as the API, and nothing is asked of the network."""
    write_catalogue(loopback, tmp_path / "catalogue")
    bands = ("pre_B4", "post_B4", "post_B11", "dem", "slope")
    grid = world.AREA.geobox(10)
    stacks = []
    for place in (loopback.url, str(tmp_path / "catalogue")):
        source = StacSource(StacConfig(catalogue=place, block_px=256, workers=2, requests=4))
        plan = source.plan(world.AREA, grid, world.EVENT, world.WINDOWS, bands)
        stacks.append(assemble(source, plan, bands, tmp_path / f"{len(stacks)}.zarr"))
    one, other = stacks
    for name in one.group.array_keys():
        assert (one.group[name][:] == other.group[name][:]).all(), name


def test_the_archive_replays_the_catalogue(
    loopback: Loopback, config: StacConfig, tmp_path: Path
) -> None:
    bands = ("pre_B4", "post_B4", "post_B11", "dem", "slope")
    grid = world.AREA.geobox(10)
    live = StacSource(config)
    plan = live.plan(world.AREA, grid, world.EVENT, world.WINDOWS, bands)
    original = assemble(live, plan, bands, tmp_path / "live.zarr")
    freeze(live, plan, tmp_path / "frozen", stack=original)
    before = len(loopback.entries)
    archive = ArchiveSource(tmp_path / "frozen")
    again = archive.plan(world.AREA, grid, world.EVENT, world.WINDOWS, bands)
    replayed = assemble(archive, again, bands, tmp_path / "replayed.zarr")
    assert len(loopback.entries) == before
    for name in original.group.array_keys():
        assert (original.group[name][:] == replayed.group[name][:]).all(), name


def test_what_is_no_catalogue_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = told(("--source", f"stac:{tmp_path / 'nowhere'}", "--out", str(tmp_path)), capsys)
    assert answer["code"] == 2
    assert "no catalogue" in str(answer["message"])
    (tmp_path / "catalog.json").write_text("[1, 2]")
    answer = told(("--source", f"stac:{tmp_path}", "--out", str(tmp_path)), capsys)
    assert answer["code"] == 2
    answer = told(("--source", "stac:http://example.org/stac", "--out", str(tmp_path)), capsys)
    assert answer["code"] == 2
    assert "https" in str(answer["message"])
