"""What is missing on this machine, and the one command that mends it."""

from __future__ import annotations

import base64
import importlib.metadata
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from configs.errors import CoslideError
from configs.records import Finding
from configs.run import SourceConfig

_LOW_DISK_GIB = 5.0
_SIGNS: Final = {"ok": "ok     ", "warn": "note   ", "missing": "MISSING"}


def examine(out: Path) -> list[Finding]:
    """Return all findings, in the order a person would mend them."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _geodata,
        lambda: _disk(out),
        _gpu,
        _cards,
        _earth_engine,
        _catalogue,
        _prefect,
        _service,
    )
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except CoslideError as error:
            findings.append(Finding(error.kind, "missing", error.message, error.remedy))
    return findings


def examine_source(config: SourceConfig) -> list[Finding]:
    """Return all that a source needs of this machine, and whether it is there."""
    if config.kind == "earthengine":
        from gee.earthengine import doctor

        return list(doctor.examine(config.earthengine, needed=True))
    if config.kind == "stac":
        from gee.stac import doctor as catalogues

        return list(catalogues.examine(config.stac, needed=True))
    from gee.sources import make_source

    what = f"source {config.kind}"
    try:
        offer = make_source(config).offer()
    except CoslideError as error:
        return [Finding(what, "missing", error.message, error.remedy)]
    bands = f"{offer.sensor}, {offer.level}, {offer.resolution_m:g} m, {len(offer.bands)} bands"
    return [Finding(what, "ok", bands)]


def describe(findings: Sequence[Finding]) -> str:
    """Return the findings for people, a line each; a remedy stands once, under the last that it
    mends.
    """
    often = Counter(one.remedy for one in findings)
    lines, left = [], dict(often)
    for one in findings:
        lines.append(f"{_SIGNS[one.state]} {one.what}: {one.detail}")
        left[one.remedy] -= 1
        if one.remedy and not left[one.remedy]:
            several = f"for these {often[one.remedy]}: " if often[one.remedy] > 1 else ""
            lines.append(f"        → {several}{one.remedy}")
    return "\n".join(lines)


def _geodata() -> Iterator[Finding]:
    import pyproj
    import rasterio
    from rasterio.env import GDALDataFinder

    transform = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32654", always_xy=True).transform(
        141.0, 0.0
    )
    good = abs(transform[0] - 500000) < 1e-3
    yield Finding(
        "PROJ",
        "ok" if good else "missing",
        f"pyproj {pyproj.__version__}",
        "" if good else "Unset PROJ_DATA / PROJ_LIB.",
    )
    drivers = set(rasterio.drivers.raster_driver_extensions().values())
    data = GDALDataFinder().search() or os.environ.get("GDAL_DATA")
    good = "GTiff" in drivers and bool(data)
    remedy = (
        ""
        if good
        else "Unset GDAL_DRIVER_PATH and GDAL_DATA, then `pip install --force-reinstall rasterio`."
    )
    yield Finding(
        "GDAL",
        "ok" if good else "missing",
        f"GDAL {rasterio.__gdal_version__}, data {data}",
        remedy,
    )


def _disk(out: Path) -> Iterator[Finding]:
    folder = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.exists())
    free, writable = shutil.disk_usage(folder).free / 2**30, os.access(folder, os.W_OK)
    if not writable:
        yield Finding(
            "output folder",
            "missing",
            f"{folder} cannot be written",
            "Choose another folder with --out.",
        )
    else:
        enough = free >= _LOW_DISK_GIB
        yield Finding(
            "output folder",
            "ok" if enough else "warn",
            f"{free:.1f} GiB free at {folder}",
            "" if enough else "Free some space.",
        )


def _gpu() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        yield Finding("GPU", "ok", torch.cuda.get_device_name())
    else:
        yield Finding(
            "GPU",
            "warn",
            f"none: mapping runs on {torch.get_num_threads()} CPU threads",
            "None needed.",
        )


def _cards() -> Iterator[Finding]:
    from models import registry, weights

    found = list(registry.find(()))
    if not found:
        yield Finding(
            "checkpoints",
            "missing",
            "no checkpoint is installed",
            "Install coslide again, or train one: `coslide train`.",
        )
    for folder, card in found:
        weights.verify(folder, card)
        yield Finding(f"checkpoint {card.name}", "ok", "hashes agree")


def _earth_engine() -> Iterator[Finding]:
    from configs.earthengine import EarthEngineConfig
    from gee.earthengine import doctor

    yield from doctor.examine(EarthEngineConfig())


def _catalogue() -> Iterator[Finding]:
    from configs.stac import StacConfig
    from gee.stac import doctor

    yield from doctor.examine(StacConfig())


def _prefect() -> Iterator[Finding]:
    found = {
        name: importlib.metadata.version(name) for name in ("prefect", "fastapi", "sqlalchemy")
    }
    good = found["sqlalchemy"].startswith("2.0.") and tuple(
        map(int, found["fastapi"].split(".")[:2])
    ) < (0, 151)
    detail = ", ".join(f"{name} {version}" for name, version in found.items())
    remedy = (
        ""
        if good
        else "Reinstall with the pins: `pip install -c constraints.txt -e .` (with others no "
        "schedule ever fires)."
    )
    yield Finding("Prefect", "ok" if good else "missing", detail, remedy)
    url = os.environ.get("PREFECT_API_URL")
    if url:
        yield from _server(url)


def _server(url: str) -> Iterator[Finding]:
    """Yield what a configured server says: does it answer, may we speak to it, does anybody serve
    it.
    """
    import httpx

    what, start = "Prefect server", "Start it: `prefect server start`, or unset PREFECT_API_URL."
    secret = os.environ.get("PREFECT_API_AUTH_STRING")
    headers = (
        {"authorization": "Basic " + base64.b64encode(secret.encode()).decode()} if secret else {}
    )
    try:
        with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=5) as client:
            client.get("/health").raise_for_status()
            answer = client.post(
                "/deployments/filter", json={"deployments": {"tags": {"all_": ["coslide"]}}}
            )
            if answer.status_code == 401:
                yield Finding(
                    what,
                    "missing",
                    f"{url} refuses us",
                    "export PREFECT_API_AUTH_STRING=user:password",
                )
                return
            found = sorted(one["name"] for one in answer.raise_for_status().json())
            unguarded = not secret and not url.startswith(("http://127.0.0.1", "http://localhost"))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        yield Finding(what, "missing", f"{url}: {type(error).__name__} {error}", start)
        return
    remedy = "Set PREFECT_SERVER_API_AUTH_STRING for the server and PREFECT_API_AUTH_STRING here."
    yield Finding(what, "warn" if unguarded else "ok", url, remedy if unguarded else "")
    known = ", ".join(found)
    yield Finding(
        "deployments",
        "ok" if found else "warn",
        known or "none",
        "" if found else "Serve them: `coslide serve`.",
    )


def _service() -> Iterator[Finding]:
    """Yield whether the operator's settings can be read and all named recipients can be reached."""
    from flows import notify
    from flows.service.settings import SERVICE, service

    settings = service()
    notify.check(settings.notify, settings.allow.webhooks)
    path = os.environ.get(SERVICE)
    yield Finding("service file", "ok", path or f"none (set {SERVICE}); the defaults hold")
