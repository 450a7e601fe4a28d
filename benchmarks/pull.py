"""Pulling pixels: coslide, xee and geedim side by side on a loopback Earth Engine that serves
pre-rendered pixels.

    python -m benchmarks.pull [--write] [--fresh] [--peers PYTHON]

The server is a process of its own (`benchmarks.pull_server`): one second a request, 10 MB/s a
connection, 40 requests at once. Every client runs in a fresh process, timed without its imports and
its signing in, by turns, three rounds; the tables hold medians. Each measurement is kept in
``runs/verify/pull.json`` as soon as it is made: a call that was interrupted goes on, and
``--fresh`` begins anew. xee and geedim are no dependencies of coslide; `--peers` names the Python
of an environment that has them. A loopback measures clients, never Earth Engine itself.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.pull_clients import CLIENTS
from benchmarks.pull_server import BANDS, BYTES_PER_S, LATENCY_S, PIXEL_BYTES, ROOT, server
from benchmarks.results import fill
from configs.files import write_text

STATE = ROOT / "runs" / "verify" / "pull.json"
ROUNDS = 3
SIDE, LARGE = 2560, 7680
QUOTA, SMALL_QUOTA = 40, 8


@dataclass(frozen=True)
class Case:
    """One row."""

    client: str
    side: int = SIDE
    quota: int = QUOTA
    """Requests at once: what the client is told, and what the server allows."""
    free_links: bool = False
    """Whether making a download link costs no second; it is a request, but what it costs the real
    service is not published.
    """

    @property
    def name(self) -> str:
        """Return the row's name."""
        return f"{self.client}{' (links for nothing)' if self.free_links else ''}"

    @property
    def key(self) -> str:
        """Return its key in the kept measurements."""
        return f"{self.name} {self.side} {self.quota}"


COMPARED = (*(Case(client) for client in CLIENTS), Case("geedim", free_links=True))
LARGER = (Case("coslide", LARGE), Case("geedim", LARGE))
LIMITED = (Case("coslide", SIDE, SMALL_QUOTA), Case("coslide", LARGE, SMALL_QUOTA))


def measure(case: Case, python: str) -> dict[str, Any]:
    """Return what one pull took: the client's own seconds, the server's own counts."""
    with server(case.quota, case.free_links) as service, tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "COSLIDE_EE_URL": service.url,
            "EE_SERVICE_ACCOUNT_KEY": _key(folder, service.url),
        }
        command = [
            python,
            "-m",
            "benchmarks.pull_clients",
            case.client,
            str(case.side),
            str(case.quota),
        ]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{case.name}: {' '.join(done.stderr.strip().splitlines()[-3:])}")
        scored: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return {**scored, **service.counts(), "load": os.getloadavg()[0]}


def _key(folder: str, url: str) -> str:
    """Return a service-account key file that the loopback takes."""
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "ee-test",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "w@ee-test.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    path = Path(folder) / "key.json"
    path.write_text(json.dumps(key), encoding="utf-8")
    return str(path)


def measure_all(cases: tuple[Case, ...], kept: dict[str, list[dict[str, Any]]], peers: str) -> None:
    """Measure what is missing of three rounds, by turns, and keep each measurement at once."""
    for turn in range(ROUNDS):
        for case in cases:
            rows = kept.setdefault(case.key, [])
            if len(rows) > turn:
                continue
            rows.append(measure(case, sys.executable if case.client == "coslide" else peers))
            write_text(STATE, json.dumps(kept, indent=1))
            print(
                f"{case.key}: {rows[-1]['seconds']:.1f} s (load {rows[-1]['load']:.1f})", flush=True
            )


def middle(rows: list[dict[str, Any]], what: str) -> float:
    """Return the median of one measurement."""
    return float(statistics.median(row[what] for row in rows))


def pixel_bytes(case: Case) -> int:
    """Return the bytes of the pixels themselves."""
    return case.side**2 * len(BANDS) * PIXEL_BYTES


def allowed_s(case: Case, rows: list[dict[str, Any]]) -> float:
    """Return the seconds below which the server's limits allow nobody to be with its requests:
    whole rounds of them.
    """
    pixels, others = int(rows[0]["requests"]), 0 if case.free_links else int(rows[0]["others"])
    transfer = pixel_bytes(case) / pixels / BYTES_PER_S
    return (
        math.ceil(pixels / case.quota) * (LATENCY_S + transfer)
        + math.ceil(others / case.quota) * LATENCY_S
    )


def table(cases: tuple[Case, ...], kept: dict[str, list[dict[str, Any]]]) -> str:
    """Return rows as a Markdown table."""
    lines = [
        "| client | px a side | at once | pixel requests | others | refused | MB | bytes / "
        "pixels | seconds | of its quota's pace | "
        "CPU s | peak MB | MB on disk |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        rows = kept[case.key]
        pixels = pixel_bytes(case)
        lines.append(
            f"| {case.name} {rows[0]['version']} | {case.side} | {case.quota} | "
            f"{rows[0]['requests']} | {rows[0]['others']} | "
            f"{middle(rows, 'refused'):.0f} | {middle(rows, 'bytes') / 1e6:.1f} | "
            f"{middle(rows, 'bytes') / pixels:.4f} | "
            f"{middle(rows, 'seconds'):.2f} "
            f"({min(r['seconds'] for r in rows):.2f}-{max(r['seconds'] for r in rows):.2f}) | "
            f"{allowed_s(case, rows) / middle(rows, 'seconds'):.2f} | "
            f"{middle(rows, 'cpu_s'):.1f} | "
            f"{middle(rows, 'peak_mb'):.0f} | {middle(rows, 'disk_mb'):.0f} |"
        )
    return "\n".join(lines)


def goals(kept: dict[str, list[dict[str, Any]]]) -> str:
    """Return what was aimed at and what was found."""
    ours = kept[COMPARED[0].key]
    on_disk = {
        case.name: kept[case.key]
        for case in COMPARED[1:]
        if "memory" not in case.name and not case.free_links
    }
    best = min(on_disk, key=lambda name: middle(on_disk[name], "seconds"))
    free, large, peer = kept[COMPARED[-1].key], kept[LARGER[0].key], kept[LARGER[1].key]
    small, big = (kept[case.key] for case in LIMITED)

    def times(others: list[dict[str, Any]], what: str, own: list[dict[str, Any]]) -> float:
        return middle(others, what) / middle(own, what)

    rows = (
        (
            "bytes of the pixels themselves",
            "≤ 1.05",
            f"{middle(ours, 'bytes') / pixel_bytes(COMPARED[0]):.4f}",
        ),
        (
            f"faster than the better peer ({best}), {SIDE} px",
            "≥ 3",
            f"{times(on_disk[best], 'seconds', ours):.2f}",
        ),
        ("… were its download links made for nothing", "", f"{times(free, 'seconds', ours):.2f}"),
        (f"… {LARGE} px", "", f"{times(peer, 'seconds', large):.2f}"),
        (
            "CPU seconds of the better peer over ours",
            "",
            f"{times(on_disk[best], 'cpu_s', ours):.2f}",
        ),
        (
            f"of what the quota allows, where the quota ({SMALL_QUOTA} at once) and not "
            "the machine is the limit",
            "≥ 0.9",
            f"{allowed_s(LIMITED[1], big) / middle(big, 'seconds'):.2f}",
        ),
        (
            f"memory, {LARGE} px over {SIDE} px, {SMALL_QUOTA} at once",
            "≤ 1.15",
            f"{times(big, 'peak_mb', small):.2f}",
        ),
        (
            f"memory, {LARGE} px over {SIDE} px, {QUOTA} at once",
            "",
            f"{times(large, 'peak_mb', ours):.2f}",
        ),
    )
    head = "| | aim | measured |\n|---|---|---|\n"
    return head + "\n".join(f"| {what} | {aim} | {found} |" for what, aim, found in rows)


def conditions(kept: dict[str, list[dict[str, Any]]]) -> str:
    """Return what the measurements were made on."""
    loads = [row["load"] for rows in kept.values() for row in rows]
    return (
        f"{platform.machine()}, {os.cpu_count()} cores shared by client and server, Python "
        f"{platform.python_version()}, "
        f"niceness {os.nice(0)}, load average {min(loads):.1f}-{max(loads):.1f} (other "
        "work ran on the machine where it is "
        f"above 2), {datetime.now(UTC):%Y-%m-%d}"
    )


def main() -> None:
    """Measure; print the tables; with --write, put them into docs/results.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument(
        "--peers", default=sys.executable, help="Python of an environment with xee and geedim"
    )
    options = parser.parse_args()
    kept = json.loads(STATE.read_text()) if STATE.exists() and not options.fresh else {}
    for cases in (COMPARED, LARGER, LIMITED):
        measure_all(cases, kept, options.peers)
    parts = {
        "compared": table(COMPARED, kept),
        "larger": table(LARGER, kept),
        "limited": table(LIMITED, kept),
    }
    print("\n\n".join([*parts.values(), goals(kept)]))
    if options.write:
        fill("pull", goals=goals(kept), conditions=conditions(kept), **parts)


if __name__ == "__main__":
    main()
