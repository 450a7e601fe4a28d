"""What is missing between this machine and Earth Engine, all of it at once, each with the one
command that mends it.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Final
from urllib.parse import urlparse

import ee

from configs.earthengine import EarthEngineConfig
from configs.errors import CoslideError, SourceError
from configs.records import Finding
from gee.earthengine.collections import Used, used
from gee.earthengine.failures import judge, safe
from gee.earthengine.session import (
    DEFAULT_VARIABLE,
    KEY_VARIABLE,
    PROJECT_VARIABLE,
    Credentials,
    connect,
    endpoint_url,
    find_credentials,
    find_project,
)

_REACH_S = 5.0
_AGAIN: Final = "Mend what stands above, then give `coslide doctor --source earthengine` again."
Step = Callable[[EarthEngineConfig], str]


def examine(config: EarthEngineConfig, *, needed: bool = False) -> Iterator[Finding]:
    """Yield what was found from the client to the data: everything that is missing, not only the
    first of it; what could not be looked at says why.

    Args:
        config: what a run would ask for: its collections are looked at one by one.
        needed: whether Earth Engine is what a run would use. Where it is not, a machine without
            credentials is told in one line.
    """
    missing: set[str] = set()
    # Step, and the steps without which it cannot be looked at.
    steps: tuple[tuple[str, Step, tuple[str, ...]], ...] = (
        ("client", _client, ()),
        ("credentials", _credentials, ()),
        ("project", _project, () if _names_project(config) else ("credentials",)),
        ("network", _network, ()),
        ("sign-in", _sign_in, ("credentials", "project", "network")),
        ("pixels", _pixels, ("sign-in",)),
        ("quota", _quota, ("sign-in",)),
        *((one.asset, partial(_readable, one), ("sign-in",)) for one in used(config)),
    )
    for name, step, needs in steps:
        what = f"Earth Engine {name}"
        lacking = [need for need in needs if need in missing]
        if lacking:
            missing.add(name)
            if needed:
                yield Finding(what, "warn", f"not looked at: needs {' and '.join(lacking)}", _AGAIN)
            continue
        finding = _look(what, step, config)
        if step is _credentials and finding.state != "ok" and not needed and not _named():
            yield dataclasses.replace(finding, state="warn")
            return
        yield finding
        if finding.state != "ok":
            missing.add(name)


def _named() -> bool:
    """Return whether the environment names credentials: whoever does so means to use them."""
    return any(os.environ.get(name) for name in (KEY_VARIABLE, DEFAULT_VARIABLE))


def _names_project(config: EarthEngineConfig) -> bool:
    return bool(config.project or os.environ.get(PROJECT_VARIABLE))


def _look(what: str, step: Step, config: EarthEngineConfig) -> Finding:
    try:
        return Finding(what, "ok", step(config))
    except CoslideError as error:
        return Finding(what, "missing", error.message, error.remedy)
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
    nobody = Credentials("", None)
    return find_project(config, nobody if _names_project(config) else find_credentials())


def _network(config: EarthEngineConfig) -> str:
    address = urlparse(endpoint_url(config))
    host, port = str(address.hostname), address.port or (443 if address.scheme == "https" else 80)
    start = time.monotonic()
    try:
        with socket.create_connection((host, port), _REACH_S):
            return f"{host} answers in {1000 * (time.monotonic() - start):.0f} ms"
    except OSError as error:
        raise SourceError(
            f"{host} cannot be reached: {error.strerror or safe(error)}",
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


def _pixels(config: EarthEngineConfig) -> str:
    """Make sure that this account may have pixels computed, not only numbers: four of them."""
    del config
    ee.data.computePixels(
        {
            "expression": ee.Image.constant(1).toUint8(),
            "fileFormat": "NPY",
            "grid": {
                "dimensions": {"width": 2, "height": 2},
                "affineTransform": {"scaleX": 1, "scaleY": -1},
                "crsCode": "EPSG:4326",
            },
        }
    )
    return "this account may have pixels computed"


def _readable(one: Used, config: EarthEngineConfig) -> str:
    """Make sure that a collection is there, may be read, and is of the kind that the recipes take
    it for.
    """
    del config
    kind = str(ee.data.getAsset(one.asset).get("type", ""))
    if kind and (kind == "IMAGE_COLLECTION") != one.is_collection:
        raise SourceError(
            f"{one.asset} is {_KINDS.get(kind, kind.lower())} now, which coslide does not expect",
            f"See {one.page}, and choose another where the settings allow: `source.earthengine`.",
        )
    return f"{one.purpose}: can be read"


_KINDS: Final = {"IMAGE": "a single image", "IMAGE_COLLECTION": "a collection of images"}


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
