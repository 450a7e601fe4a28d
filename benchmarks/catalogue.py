"""Pulling from a catalogue: coslide and plain odc-stac side by side, on a loopback STAC API with
real GeoTIFFs behind it.

    python -m benchmarks.catalogue [--rounds N] [--peers FOLDER]

2 550 px a side, six bands, two passes of which the first is cloudy over a sixth of the area; the
server is a process of its own and waits 50 ms before every answer. Both make the same image: per
pixel the first clear scene. Every client runs in a fresh process, by turns. odc-stac is no
dependency of coslide: `--peers` names a folder that it was installed into (`pip install --target`).
A loopback measures clients, never a public catalogue.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from configs.area import around

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

BANDS: Final = ("B2", "B3", "B4", "B8", "B11", "B12")
KEYS: Final = ("blue", "green", "red", "nir", "swir16", "swir22", "scl")
LATENCY_S: Final = 0.05
SIDE_M: Final = 30_000
CLEAR: Final = (2, 4, 5, 6, 7)
AREA: Final = around(42.70, 141.93, 12.75)
GRID: Final = AREA.geobox(10)


def serve(tell: Any, done: Any) -> None:
    """Serve two passes until told to stop; then tell what was asked for."""
    from stac import earth, world
    from stac.loopback import Loopback

    with Loopback() as server:
        grid = world.grid_around(world.CRS, SIDE_M)
        size = int(grid.shape[0])
        random = np.random.default_rng(0)
        fields = random.uniform(0.02, 0.32, (size // 8 + 1, size // 8 + 1))
        ground = np.kron(fields, np.ones((8, 8)))[:size, :size]
        bands = {name: ground + random.normal(0, 0.004, (size, size)) for name in BANDS}
        for number in range(2):
            classes = np.full((size, size), 4, np.uint8)
            if number == 0:
                classes[: size // 3, : size // 2] = 9
            moment = datetime(2018, 9, 10, 1, 20, tzinfo=UTC) + timedelta(days=5 * number)
            one = earth.Pass(f"P{number}", moment, grid, bands, classes, 17.0, block_px=1024)
            earth.publish(server, one)
        server.latency_s = LATENCY_S
        tell.put(server.url)
        while done.get():
            asked = server.requests()
            tell.put((len(asked), sum(entry.sent for entry in asked) / 1e6))
            server.reset()
            server.latency_s = LATENCY_S


def coslide(url: str, tell: Any) -> None:
    """Pull as a run does, to disk."""
    from stac import world

    from configs.stac import StacConfig
    from gee.stac import StacSource
    from gee.stack import assemble

    names = tuple(f"post_{name}" for name in BANDS)
    start = time.monotonic()
    source = StacSource(StacConfig(catalogue=url))
    plan = source.plan(AREA, GRID, world.EVENT, world.WINDOWS, names)
    with tempfile.TemporaryDirectory() as folder:
        assemble(source, plan, names, Path(folder) / "stack.zarr")
    tell.put((time.monotonic() - start, _peak_mb()))


def odc_stac(url: str, tell: Any) -> None:
    """Load with odc-stac at its documented settings for cloud files, into memory."""
    import dask
    import odc.stac
    from pystac_client import Client

    start = time.monotonic()
    odc.stac.configure_rio(cloud_defaults=True)
    days = "2018-09-05/2018-11-30"
    search = Client.open(url).search(
        collections=["sentinel-2-l2a"], bbox=AREA.polygon.bounds, datetime=days
    )
    settings = {"chunks": {"x": 1024, "y": 1024}, "resampling": "nearest", "groupby": "id"}
    with dask.config.set(scheduler="threads", num_workers=8):
        loaded = odc.stac.load(list(search.items()), bands=KEYS, geobox=GRID, **settings).load()
    first = np.argmax(np.isin(loaded["scl"].values, CLEAR), axis=0)[None]
    for key in KEYS:
        np.take_along_axis(loaded[key].values, first, 0)
    tell.put((time.monotonic() - start, _peak_mb()))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str]) -> None:
    """Measure, and print one JSON line a client."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path)
    options = parser.parse_args(arguments)
    if options.peers:
        sys.path.insert(0, str(options.peers))
    clients = (coslide, *((odc_stac,) if options.peers else ()))
    context = multiprocessing.get_context("spawn")
    tell, done, told = context.Queue(), context.Queue(), context.Queue()
    server = context.Process(target=serve, args=(tell, done), daemon=True)
    server.start()
    url = tell.get()
    rows: dict[str, list[tuple[float, ...]]] = {client.__name__: [] for client in clients}
    for _ in range(options.rounds):
        for client in clients:
            process = context.Process(target=client, args=(url, told))
            process.start()
            process.join()
            done.put(True)
            rows[client.__name__].append((*told.get(timeout=5), *tell.get()))
    done.put(False)
    server.join()
    for name, measured in rows.items():
        middle = [round(statistics.median(column), 1) for column in zip(*measured, strict=True)]
        names = ("seconds", "peak_mb", "requests", "megabytes")
        print(json.dumps({"client": name, **dict(zip(names, middle, strict=True))}))


if __name__ == "__main__":
    main(sys.argv[1:])
