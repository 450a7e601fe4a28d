"""The loopback Earth Engine of the pull benchmark, a process of its own: `python -m
benchmarks.pull_server CONCURRENT [--free-links]`.

One second a request, 10 MB/s a connection. Its pixels are rendered once, while the first requests
wait their second, so that only the clients differ. It serves until standard input ends; the first
line it writes is its address, every line it reads is answered with the counts so far.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LATENCY_S, BYTES_PER_S = 1.0, 10e6
BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
CRS, ORIGIN = "EPSG:32654", (500_000.0, 4_730_000.0)
SCENE = "COPERNICUS/S2_HARMONIZED/20180915T012000_T54TWN"
MOMENT_MS = 1_536_974_400_000
PIXEL_BYTES = 2


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concurrent", type=int)
    parser.add_argument("--free-links", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from earthengine.loopback import Loopback
    from earthengine.prerendered import Prerendered

    engine = Prerendered(SCENE, BANDS, CRS, ORIGIN, MOMENT_MS)
    with Loopback(engine, concurrent=options.concurrent) as loopback:
        loopback.latency_s, loopback.bytes_per_s, loopback.free_links = (
            LATENCY_S,
            BYTES_PER_S,
            options.free_links,
        )
        print(loopback.url, flush=True)
        for _ in sys.stdin:
            pixels = loopback.requests("ixels")  # computePixels, getPixels
            counts = {
                "requests": len(pixels),
                "others": sum(
                    one.path.endswith((":compute", "/thumbnails")) for one in loopback.entries
                ),
                "refused": sum(one.status == 429 for one in loopback.entries),
                "bytes": sum(one.sent for one in pixels if one.status == 200),
                "at_once": loopback.peak,
            }
            print(json.dumps(counts), flush=True)


class Server:
    """The server's process, seen from here."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._answer()

    def counts(self) -> dict[str, int]:
        """Return what it was asked so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._answer())
        return counts

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def server(concurrent: int, free_links: bool = False) -> Iterator[Server]:
    """Yield a server."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.pull_server",
        str(concurrent),
        *(["--free-links"] if free_links else []),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Server(process)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
