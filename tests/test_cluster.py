"""Beyond one process: the engine changes no pixel, a lost worker costs its shard only, a plain run
knows nothing of Dask.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cards import make_card, save_card
from small_archive import CRS, NORTH, POST, WEST, make_preset, write
from strips import strips_mapped
from worker_tasks import refuse, stumble, who

from benchmarks.dask_workers import Workers
from configs.checkpoint import BandStatistics, CardTiles, Normalisation, TrainingDomain
from configs.errors import MachineError, RequestError, SourceError
from configs.files import sha256
from configs.layout import RunLayout
from configs.records import ObservationClass, silent
from configs.run import ModelConfig, RunConfig, read_run
from configs.stack import CHUNK_PX, Stack
from flows import probability
from flows.probability import map_card
from flows.run import engine, workspace
from flows.run.engine import DaskCluster, Report
from flows.run.shards import check_worker, versions
from flows.strips import shards_of
from gee.observation import Observed
from models.inference.predict import Device
from models.reference import Reference
from models.registry import Checkpoint
from tiles.grid import TileGrid

HEIGHT, WIDTH = 1100, 200
SAME = (
    "landslides.gpkg",
    "landslides.tif",
    "probability.tif",
    "observation.tif",
    "report.html",
    "selection.csv",
)


def _card(folder: Path, mode: Any) -> Checkpoint:
    """Return a checkpoint on disk with an untrained network; `blend` shares tiles between strips,
    `core` does not.
    """
    optical = BandStatistics(minimum=0.0, maximum=0.3, mean=0.12, std=0.04)
    statistics = {band: optical for band in POST if "_B" in band} | {
        "slope": BandStatistics(minimum=0.0, maximum=60.0, mean=15.0, std=8.0),
        "hillshade": BandStatistics(minimum=0.0, maximum=255.0, mean=180.0, std=40.0),
    }
    rng = np.random.default_rng(1)
    values = np.stack(
        [rng.normal(statistics[b].mean, statistics[b].std, 400) for b in POST], axis=1
    )
    block = np.repeat(np.arange(4, dtype=np.int32), 100)
    card = make_card(
        POST,
        name=mode,
        tiles=CardTiles(size=128, mode=mode, halo=32),
        normalisation=Normalisation(method="zscore", statistics=statistics),
        domains=(TrainingDomain(name="here", simulated=False, samples=10),),
        threshold=0.5,
    )
    reference = Reference(
        POST, values.astype(np.float32), block, np.zeros(400, np.int32), ("here",), 5.0
    )
    save_card(card, folder / mode, reference=reference)
    from configs.checkpoint import read_card

    return Checkpoint(folder / mode, read_card(folder / mode))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a long archive (three strips, three blocks), two checkpoints and a
    preset.
    """
    folder = tmp_path_factory.mktemp("ground")
    (folder / "archive").mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: HEIGHT // 3 + 30, : WIDTH // 3 + 30] * 30.0
    heights = (300 + 120 * np.sin(x / 240) + 90 * np.cos(y / 180)).astype(np.float32)
    write(folder / "archive" / "dem.tif", heights, 30.0, nodata=-9999)
    bands = {}
    for band, level in {"B2": 900, "B3": 800, "B4": 700}.items():
        values = level + rng.normal(0, 300, (HEIGHT, WIDTH))
        write(folder / "archive" / f"{band}.tif", np.clip(values, 1, 10_000).astype(np.uint16))
        bands[band] = {"file": f"{band}.tif", "scale": 0.0001, "offset": 0, "nodata": 0}
    scenes = [
        {"id": f"scene-{when}", "acquired": day, "product": "made for a test", "bands": bands}
        for when, day in (("pre", "2018-08-20"), ("post", "2018-09-20"))
    ]
    content = {
        "format": "coslide/archive/1",
        "sensor": "sentinel-2",
        "level": "L1C",
        "resolution_m": 10,
        "scenes": scenes,
        "static": {"dem": {"file": "dem.tif", "nodata": -9999}},
    }
    (folder / "archive" / "archive.yaml").write_text(json.dumps(content))
    for mode in ("blend", "core"):
        _card(folder / "cards", mode)
    # The GPU that a worker offers is none.
    model = {"card_dirs": [str(folder / "cards")], "checkpoint": "blend", "device": "cpu"}
    make_preset(folder / "preset.yaml", folder / "cards", model=model)
    make_preset(folder / "shared.yaml", folder / "cards", model=model, store="s3://shared/coslide")
    return folder


def command(ground: Path, out: Path, *more: str) -> list[str]:
    from pyproj import Transformer

    to_wgs84 = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    corners = to_wgs84.transform_bounds(
        WEST + 50, NORTH - 10 * HEIGHT + 50, WEST + 10 * WIDTH - 50, NORTH - 50
    )
    where = ("--epicentre", "42.70,142.11", "--date", "2018-09-05", "--as-of", "2018-12-01")
    preset, source = str(ground / "preset.yaml"), f"archive:{ground / 'archive'}"
    area = ",".join(f"{side:.6f}" for side in corners)
    options = (
        "--area",
        area,
        "--config",
        preset,
        "--source",
        source,
        "--out",
        str(out),
        "--name",
        "quake",
        "--json",
    )
    return ["respond", *where, *options, *more]


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which every process computes alike: one thread, and the tests'
    modules in reach.
    """
    here = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    path = os.pathsep.join([*filter(None, [here.get("PYTHONPATH")]), str(Path(__file__).parent)])
    return here | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | more


def checksums(out: Path) -> dict[str, str]:
    return {name: sha256(out / "quake" / "r001" / name) for name in SAME}


@pytest.fixture(scope="module")
def plain(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of a plain run, in a process that also tells what it imported."""
    out = tmp_path_factory.mktemp("plain")
    code = (
        "import sys, atexit; from flows.cli import main\n"
        "alien = {'distributed', 'upath', 's3fs', 'prefect'}\n"
        "atexit.register(lambda: print(sorted(alien & set(sys.modules)), file=sys.stderr))\n"
        f"main({command(ground, out)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]", (
        "a plain respond imports neither Dask's cluster nor a store's client"
    )
    return out


class Bucket(NamedTuple):
    """An S3 bucket: the environment in which it is reached, and a client."""

    environment: dict[str, str]
    client: Any

    def holds(self, part: str) -> bool:
        """Return whether the name of an object contains `part`."""
        found = self.client.list_objects_v2(Bucket="shared").get("Contents", ())
        return any(part in one["Key"] for one in found)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """Return the bucket `s3://shared` of a loopback server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    there = {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    import botocore.session

    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=there["AWS_ENDPOINT_URL"],
        aws_access_key_id="tester",
        aws_secret_access_key="not-a-secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="shared")
    yield Bucket(there, client)
    client.close()
    server.stop()


@pytest.fixture(scope="module")
def workers(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Return a scheduler and two workers; the second one offers a GPU it does not have."""
    there = environment(**bucket.environment)
    started = Workers(tmp_path_factory.mktemp("dask"), ("", "GPU=1"), **there)
    yield started
    started.close()


@pytest.mark.slow
def test_gpu_shards_go_to_workers_that_offer_one_and_what_is_hopeless_is_not_tried_again(
    workers: Workers, tmp_path: Path
) -> None:
    with DaskCluster(workers.engine) as dask:
        anywhere = {report.worker for _, report in dask.work(who, range(20), at_once=4)}
        on_gpu = {report.worker for _, report in dask.work(who, range(6), gpu=True)}
        assert len(on_gpu) == 1
        assert on_gpu < anywhere
        assert dask.device("auto") == "cuda"
        assert dask.device("cpu") == "cpu"
        with pytest.raises(RequestError, match="never do") as refused:
            list(dask.work(refuse, [tmp_path / "refused"]))
        assert refused.value.remedy == "Ask for something else."
        assert (tmp_path / "refused").read_text() == "x"
        assert [number for number, _ in dask.work(stumble, [tmp_path / "stumbled"])] == [0]
        assert (tmp_path / "stumbled").read_text() == "xx"


@pytest.mark.slow
def test_a_killed_worker_costs_its_shard_only_and_the_products_are_those_of_a_plain_run(
    ground: Path, plain: Path, workers: Workers, bucket: Bucket, tmp_path: Path
) -> None:
    """Two workers, the stores in an S3 bucket, one worker killed as soon as the first block lies
    there.
    """
    arguments = command(ground, tmp_path / "out", "--engine", workers.engine)
    arguments[arguments.index("--config") + 1] = str(ground / "shared.yaml")
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**bucket.environment),
    )
    while process.poll() is None and not bucket.holds("stack.zarr.blocks/"):
        time.sleep(0.02)
    workers.kill(workers.busy())
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, out + err
    assert json.loads(out)["revision"] == 1
    assert checksums(tmp_path / "out") == checksums(plain)
    layout = RunLayout(tmp_path / "out" / "quake" / "r001")
    provenance = json.loads(layout.provenance.read_text())
    assert (
        provenance["steps"]["map"]["shards"]
        == len(shards_of(TileGrid((HEIGHT, WIDTH), 128, 32, "blend")))
        > 1
    )
    assert layout.pointer.read_text().startswith("s3://shared/coslide/quake/")
    assert not list(layout.scratch.glob("*.zarr"))
    assert (
        "not-a-secret"
        not in out
        + err
        + layout.log.read_text()
        + layout.provenance.read_text()
        + layout.config.read_text()
    )


class HereBackwards:
    """A cluster of this process that works from the last shard to the first."""

    slots = 2

    def device(self, wanted: Device) -> Device:
        return "cpu"

    def work(
        self,
        function: Callable[[Any], Report],
        shards: Sequence[Any],
        *,
        gpu: bool = False,
        at_once: int | None = None,
    ) -> Iterator[tuple[int, Report]]:
        for number in reversed(range(len(shards))):
            yield number, function(shards[number])


@pytest.mark.parametrize("mode", ["blend", "core"])
def test_shards_in_any_order_make_the_pixels_of_one_go_and_do_again_only_what_is_missing(
    ground: Path, plain: Path, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = RunLayout(plain / "quake" / "r001")
    stack, observed = Stack(published.stack), Observed(published.observed, {}, 0, 0)
    from configs.checkpoint import read_card

    found = Checkpoint(ground / "cards" / mode, read_card(ground / "cards" / mode))
    model, clear = ModelConfig(device="cpu"), ObservationClass.CLEAR
    whole = map_card(found, model, stack, observed, clear, tmp_path / "whole.zarr", silent)[:]
    assert np.isfinite(whole).any()
    token = engine._cluster.set(HereBackwards())
    try:
        path = tmp_path / "shards.zarr"
        np.testing.assert_array_equal(
            map_card(found, model, stack, observed, clear, path, silent)[:], whole
        )
        strips = list(probability._markers(path).iterdir())
        (probability._markers(path) / strips[0].name).unlink()
        mapped = strips_mapped(monkeypatch)
        again = map_card(found, model, stack, observed, clear, path, silent)[:]
    finally:
        engine._cluster.reset(token)
    np.testing.assert_array_equal(again, whole)
    assert mapped == [int(strips[0].name)]


@pytest.mark.parametrize("mode", ["core", "blend"])
@pytest.mark.parametrize("height", [1, 511, 513, 5000, 50_000])
def test_shards_are_whole_strips_each_once_and_depend_on_the_grid_alone(
    height: int, mode: Any
) -> None:
    grid = TileGrid((height, 3000), 256, 64, mode, 8)
    shards = shards_of(grid)
    assert [strip for shard in shards for strip in shard] == list(range(grid.strips))
    assert all(grid.strip(shard.start).start % CHUNK_PX == 0 for shard in shards)
    twice = sum(len(grid.rows_of(shard.start - 1)[1]) for shard in shards[1:])
    assert twice <= (len(grid.rows) / 8 if mode == "blend" else 0)


def test_an_engine_is_no_part_of_the_request_and_a_wrong_one_is_refused(
    ground: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows.cli",
            *command(ground, tmp_path, "--engine", "spark://there"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 2
    assert "engine" in json.loads(done.stdout)["message"]


def test_engine_and_store_leave_the_identity_of_a_request_alone(plain: Path) -> None:
    from configs.run import use_engine

    run = read_run(plain / "quake" / "r001" / "run.yaml")
    other = use_engine(run, "dask://10.0.0.7:8786").model_copy(update={"store": "s3://bucket/x"})
    assert other.request_id == run.request_id
    with pytest.raises(RequestError, match="engine"):
        use_engine(run, "dask://")
    with pytest.raises(ValueError, match="store"):
        RunConfig.model_validate({**run.model_dump(), "store": "s3://key:secret@bucket/x"})


def test_a_worker_of_other_versions_or_without_the_store_says_so(tmp_path: Path) -> None:
    check_worker(versions(), tmp_path)
    with pytest.raises(RequestError, match=r"has torch .*, the run 0\.1"):
        check_worker({**versions(), "torch": "0.1"}, tmp_path)
    with pytest.raises(RequestError, match="does not see"):
        check_worker(versions(), tmp_path / "elsewhere")


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.5)
    with (
        DaskCluster("dask://127.0.0.1:9") as dask,
        pytest.raises(MachineError, match="does not answer"),
    ):
        list(dask.work(who, [1]))


def test_a_store_elsewhere_is_proven_used_and_dropped_with_its_stack(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_run(plain / "quake" / "r001" / "run.yaml")
    event = workspace.open_event(tmp_path / "out", "quake")
    layout, _ = workspace.begin(event, run.model_copy(update={"store": str(tmp_path / "store")}))
    assert layout.stack.is_relative_to(tmp_path / "store" / "quake")
    layout.stack.mkdir()
    workspace.publish(event, layout, 1, "latest")
    assert event.revision(1).stack.is_dir(), "a revision finds its stack where it was written"
    workspace.forget(event.revision(1))
    assert not list((tmp_path / "store" / "quake").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot be written"):
        workspace.begin(event, run.model_copy(update={"store": str(tmp_path / "file")}))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with pytest.raises(SourceError, match="s3://nowhere"):
        workspace.begin(event, run.model_copy(update={"store": "s3://nowhere"}))
