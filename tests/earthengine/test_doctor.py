"""`coslide doctor --source earthengine`: every collection and permission of the recipes, all that
is missing at once, and an exit code; and the smoke test of the live service, against the loopback.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from benchmarks.live import main as live
from configs.earthengine import EarthEngineConfig
from earthengine import world
from earthengine.evaluator import Evaluator
from earthengine.loopback import Fault, Loopback
from flows.cli import main
from gee.earthengine import EarthEngineSource, collections


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--json", *arguments])
    assert isinstance(left.value.code, int)
    return left.value.code, json.loads(capsys.readouterr().out)


def states(told: dict[str, Any]) -> dict[str, str]:
    return {one["what"].removeprefix("Earth Engine "): one["state"] for one in told["findings"]}


def test_every_collection_of_the_recipes_is_looked_at(
    loopback: Loopback, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    settings = {"sensor": "landsat-8", "dem": "aw3d30"}
    path = tmp_path / "run.yaml"
    source = {"kind": "earthengine", "earthengine": settings}
    path.write_text(yaml.safe_dump({"format": "coslide/run/1", "source": source}))
    for arguments, config in (
        (("--source", "earthengine"), EarthEngineConfig()),
        (("--config", str(path)), EarthEngineConfig.model_validate(settings)),
    ):
        code, told = doctor(capsys, *arguments)
        assert (code, told["status"]) == (0, "ok")
        assert {one.asset for one in collections.used(config)} <= set(states(told))
        assert set(states(told).values()) == {"ok"}


def test_all_that_is_missing_is_told_at_once(
    loopback: Loopback, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EE_SERVICE_ACCOUNT_KEY")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("COSLIDE_EE_URL", "http://127.0.0.1:9")
    code, told = doctor(capsys, "--source", "earthengine")
    assert (code, told["status"], told["code"]) == (4, "error", 4)
    found = states(told)
    assert [name for name, state in found.items() if state == "missing"] == [
        "credentials",
        "network",
    ]
    for words in ("earthengine authenticate", "HTTPS_PROXY"):
        assert words in told["remedy"]
    assert found["sign-in"] == found["COPERNICUS/S2_HARMONIZED"] == "warn"
    assert all(one["remedy"] for one in told["findings"] if one["state"] != "ok")
    assert doctor(capsys)[0] == 0  # a machine that maps from archives lacks nothing


def test_a_collection_and_a_permission_that_are_missing_do_not_hide_each_other(
    loopback: Loopback, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ("COPERNICUS/S1_GRD_FLOAT/", "USGS/SRTMGL1_003")
    left = [image for image in world.catalogue() if not str(image.id).startswith(gone)]
    monkeypatch.setattr(loopback, "engine", Evaluator(left))
    loopback.faults = [
        Fault(status=403, message="Permission 'earthengine.computations.create' denied", times=9)
    ]
    code, told = doctor(capsys, "--source", "earthengine")
    missing = [name for name, state in states(told).items() if state == "missing"]
    assert (code, missing) == (4, ["pixels", "COPERNICUS/S1_GRD_FLOAT", "USGS/SRTMGL1_003"])


def test_a_remedy_is_told_once_however_much_it_mends(
    loopback: Loopback, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback.faults = [
        Fault(status=403, message="Permission denied on the asset", match="/assets/", times=99)
    ]
    assert_said_once(capsys, len(collections.used(EarthEngineConfig())))
    monkeypatch.delenv("EE_SERVICE_ACCOUNT_KEY")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    assert_said_once(capsys, 4 + len(collections.used(EarthEngineConfig())))


def assert_said_once(capsys: pytest.CaptureFixture[str], mended: int) -> None:
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--source", "earthengine"])
    assert left.value.code == 4
    lines = capsys.readouterr().out.splitlines()
    remedies = [line.partition("→ ")[2] for line in lines if "→" in line]
    assert len(set(remedies)) == len(remedies), remedies
    assert f"for these {mended}: " in remedies[-1]
    wrong = [line for line in lines if line.startswith(("MISSING", "note"))]
    assert len(wrong) >= mended
    assert all(line.partition(": ")[2] for line in wrong), "each line says what failed"


def test_an_image_where_a_collection_was_is_told(
    loopback: Loopback, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told_as = loopback.engine.asset
    monkeypatch.setattr(
        loopback.engine, "asset", lambda name: {**told_as(name), "type": "IMAGE_COLLECTION"}
    )
    code, told = doctor(capsys, "--source", "earthengine")
    wrong = [one for one in told["findings"] if one["state"] == "missing"]
    assert code == 4
    assert [one["what"].rpartition(" ")[2] for one in wrong] == [
        "USGS/SRTMGL1_003",
        "JRC/GSW1_4/GlobalSurfaceWater",
    ]
    assert all("a collection of images now" in one["detail"] for one in wrong)


@pytest.mark.parametrize("source", ["simulated", "archive:nowhere"])
def test_other_sources_can_be_looked_at(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = doctor(capsys, "--source", source)
    assert (code, len(told["findings"])) == ((0, 1) if source == "simulated" else (4, 1))


def test_every_request_carries_the_workload_tag(
    loopback: Loopback, config: EarthEngineConfig
) -> None:
    for tag in ("coslide", "survey-2026"):
        loopback.entries.clear()
        source = EarthEngineSource(config.model_copy(update={"workload_tag": tag}))
        grid = world.AREA.geobox(10)[:32, :32]
        plan = source.plan(world.AREA, grid, world.EVENT, world.WINDOWS, ("post_B4", "dem"))
        source.pull(plan, grid)
        source.elevation(plan, grid, 2)
        asked = [one for one in loopback.entries if ":compute" in one.path]
        assert {one.tag for one in asked} == {tag}


def test_the_smoke_test_is_skipped_in_words_without_credentials(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EE_SERVICE_ACCOUNT_KEY")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    told = CliRunner().invoke(live, [])
    assert told.exit_code == 0
    assert told.output.startswith("skipped: the live service was not asked, no Earth Engine")
    assert not loopback.entries


def test_the_smoke_test_tells_the_cost_before_the_first_pixel(
    loopback: Loopback, tmp_path: Path
) -> None:
    told = CliRunner().invoke(live, ["--radius-km", "1.2", "--out", str(tmp_path), "--cost"])
    assert told.exit_code == 0, told.output
    assert "MB in" in told.output
    assert len(loopback.requests("image:computePixels")) == 1  # the doctor's four pixels
