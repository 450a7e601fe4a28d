"""Signing in: which credentials, which project, which endpoint; and the client set up so that
nothing can stall.

Credentials come from the environment only, the first found of:
a service-account key (``EE_SERVICE_ACCOUNT_KEY``), application default credentials named by
``GOOGLE_APPLICATION_CREDENTIALS``, the user's stored ones (`earthengine authenticate`), other
application default ones. The client keeps its state per process, so there is one session at a time.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

import ee
import google.auth
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.oauth2 import service_account

from configs.earthengine import EarthEngineConfig
from configs.errors import CoslideError, RequestError, SourceError
from gee.earthengine.failures import judge, safe
from gee.earthengine.refusals import Cure
from gee.earthengine.transport import Transport

logger = logging.getLogger(__name__)

_SCOPES: Final = (
    "https://www.googleapis.com/auth/earthengine",
    "https://www.googleapis.com/auth/cloud-platform",
)
"""The least that reading needs. Without a scope, application default credentials are refused
(`invalid_scope`).
"""
_ENDPOINTS: Final = {
    "standard": "https://earthengine.googleapis.com",
    "high-volume": "https://earthengine-highvolume.googleapis.com",
}
_URL_VARIABLE: Final = "COSLIDE_EE_URL"
"""Another endpoint, on this machine only: for tests and mirrors."""
KEY_VARIABLE: Final = "EE_SERVICE_ACCOUNT_KEY"
DEFAULT_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
PROJECT_VARIABLE: Final = "EE_PROJECT"
_START_TRIES: Final = 3


@dataclass(frozen=True)
class Credentials:
    """Credentials and where they were found. Never shown."""

    kind: str
    """For people: "service account key", ..."""
    held: Any = field(repr=False)
    project: str | None = None
    """The project that the credentials themselves name."""


@dataclass(frozen=True)
class Session:
    """A client that is signed in."""

    project: str
    url: str
    credentials: str
    """Which kind."""
    reported: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """What the service's replies last said about the service (`transport.REPORTS`)."""


def endpoint_url(config: EarthEngineConfig) -> str:
    """Return the service's address: the configured endpoint, or ``COSLIDE_EE_URL`` where that is on
    this machine.

    Raises:
        RequestError: ``COSLIDE_EE_URL`` names another machine; tokens are only ever sent to Google
            or to this one.
    """
    url = os.environ.get(_URL_VARIABLE, "").rstrip("/")
    if not url:
        return _ENDPOINTS[config.endpoint]
    if urlparse(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        raise RequestError(
            f"{_URL_VARIABLE}: {url} is not on this machine",
            f"Unset {_URL_VARIABLE}, or use http://127.0.0.1:PORT.",
        )
    return url


def find_credentials() -> Credentials:
    """Return the first credentials found, in the order of this module's docstring. No network but
    for a cloud machine's own.

    Raises:
        SourceError: none, or a file that is no key.
    """
    if path := os.environ.get(KEY_VARIABLE):
        return _service_account(Path(path))
    if not os.environ.get(DEFAULT_VARIABLE) and (stored := _stored()):
        return stored
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # google.auth warns of end-user credentials without a quota project
            held, project = google.auth.default(scopes=_SCOPES)
    except DefaultCredentialsError as error:
        if os.environ.get(DEFAULT_VARIABLE):
            raise SourceError(
                f"GOOGLE_APPLICATION_CREDENTIALS does not name usable credentials: {safe(error)}",
                "Correct it, or unset it and run `earthengine authenticate`.",
            ) from None
        raise SourceError("no Earth Engine credentials on this machine", _SIGN_IN) from None
    return Credentials(
        "application default credentials", held, getattr(held, "quota_project_id", None) or project
    )


def _service_account(path: Path) -> Credentials:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        make: Any = service_account.Credentials.from_service_account_info
        held = make(content, scopes=_SCOPES)
    except (OSError, ValueError, KeyError, GoogleAuthError) as error:
        # The parser's words may quote the key: only the kind of error is told.
        raise SourceError(
            f"{KEY_VARIABLE}: {path} is not a service-account key file ({type(error).__name__})",
            "Make one: `gcloud iam service-accounts keys create key.json "
            "--iam-account=NAME@PROJECT.iam.gserviceaccount.com`.",
        ) from None
    return Credentials("service account key", held, content.get("project_id"))


def _stored() -> Credentials | None:
    """Return what `earthengine authenticate` stored, if anything."""
    path = Path(ee.oauth.get_credentials_path())
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SourceError(
            f"the stored Earth Engine credentials {path} cannot be read ({type(error).__name__})",
            "Run `earthengine authenticate --force`.",
        ) from None
    if not content.get("refresh_token"):
        return None
    return Credentials(
        "stored user credentials", ee.data.get_persistent_credentials(), content.get("project")
    )


def find_project(config: EarthEngineConfig, credentials: Credentials) -> str:
    """Return the project that the quota is charged to: the run's, ``EE_PROJECT``, or the
    credentials' own.

    Raises:
        SourceError: none of them names one.
    """
    project = config.project or os.environ.get(PROJECT_VARIABLE) or credentials.project
    if not project:
        raise SourceError("no cloud project to charge Earth Engine's quota to", _PROJECT)
    return project


_LOCK = threading.Lock()
_CURRENT: dict[str, tuple[tuple[Any, ...], Session]] = {}


def connect(config: EarthEngineConfig) -> Session:
    """Return the session of this process, signing in where it is not there yet. Safe from several
    threads.

    Raises:
        SourceError: no credentials, no project, refused, or out of reach; the remedy says which.
        RequestError: an endpoint that is not allowed.
    """
    url = endpoint_url(config)
    key = (
        url,
        config.project,
        config.workload_tag,
        config.workers,
        config.deadline_s,
        config.silence_s,
        *(os.environ.get(name) for name in (KEY_VARIABLE, PROJECT_VARIABLE, DEFAULT_VARIABLE)),
    )
    with _LOCK:
        known = _CURRENT.get("session")
        if known and known[0] == key and ee.data.is_initialized():
            return known[1]
        _CURRENT.clear()
        credentials = find_credentials()
        session = Session(find_project(config, credentials), url, credentials.kind)
        _sign_in(config, session, credentials)
        _CURRENT["session"] = key, session
        logger.info(
            "Earth Engine: project %s, %s, %s",
            session.project,
            urlparse(url).hostname,
            session.credentials,
        )
        return session


def disconnect() -> None:
    """Forget the session and the client's state."""
    with _LOCK:
        _CURRENT.clear()
        ee.Reset()


def _sign_in(config: EarthEngineConfig, session: Session, credentials: Credentials) -> None:
    ee.Reset()
    # Initialize opens the public STAC catalogue with no time-out, only to warn of deprecated
    # assets: on a network that drops packets it hangs for minutes. A catalogue that is "known
    # already" is not fetched.
    known_already: Any = {"": None}
    ee.deprecation.deprecated_assets = known_already
    ee.data.setMaxRetries(
        0
    )  # the client's own retries ignore Retry-After and cannot split; `pixels` does both
    for left in reversed(range(_START_TRIES)):
        try:
            ee.Initialize(
                credentials.held,
                url=session.url,
                project=session.project,
                http_transport=Transport(
                    config.workers + 2, config.deadline_s, config.silence_s, session.reported
                ),
            )
            ee.data.setDefaultWorkloadTag(config.workload_tag)
            return
        except CoslideError:
            raise
        except Exception as error:
            handling = judge(error)
            if handling.cure is Cure.STOP or not left:
                raise handling.error from error
            time.sleep(handling.retry_after or 1.0)


_SIGN_IN: Final = (
    "Run `earthengine authenticate`, or set EE_SERVICE_ACCOUNT_KEY=/path/to/key.json "
    "(or GOOGLE_APPLICATION_CREDENTIALS)."
)
_PROJECT: Final = (
    "Set it: `export EE_PROJECT=<project id>`, or `source.earthengine.project` in the run file."
)
