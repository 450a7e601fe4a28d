"""What is missing between this machine and Earth Engine, found out step by step, each with the one
command that mends it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from urllib.parse import urlparse

import ee

from configs.earthengine import EarthEngineConfig
from configs.errors import CoslideError, SourceError
from configs.records import Finding
from gee.earthengine import assets
from gee.earthengine.failures import judge, safe
from gee.earthengine.session import (
    DEFAULT_VARIABLE,
    KEY_VARIABLE,
    connect,
    endpoint_url,
    find_credentials,
    find_project,
)

_REACH_S = 5.0


def examine(config: EarthEngineConfig) -> Iterator[Finding]:
    """Yield what was found from the client to the data; it stops at the first step that the later
    ones need.
    """
    steps: tuple[tuple[str, Callable[[EarthEngineConfig], str]], ...] = (
        ("client", _client),
        ("credentials", _credentials),
        ("project", _project),
        ("network", _network),
        ("sign-in", _sign_in),
        ("data", _data),
        ("quota", _quota),
    )
    for name, step in steps:
        finding = _look(f"Earth Engine {name}", step, config)
        yield finding
        if finding.state != "ok":
            return


def _look(
    what: str, step: Callable[[EarthEngineConfig], str], config: EarthEngineConfig
) -> Finding:
    try:
        return Finding(what, "ok", step(config))
    except CoslideError as error:
        never = step is _credentials and not any(
            os.environ.get(name) for name in (KEY_VARIABLE, DEFAULT_VARIABLE)
        )
        return Finding(what, "warn" if never else "missing", error.message, error.remedy)
    except Exception as error:
        handling = judge(error)
        return Finding(what, "missing", handling.error.message, handling.error.remedy)


def _client(config: EarthEngineConfig) -> str:
    del config
    return f"earthengine-api {version('earthengine-api')}"


def _credentials(config: EarthEngineConfig) -> str:
    del config
    return find_credentials().kind


def _project(config: EarthEngineConfig) -> str:
    return find_project(config, find_credentials())


def _network(config: EarthEngineConfig) -> str:
    address = urlparse(endpoint_url(config))
    host, port = str(address.hostname), address.port or (443 if address.scheme == "https" else 80)
    start = time.monotonic()
    try:
        with socket.create_connection((host, port), _REACH_S):
            return f"{host} answers in {1000 * (time.monotonic() - start):.0f} ms"
    except OSError as error:
        raise SourceError(
            f"{host} cannot be reached: {safe(error)}",
            f"Let this machine connect to https://{host}, or set HTTPS_PROXY to your proxy.",
        ) from None


def _sign_in(config: EarthEngineConfig) -> str:
    session = connect(config)
    answer = ee.Number(1).add(1).getInfo()
    if answer != 2:
        raise SourceError(
            f"Earth Engine computes 1 + 1 = {answer}", "Check the endpoint: unset COSLIDE_EE_URL."
        )
    return f"project {session.project} may compute"


def _data(config: EarthEngineConfig) -> str:
    wanted = (
        assets.S2_TOA if config.level == "L1C" else assets.S2_SURFACE,
        assets.CLOUD_SCORE,
        assets.S1_POWER,
    )
    for asset in wanted:
        ee.data.getAsset(asset)
    return f"{len(wanted)} collections can be read"


def _quota(config: EarthEngineConfig) -> str:
    """Return what the service tells of the project's registration and limits, and how much of them
    a run takes.
    """
    try:
        project = ee.data.getProjectConfig()
    except AttributeError:  # an endpoint whose description of itself does not know the question
        project = {}
    facts = [
        f"{name} {value}"
        for name, value in project.items()
        if isinstance(value, str | int | float) and name != "name"
    ]
    return (
        f"{', '.join(facts) or 'the endpoint tells no limits'}; a run has up to "
        f"{config.workers} requests in flight"
    )
