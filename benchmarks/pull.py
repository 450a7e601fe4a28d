"""Pulling pixels: coslide, xee and geedim side by side on a loopback Earth Engine that serves pre-rendered pixels.

    python -m benchmarks.pull [--write] [--side 2560] [--peer coslide --peer xee --peer geedim]

The server is a process of its own: one second a request, 10 MB/s a connection, at most 40 requests at once (facts of the quota
page). It evaluates no pixels, so that only the clients differ. xee and geedim are not dependencies of coslide; a peer that is
not installed is left out and said so. A loopback measures clients, never Earth Engine itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from affine import Affine
from odc.geo.geobox import GeoBox

ROOT = Path(__file__).resolve().parent.parent
LATENCY_S, BYTES_PER_S, CONCURRENT = 1.0, 10e6, 40
BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
CRS, ORIGIN = "EPSG:32654", (500_000.0, 4_730_000.0)
SCENE = "COPERNICUS/S2_HARMONIZED/20180915T012000_T54TWN"
MOMENT_MS = 1_536_974_400_000
PIXEL_BYTES = 2


def grid_of(side: int) -> GeoBox:
    """Return the square grid that is pulled."""
    return GeoBox((side, side), Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), CRS)


# --- the server, a process of its own ------------------------------------------------------------------------------


def serve() -> None:
    """Serve until standard input ends; the address goes to standard output, counts at the end."""
    sys.path.insert(0, str(ROOT / "tests"))
    from earthengine.loopback import Loopback
    from earthengine.prerendered import Prerendered

    with Loopback(Prerendered(SCENE, BANDS, CRS, ORIGIN, MOMENT_MS), concurrent=CONCURRENT) as loopback:
        loopback.latency_s, loopback.bytes_per_s = LATENCY_S, BYTES_PER_S
        print(loopback.url, flush=True)
        for line in sys.stdin:
            if line.strip() == "reset":
                loopback.entries.clear()
                loopback.peak = 0
            entries = [entry for entry in loopback.entries if entry.path.endswith((":computePixels", ":getPixels"))]
            served = [entry for entry in entries if entry.status == 200]
            print(
                json.dumps(
                    {
                        "requests": len(entries),
                        "refused": sum(entry.status == 429 for entry in entries),
                        "bytes": sum(entry.sent for entry in served),
                        "peak": loopback.peak,
                    }
                ),
                flush=True,
            )


@contextmanager
def server() -> Iterator[subprocess.Popen[str]]:
    """Yield the server's process; `address` is its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.pull", "--serve"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def tell(process: subprocess.Popen[str], word: str) -> dict[str, int]:
    """Return the server's counts, after saying `reset` or `count`."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    counts: dict[str, int] = json.loads(process.stdout.readline())
    return counts


# --- the peers, each at its best documented settings ---------------------------------------------------------------


def by_coslide(side: int, folder: Path) -> None:
    """Pull through the source into a Zarr stack: what a run does."""
    from configs.area import Area
    from configs.bands import When
    from configs.earthengine import EarthEngineConfig
    from configs.event import DateRange, Event, Windows
    from configs.records import Scene
    from gee.earthengine import EarthEngineSource
    from gee.source import Plan
    from gee.stack import assemble

    grid = grid_of(side)
    day = datetime.fromtimestamp(MOMENT_MS / 1000, UTC)
    event = Event(name="bench", time=datetime(2018, 9, 5, tzinfo=UTC), latitude=42, longitude=141)
    days = DateRange(first=day.date(), last=day.date())
    names = tuple(f"post_{band}" for band in BANDS)
    scene = Scene(SCENE, When.POST, day, "COPERNICUS/S2_HARMONIZED")
    facts = {SCENE: {"bounds": [130, 30, 150, 50], "clouds": "cloud-score-plus", "scl": False}}
    area = Area(grid.geographic_extent.geom, "bench")
    plan = Plan(
        names, False, grid, area, event, Windows(pre=days, post=days, as_of=day), (scene,), details={"scenes": facts}
    )
    assemble(EarthEngineSource(EarthEngineConfig(workers=CONCURRENT, block_px=512)), plan, names, folder / "stack.zarr")


def by_xee(side: int, folder: Path) -> None:
    """Open the collection lazily on the same grid, 40 workers, chunks as large as a request may be, and write Zarr."""
    import ee
    import xarray

    _sign_in()
    grid = grid_of(side)
    data = xarray.open_dataset(
        ee.ImageCollection([ee.Image(SCENE).select(list(BANDS))]),
        engine="ee", crs=CRS, crs_transform=tuple(grid.affine)[:6], shape_2d=(side, side),
        chunks={"time": 1, "x": 768, "y": 768}, executor_kwargs={"max_workers": CONCURRENT}, request_byte_limit=48 * 2**20,
    )  # fmt: skip
    data.to_zarr(folder / "xee.zarr", zarr_format=3, consolidated=False)


def by_geedim(side: int, folder: Path) -> None:
    """Write a GeoTIFF on the same grid, its default tiles (4 MB), 40 requests at once."""
    import ee
    import geedim.stac

    geedim.stac.STACClient()._urls = {"ROOT": {}}  # it would fetch the public catalogue's description first
    _sign_in()
    grid = grid_of(side)
    image = (
        ee.Image(SCENE)
        .select(list(BANDS))
        .gd.prepareForExport(crs=CRS, crs_transform=tuple(grid.affine)[:6], shape=(side, side), dtype="uint16")
    )
    image.gd.toGeoTIFF(folder / "geedim.tif", max_tile_size=4, max_requests=CONCURRENT)


def _sign_in() -> None:
    import ee
    from google.auth.credentials import AnonymousCredentials

    ee.deprecation.deprecated_assets = {"": None}
    ee.Initialize(AnonymousCredentials(), url=os.environ["COSLIDE_EE_URL"], project="ee-test")


PEERS: dict[str, Callable[[int, Path], None]] = {"coslide": by_coslide, "xee": by_xee, "geedim": by_geedim}


def measure(peer: str, side: int) -> dict[str, Any]:
    """Return what a peer took: seconds (client start left out), peak memory; run in a process of its own."""
    process = psutil.Process()
    peak, going = [0], threading.Event()

    def watch() -> None:
        while not going.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    with tempfile.TemporaryDirectory() as folder:
        base = process.memory_info().rss
        thread.start()
        times = process.cpu_times()
        before = times.user + times.system
        start = time.monotonic()
        PEERS[peer](side, Path(folder))
        seconds = time.monotonic() - start
        going.set()
        thread.join()
    spent = process.cpu_times()
    return {
        "seconds": seconds,
        "cpu_seconds": spent.user + spent.system - before,
        "peak_bytes": peak[0],
        "start_bytes": base,
    }


def run_peer(peer: str, side: int) -> dict[str, Any] | None:
    """Return a peer's counts and times, or None where it is not installed."""
    if peer != "coslide":
        try:
            version(peer)
        except PackageNotFoundError:
            print(f"{peer} is not installed: `pip install {peer}`; left out")
            return None
    with server() as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "COSLIDE_EE_URL": url, **_key(Path(folder), url)}
            command = [sys.executable, "-m", "benchmarks.pull", "--measure", peer, "--side", str(side)]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{peer} failed: {' '.join(done.stderr.strip().splitlines()[-3:])}")
            return None
        return {**json.loads(done.stdout.strip().splitlines()[-1]), **tell(process, "count")}


def _key(folder: Path, url: str) -> dict[str, str]:
    """Return the environment of a machine with a service-account key that the loopback takes."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account", "project_id": "ee-test", "private_key_id": "1", "private_key": pem.decode(),
        "client_email": "w@ee-test.iam.gserviceaccount.com", "token_uri": f"{url}/token",
    }  # fmt: skip
    (folder / "key.json").write_text(json.dumps(key), encoding="utf-8")
    return {"EE_SERVICE_ACCOUNT_KEY": str(folder / "key.json")}


def quota_seconds(side: int, requests: int) -> float:
    """Return the least time the server's limits allow for so many requests: rounds of 40, each waiting and sending."""
    rounds = -(-requests // CONCURRENT)
    return rounds * LATENCY_S + side * side * len(BANDS) * PIXEL_BYTES / requests / BYTES_PER_S * rounds


def table(side: int, results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    pixels = side * side * len(BANDS) * PIXEL_BYTES
    lines = [
        f"{side} x {side} px x {len(BANDS)} bands, {pixels / 1e6:.0f} MB of pixels (uint16).",
        "",
        "| client | requests | refused | MB | bytes / pixels | seconds | CPU s | peak MB | of the quota's pace |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for peer, found in results.items():
        name = f"{peer} {version(peer)}"
        pace = quota_seconds(side, found["requests"]) / found["seconds"]
        lines.append(
            f"| {name} | {found['requests']} | {found['refused']} | {found['bytes'] / 1e6:.1f} | "
            f"{found['bytes'] / pixels:.3f} | {found['seconds']:.1f} | "
            f"{found['cpu_seconds']:.1f} | {found['peak_bytes'] / 1e6:.0f} | {pace:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, action="append", help="pixels a side; may be given again")
    parser.add_argument("--peer", choices=sorted(PEERS), action="append")
    parser.add_argument("--write", action="store_true", help="write docs/pull.md")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=sorted(PEERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    sides = options.side or [2560]
    if options.measure:
        return print(json.dumps(measure(options.measure, sides[0])))
    parts = []
    for side in sides:
        found = {peer: run_peer(peer, side) for peer in options.peer or PEERS}
        parts.append(table(side, {peer: result for peer, result in found.items() if result is not None}))
        print(parts[-1])
    if options.write:
        write(parts)
    return None


def write(parts: list[str]) -> None:
    """Write docs/pull.md: the tables, and what they were measured on."""
    text = [
        "# Pulling pixels, measured",
        "",
        "Made by `python -m benchmarks.pull --write`. A loopback server of its own process serves pre-rendered pixels:",
        f"{LATENCY_S:g} s a request, {BYTES_PER_S / 1e6:g} MB/s a connection, {CONCURRENT} at once. It measures clients, not Earth",
        f"Engine. {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "coslide's bytes hold one more byte a pixel: the code that says which scene a pixel is of and what was seen there.",
        "",
    ]
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "pull.md").write_text("\n".join([*text, "\n\n".join(parts), ""]), encoding="utf-8")
    shutil.rmtree(ROOT / "docs" / ".tmp", ignore_errors=True)


if __name__ == "__main__":
    main()
