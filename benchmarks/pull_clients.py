"""The clients of the pull benchmark, one a process: `python -m benchmarks.pull_clients CLIENT SIDE
WORKERS`.

Each is prepared first (imports, signing in), then timed from the scene's id to its pixels on disk.
xee and geedim cannot share an environment with coslide's pins: they run under the interpreter of
their own (``make verify-pull`` makes it).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from affine import Affine

from benchmarks.pull_server import BANDS, CRS, MOMENT_MS, ORIGIN, SCENE

Pull = Callable[[Path], None]
TRANSFORM = (10.0, 0.0, ORIGIN[0], 0.0, -10.0, ORIGIN[1])


def coslide(side: int, workers: int) -> Pull:
    """As a run pulls: into the stack's Zarr, with a checksum and a marker a block; defaults."""
    from odc.geo.geobox import GeoBox

    from configs.area import Area
    from configs.bands import When
    from configs.earthengine import EarthEngineConfig
    from configs.event import DateRange, Event, Windows
    from configs.records import Scene
    from gee.earthengine import EarthEngineSource, connect, planning
    from gee.earthengine.scenes import Checkpoint
    from gee.stack import assemble

    grid = GeoBox((side, side), Affine(*TRANSFORM), CRS)
    day = datetime.fromtimestamp(MOMENT_MS / 1000, UTC)
    days = DateRange(first=day.date(), last=day.date())
    event = Event(name="bench", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42, longitude=141)
    names = tuple(f"post_{band}" for band in BANDS)
    area = Area(grid.geographic_extent.geom, "bench")
    config = EarthEngineConfig(workers=workers)
    source = EarthEngineSource(config)
    scene = Scene(SCENE, When.POST, day, "COPERNICUS/S2_HARMONIZED")
    found = Checkpoint(scene, area.polygon, "54TWN", {"clouds": "cloud-score-plus", "scl": False})
    want = planning.wanted(names, source.offer())
    windows = Windows(pre=days, post=days, as_of=day)
    plan = planning.plan_of(
        planning.Chosen((found,), {}), want, names, grid, area, event, windows, config, None
    )
    connect(config)

    def pull(folder: Path) -> None:
        assemble(source, plan, names, folder / "stack.zarr")

    return pull


def xee(side: int, workers: int) -> Pull:
    """Its README's way: open lazily with Dask chunks, write Zarr; a thread for each of the quota's
    requests, 512 px a request.
    """
    import dask
    import ee
    import xarray

    _sign_in()

    def pull(folder: Path) -> None:
        dask.config.set(scheduler="threads", num_workers=workers)
        data = xarray.open_dataset(
            ee.ImageCollection([ee.Image(SCENE).select(list(BANDS))]),
            engine="ee",
            crs=CRS,
            crs_transform=TRANSFORM,
            shape_2d=(side, side),
            fast_time_slicing=True,
            chunks={"time": 1, "x": 512, "y": 512},
            io_chunks={"time": 1, "x": 512, "y": 512},
            executor_kwargs={"max_workers": workers},
        )
        data.to_zarr(folder / "xee.zarr", zarr_format=3, consolidated=False)

    return pull


def geedim(side: int, workers: int) -> Pull:
    """Its documented way: `prepareForExport`, `toGeoTIFF`; tiles and requests by the settings
    below.
    """
    image = _geedim_image(side)

    def pull(folder: Path) -> None:
        image.gd.toGeoTIFF(folder / "geedim.tif", max_requests=workers, **GEEDIM)

    return pull


def geedim_memory(side: int, workers: int) -> Pull:
    """The same into memory (`toNumPy`): nothing is compressed nor written."""
    image = _geedim_image(side)

    def pull(folder: Path) -> None:
        assert image.gd.toNumPy(max_requests=workers, **GEEDIM).shape == (side, side, len(BANDS))

    return pull


GEEDIM: dict[str, Any] = json.loads(os.environ.get("BENCH_GEEDIM", '{"max_tile_size": 6}'))


def _geedim_image(side: int) -> Any:
    import ee
    import geedim.stac

    geedim.stac.STACClient()._urls = {
        "ROOT": {}
    }  # it would fetch the public catalogue's description first
    _sign_in()
    shot = ee.Image(SCENE).select(list(BANDS))
    return shot.gd.prepareForExport(
        crs=CRS, crs_transform=TRANSFORM, shape=(side, side), dtype="uint16"
    )


def _sign_in() -> None:
    import ee
    from google.auth.credentials import AnonymousCredentials

    nothing: dict[str, Any] = {"": None}
    ee.deprecation.deprecated_assets = nothing
    ee.Initialize(
        AnonymousCredentials(),  # type: ignore[no-untyped-call]
        url=os.environ["COSLIDE_EE_URL"],
        project="ee-test",
    )


CLIENTS: dict[str, Callable[[int, int], Pull]] = {
    "coslide": coslide,
    "xee": xee,
    "geedim": geedim,
    "geedim in memory": geedim_memory,
}


def main() -> None:
    """Print what one pull took, as JSON."""
    name, side, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    pull = CLIENTS[name](side, workers)
    with tempfile.TemporaryDirectory() as folder:
        before, start = os.times(), time.monotonic()
        pull(Path(folder))
        seconds, after = time.monotonic() - start, os.times()
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    scored = {
        "version": version(name.split()[0]),
        "seconds": seconds,
        "cpu_s": after.user + after.system - before.user - before.system,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "disk_mb": size / 1e6,
    }
    print(json.dumps(scored))


if __name__ == "__main__":
    main()
