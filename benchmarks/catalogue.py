"""Pulling from a catalogue: coslide and plain odc-stac side by side, on a loopback STAC API with
real GeoTIFFs behind it.

    python -m benchmarks.catalogue [--write] [--rounds N]

Six bands of two passes, of which the first is cloudy over a sixth of the ground; the server is a
process of its own and waits 50 ms before every answer. All make the same image: per pixel the
first clear scene. Every client runs in a fresh process, by turns. odc-stac is no dependency of
coslide: `make verify-catalogue` puts it into a folder of its own. A loopback measures clients,
never a public catalogue.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.area import Area

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

BANDS: Final = ("B2", "B3", "B4", "B8", "B11", "B12")
KEYS: Final = ("blue", "green", "red", "nir", "swir16", "swir22")
SIDES: Final = (2560, 5120, 7680)
LATENCY_S: Final = 0.05
SIDE_M: Final = 78_000
CLEAR: Final = (2, 4, 5, 6, 7)
DAYS: Final = "2018-09-05/2018-11-30"
Measured = tuple[float, ...]
"""Seconds, CPU seconds, MB before, MB at most, requests, MB moved."""


class Bands(Mapping[str, NDArray[np.float32]]):
    """Reflectances of the ground, made when they are looked at: all at once are gigabytes."""

    def __init__(self, ground: NDArray[np.float32]) -> None:
        self._ground = ground

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        noise = np.random.default_rng(BANDS.index(name)).standard_normal(
            self._ground.shape, dtype=np.float32
        )
        return self._ground + np.float32(0.004) * noise

    def __iter__(self) -> Iterator[str]:
        return iter(BANDS)

    def __len__(self) -> int:
        return len(BANDS)


def grid(side: int) -> GeoBox:
    """Return the middle of the ground, so many pixels of 10 m a side."""
    from stac import world

    whole = world.grid_around(world.CRS, SIDE_M)
    margin = (int(whole.shape[0]) - side) // 2
    return GeoBox((side, side), whole.affine @ Affine.translation(margin, margin), whole.crs)


def serve(tell: Any, done: Any) -> None:
    """Serve two passes until told to stop; tell what was asked for whenever asked."""
    from stac import earth, world
    from stac.loopback import Loopback

    with Loopback() as server:
        whole = world.grid_around(world.CRS, SIDE_M)
        size = int(whole.shape[0])
        fields = np.random.default_rng(0).uniform(0.02, 0.32, (size // 8 + 1, size // 8 + 1))
        ground = np.kron(fields, np.ones((8, 8)))[:size, :size].astype(np.float32)
        clear = np.full((size, size), 4, np.uint8)
        cloudy = clear.copy()
        cloudy[: size // 3, : size // 2] = 9
        moment = datetime(2018, 9, 10, 1, 20, tzinfo=UTC)
        first = earth.Pass("P0", moment, whole, Bands(ground), cloudy, 17.0, block_px=1024)
        later = replace(
            first, id="P1", acquired=moment + timedelta(days=5), bands={}, classes=clear
        )
        shown = earth.publish(server, first)["assets"]
        beside = earth.publish(server, later)["assets"]
        for key in shown.keys() - beside.keys():  # the same ground: files made once
            path = shown[key]["href"].replace("P0", "P1")
            server.files[path] = server.files[shown[key]["href"]]
            beside[key] = {**shown[key], "href": path}
        tell.put(server.url)
        while done.get():
            asked = server.requests()
            tell.put((len(asked), sum(entry.sent for entry in asked) / 1e6))
            server.reset()
            server.latency_s = LATENCY_S


def coslide(url: str, side: int, tell: Any) -> None:
    """Pull as a run does, to disk."""
    from stac import world

    from configs.stac import StacConfig
    from gee.stac import StacSource
    from gee.stack import assemble

    names = tuple(f"post_{name}" for name in BANDS)
    geobox = grid(side)
    area = Area(geobox.geographic_extent.geom, "bench")
    with tempfile.TemporaryDirectory() as folder, _measured(tell):
        source = StacSource(StacConfig(catalogue=url))
        plan = source.plan(area, geobox, world.EVENT, world.WINDOWS, names)
        assemble(source, plan, names, Path(folder) / "stack.zarr")


def _lazily(url: str, side: int) -> Any:
    """Return the image as odc-stac has it, nothing of it read yet, at its documented settings for
    files in the cloud.
    """
    import odc.stac
    import xarray
    from pystac_client import Client

    odc.stac.configure_rio(cloud_defaults=True)
    geobox = grid(side)
    search = Client.open(url).search(
        collections=["sentinel-2-l2a"], bbox=geobox.geographic_extent.geom.bounds, datetime=DAYS
    )
    settings = {"chunks": {"x": 1024, "y": 1024}, "resampling": "nearest", "groupby": "id"}
    loaded = odc.stac.load(list(search.items()), bands=[*KEYS, "scl"], geobox=geobox, **settings)
    clear = loaded["scl"].isin(CLEAR)
    image = loaded[list(KEYS)].isel(time=-1)
    for place in range(loaded.sizes["time"] - 2, -1, -1):
        image = xarray.where(  # type: ignore[no-untyped-call]
            clear.isel(time=place), loaded[list(KEYS)].isel(time=place), image, keep_attrs=True
        )
    return image


def odc_stac_to_disk(url: str, side: int, tell: Any) -> None:
    """Write chunk by chunk into Zarr, as coslide does."""
    import dask

    with (
        tempfile.TemporaryDirectory() as folder,
        dask.config.set(scheduler="threads", num_workers=8),
        _measured(tell),
    ):
        image = _lazily(url, side).drop_vars("time", errors="ignore")
        image.to_zarr(Path(folder) / "image.zarr", zarr_format=3, consolidated=False)


def odc_stac_in_memory(url: str, side: int, tell: Any) -> None:
    """Load whole, as its examples do."""
    import dask

    with dask.config.set(scheduler="threads", num_workers=8), _measured(tell):
        _lazily(url, side).load()


class _measured:
    """Tells what its body took: seconds, CPU seconds, MB before it and at most."""

    def __init__(self, tell: Any) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        self._before, self._cpu, self._start = _peak_mb(), time.process_time(), time.monotonic()

    def __exit__(self, *_: object) -> None:
        seconds, cpu = time.monotonic() - self._start, time.process_time() - self._cpu
        self._tell.put((seconds, cpu, self._before, _peak_mb()))


def _peak_mb() -> float:
    """Return the most memory that this process held; what `getrusage` tells is its parent's
    too.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


Puller = Callable[[str, int, Any], None]
CLIENTS: Final[tuple[Puller, ...]] = (coslide, odc_stac_to_disk, odc_stac_in_memory)


def measure(rounds: int, clients: tuple[Puller, ...]) -> dict[tuple[str, int], list[Measured]]:
    """Return every round of every client and size."""
    context = multiprocessing.get_context("spawn")
    tell, done, told = context.Queue(), context.Queue(), context.Queue()
    server = context.Process(target=serve, args=(tell, done), daemon=True)
    server.start()
    url = tell.get()
    rows: dict[tuple[str, int], list[Measured]] = {}
    for _ in range(rounds):
        for side in SIDES:
            for client in clients:
                done.put(True)  # what was asked before is forgotten
                tell.get()
                process = context.Process(target=client, args=(url, side, told))
                process.start()
                process.join()
                done.put(True)
                row = (*told.get(timeout=5), *tell.get())
                rows.setdefault((client.__name__, side), []).append(row)
                print(client.__name__, side, [round(value, 1) for value in row], flush=True)
    done.put(False)
    server.join()
    return rows


def table(rows: Mapping[tuple[str, int], list[Measured]]) -> str:
    """Return medians as Markdown."""
    lines = [
        "| client | px a side | requests | MB | seconds | CPU s | MB of memory before | at most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, side), measured in sorted(rows.items()):
        seconds, cpu, before, peak, requests, moved = (
            statistics.median(column) for column in zip(*measured, strict=True)
        )
        times = sorted(row[0] for row in measured)
        lines.append(
            f"| {name.replace('_', ' ')} | {side} | {requests:.0f} | {moved:.1f} | {seconds:.1f} "
            f"({times[0]:.1f}-{times[-1]:.1f}) | {cpu:.1f} | {before:.0f} | {peak:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    beside = importlib.util.find_spec("odc.stac") is not None
    loads = [os.getloadavg()[0]]
    rows = measure(options.rounds, CLIENTS if beside else CLIENTS[:1])
    loads.append(os.getloadavg()[0])
    print(table(rows))
    if options.write and beside:
        from benchmarks.results import fill  # imports torch, which no client has

        fill(
            "catalogue",
            table=table(rows),
            version=version("odc-stac"),
            rounds=str(options.rounds),
            load=f"{min(loads):.0f} to {max(loads):.0f}",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
