"""One simulated event, end to end, four ways: as simulated, through the real clients from the
loopback Earth Engine and from the loopback catalogue, and replayed from the archive that `coslide
freeze` made of Earth Engine's. The stacks and the landslides are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from stac import loopback as catalogues
from stac.mirror import mirror as publish

from configs.bands import When
from configs.errors import RequestError
from configs.records import ObservationClass
from configs.stack import Stack
from earthengine.conftest import write_key
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from earthengine.mirror import mirror
from flows.cli import main
from flows.commands.respond import configure
from flows.steps import candidates, open_source, plan_of
from gee.earthengine import disconnect
from gee.source import Plan, Source

ASKED = {
    "epicentre": "42.7,141.95",
    "date": "2021-08-14T12:29",
    "magnitude": "6.6",
    "radius-km": "1.0",
    "name": "quake",
    "pre": "2021-06-20/2021-08-14",
    "post": "2021-08-14/2021-09-20",
    "as-of": "2021-09-21",
    "checkpoint": "sim-tephra",
}
SIMULATED = "simulated:tephra-hills"
NAMES = ("landslides.tif", "probability.tif", "observation.tif")


@dataclass(frozen=True)
class Made:
    """The folders of the four revisions."""

    simulated: Path
    live: Path
    catalogue: Path
    replayed: Path
    archive: Path
    asked_while_replaying: int
    server: Loopback


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(one) for one in arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


def respond(out: Path, *more: object) -> Path:
    options = [word for name, value in ASKED.items() for word in (f"--{name}", value)]
    assert call("respond", *options, "--out", out, "--json", *more) == 0
    return out / "quake" / "r001"


def from_catalogue(source: Source, plan: Plan, folder: Path) -> Path:
    """Return the revision of the same event from a catalogue on the loopback."""
    with catalogues.Loopback() as server:
        publish(source, plan, server)
        settings = {"catalogue": server.url, "scenes_per_tile": 40, "block_px": 256}
        preset = {"format": "coslide/run/1", "source": {"kind": "stac", "stac": settings}}
        (folder / "catalogue.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")
        return respond(folder / "catalogue", "--config", folder / "catalogue.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, private_key: str) -> Iterator[Made]:
    """Return the four revisions; `capsys` is for functions only, so the answer of `freeze` goes
    through a file.
    """
    folder = tmp_path_factory.mktemp("replay")
    simulated = respond(folder / "simulated", "--source", SIMULATED)
    none: Any = dict.fromkeys(("usgs", "shakemap", "area", "config", "out"))
    fields: Any = {name.replace("-", "_"): value for name, value in ASKED.items()}
    numbers: Any = {"magnitude": 6.6, "radius_km": 1.0}
    run = configure(**none, **{**fields, **numbers}, source=SIMULATED)
    source = open_source(run)
    plan = plan_of(run, source, candidates(run, source))
    catalogue = from_catalogue(source, plan, folder)
    assets = mirror(source, plan)
    preset = {
        "format": "coslide/run/1",
        "source": {"kind": "earthengine", "earthengine": {"dem": "glo30"}},
    }
    preset["source"]["earthengine"] |= {"scenes_per_tile": 40, "block_px": 256}  # type: ignore[index]
    (folder / "live.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")
    with Loopback(Evaluator(assets)) as server, pytest.MonkeyPatch.context() as patch:
        write_key(folder / "key.json", private_key, server.url)
        patch.setenv("COSLIDE_EE_URL", server.url)
        patch.setenv("EE_SERVICE_ACCOUNT_KEY", str(folder / "key.json"))
        live = respond(folder / "live", "--config", folder / "live.yaml")
        assert call("freeze", folder / "live" / "quake", "--out", folder / "archive", "--json") == 0
        requested = len(server.entries)
        # With the run file of the live run, as the command's answer says.
        options = (
            "--config",
            live / "run.yaml",
            "--source",
            f"archive:{folder / 'archive'}",
            "--out",
            folder / "again",
        )
        assert call("respond", *options, "--json") == 0
        requested = len(server.entries) - requested
        yield Made(
            simulated,
            live,
            catalogue,
            folder / "again" / "quake" / "r001",
            folder / "archive",
            requested,
            server,
        )
        disconnect()


def inventory(revision: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(revision / "landslides.gpkg", layer="landslides").sort_values(
        "id", ignore_index=True
    )


@pytest.mark.parametrize("source", ["live", "catalogue"])
def test_the_stack_is_the_simulated_one(made: Made, source: str) -> None:
    revisions = (made.simulated, getattr(made, source))
    one, other = (Stack(revision / "stack" / "stack.zarr") for revision in revisions)
    assert set(one.band_names) <= set(other.band_names)
    for when in When:
        np.testing.assert_array_equal(one.observation(when), other.observation(when))
        np.testing.assert_array_equal(one.date(when), other.date(when))
    for name in one.band_names:
        a, b = (np.asarray(stack.group[name][:]).astype(int) for stack in (one, other))
        assert (np.abs(a - b) <= 1).mean() >= 0.999, name


@pytest.mark.parametrize("source", ["live", "catalogue"])
def test_the_inventory_is_the_simulated_one(made: Made, source: str) -> None:
    folder = getattr(made, source)
    one, other = inventory(made.simulated), inventory(folder)
    assert len(one) >= 5, "the place has too few landslides to tell anything"
    assert list(one["id"]) == list(other["id"])
    shared = (
        one.geometry.intersection(other.geometry).area / one.geometry.union(other.geometry).area
    )
    assert shared.min() >= 0.98
    for name in ("landslides.tif", "observation.tif"):
        with rasterio.open(made.simulated / name) as a, rasterio.open(folder / name) as b:
            assert (a.read(1) == b.read(1)).mean() >= 0.999, name


def test_the_archive_replays_the_live_run_bit_for_bit(made: Made) -> None:
    assert made.asked_while_replaying == 0
    one, other = (
        Stack(revision / "stack" / "stack.zarr") for revision in (made.live, made.replayed)
    )
    assert set(one.band_names) == set(other.band_names)
    for name in sorted(one.group.array_keys()):
        np.testing.assert_array_equal(
            np.asarray(one.group[name][:]), np.asarray(other.group[name][:]), err_msg=name
        )
    for name in NAMES:
        with rasterio.open(made.live / name) as a, rasterio.open(made.replayed / name) as b:
            np.testing.assert_array_equal(a.read(1), b.read(1), err_msg=name)
    first, second = inventory(made.live), inventory(made.replayed)
    assert list(first["id"]) == list(second["id"])
    assert (first.geometry.to_wkb() == second.geometry.to_wkb()).all()
    for column in ("area_m2", "probability_mean", "slope_mean_deg", "pre_date", "post_date"):
        assert list(first[column]) == list(second[column]), column


def test_a_run_file_is_pulled_anew_into_the_same_archive(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSLIDE_EE_URL", made.server.url)
    monkeypatch.setenv("EE_SERVICE_ACCOUNT_KEY", str(made.archive.parent / "key.json"))
    assert call("freeze", made.live / "run.yaml", "--out", tmp_path / "anew", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pulled_anew"]
    assert str(tmp_path / "anew") in told["replay"]
    rasters = sorted(path.name for path in made.archive.glob("*.tif"))
    assert rasters == sorted(path.name for path in (tmp_path / "anew").glob("*.tif"))
    for name in rasters:
        with rasterio.open(made.archive / name) as a, rasterio.open(tmp_path / "anew" / name) as b:
            np.testing.assert_array_equal(a.read(1), b.read(1), err_msg=name)


def test_compute_is_told_as_reported_or_unknown(made: Made) -> None:
    account = json.loads((made.live / "provenance.json").read_text())["account"]
    assert account["eecu"] == "unknown"
    assert account["requests"] > 0


@pytest.mark.parametrize(
    ("where", "what", "remedy"),
    [
        ("nowhere", "is no run", "an event's folder"),
        ("simulated/quake", "replays as it is", "--config"),
    ],
)
def test_what_cannot_be_frozen_is_refused(
    made: Made,
    where: str,
    what: str,
    remedy: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("freeze", made.archive.parent / where, "--out", tmp_path / "a", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert what in told["message"]
    assert remedy in told["remedy"]
    assert not (tmp_path / "a").exists()


def test_a_stack_that_is_gone_or_unfinished_is_refused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    revision = tmp_path / "r001"
    revision.mkdir()
    (revision / "run.yaml").write_bytes((made.live / "run.yaml").read_bytes())
    assert call("freeze", revision, "--out", tmp_path / "a", "--json") == 2
    assert "pull anew" in json.loads(capsys.readouterr().out)["remedy"]
    assert call("freeze", made.live, "--out", made.archive, "--json") == 2
    assert "exists" in json.loads(capsys.readouterr().out)["message"]
    assert ObservationClass.CLEAR in Stack(made.live / "stack" / "stack.zarr").observation(
        When.POST
    )


def test_a_run_s_layers_are_added_to_a_geemap_map(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    geemap = pytest.importorskip("geemap", reason="needs coslide[notebook]")
    from flows.notebook import add_run

    board = geemap.Map(ee_initialize=False)
    start = len(board.layers)
    names = add_run(board, made.live)
    assert [name.split(": ")[1] for name in names] == [
        "after the event",
        "observation",
        "probability",
        "landslides",
    ]
    assert len(board.layers) == start + 4
    requested = json.dumps(made.server.maps[-1])
    shown = [
        scene["id"]
        for scene in Stack(made.live / "stack" / "stack.zarr").attributes["scenes"]
        if scene["when"] == "post"
    ]
    assert shown
    assert all(scene in requested for scene in shown), "the image shows other scenes than the run's"
    overlay = board.layers[start + 2]
    (south, west), (north, east) = overlay.bounds
    assert south < 42.7 < north
    assert west < 141.95 < east
    assert len(board.layers[start + 3].data["features"]) == len(inventory(made.live))
    assert "simulated" in add_run(board, made.simulated)[0]
    with pytest.raises(RequestError, match="is no revision"):
        add_run(board, made.archive)


def test_the_pipeline_never_imports_the_notebook_room() -> None:
    root = Path(__file__).parent.parent.parent
    rooms = [
        path
        for name in ("configs", "gee", "tiles", "models", "inventory", "flows")
        for path in (root / name).rglob("*.py")
    ]
    assert len(rooms) > 100
    for path in rooms:
        text = path.read_text(encoding="utf-8")
        others = path.name == "notebook.py"
        assert others or (
            "geemap" not in text and "flows.notebook" not in text and "import notebook" not in text
        ), path
