"""coslide as a service: schedules, concurrency, what is allowed, who is told. One YAML holds it
all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from configs.complaints import checked
from configs.errors import RequestError
from configs.event import Frozen
from configs.files import check_format, format_of, read_yaml, write_text
from configs.overrides import overlaid
from configs.places import at_home
from configs.run import commented
from configs.watch import WatchConfig


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"`{name}` is no time zone; write one like UTC or Asia/Tokyo") from error
    return name


def _cron(text: str) -> str:
    if len(text.split()) != 5 or not re.match(r"^[\d*/,\-A-Za-z ]+$", text):
        raise ValueError(f"`{text}` is no cron line of five fields")
    return text


class Schedule(Frozen):
    """When something runs by itself."""

    cron: Annotated[str, AfterValidator(_cron)]
    """Five cron fields, in the service's time zone."""
    active: bool = True
    """false: registered, but paused."""


class Runs(Frozen):
    """How many runs at once, and what happens to those that fail."""

    at_once: int = Field(default=1, ge=1, le=100)
    """Runs that work at the same moment on this machine; the others queue up."""
    earth_engine_requests: int = Field(default=40, ge=1, le=1000)
    """Requests that all runs of the project together may have in flight: Earth Engine's own quota
    is 40. A run takes as many of them as `source.earthengine.workers` while it pulls."""
    retries: int = Field(default=3, ge=0, le=20)
    """Further tries of a run whose source or machine failed. Wrong requests and missing imagery are
    never tried again.
    """
    retry_minutes: float = Field(default=10, ge=0, le=1440)
    """Pause before the first further try; it doubles every time."""
    heartbeat_seconds: float = Field(default=60, ge=1, le=3600)
    """How often a run tells the server that it lives."""
    silent_minutes: float = Field(default=15, gt=0, le=1440)
    """A run that has been silent for so long is dead: it is marked as crashed and, while it has
    tries left, started again.
    """


class Allow(Frozen):
    """What triggered runs may reach. Nothing else is ever asked or opened for them."""

    hosts: tuple[str, ...] = ("earthquake.usgs.gov",)
    """Hosts of feeds, event details and ShakeMaps."""
    webhooks: tuple[str, ...] = ()
    """Hosts that may be told about runs."""
    folders: tuple[str, ...] = ()
    """Folders that file parameters (training recipes, references) must lie in; none: such
    parameters are refused.
    """


class Email(Frozen):
    """A mailbox to tell. The password, where one is needed, is in COSLIDE_SMTP_PASSWORD."""

    host: str = Field(pattern=r"^[A-Za-z0-9.-]+$")
    port: int = Field(default=587, ge=1, le=65535)
    encrypted: bool = True
    """STARTTLS before anything is said."""
    user: str | None = None
    sender: str = Field(pattern=r"^[^\s@]+@[^\s@]+$")
    to: tuple[Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")], ...] = Field(min_length=1)


class Notify(Frozen):
    """Who is told when a run ends."""

    webhooks: tuple[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], ...] = ()
    """Names of environment variables that hold https addresses: such an address is a secret. Hosts:
    `allow.webhooks`.
    """
    email: Email | None = None
    """A mailbox, over SMTP."""
    blocks: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()
    """Prefect notification blocks, `type/name`, e.g. sendgrid-email/duty-officer or
    slack-webhook/quakes.
    """
    done: bool = True
    """Tell of finished runs."""
    failed: bool = True
    """Tell of failed, crashed and silent runs."""


class Web(Frozen):
    """What the service shows of itself on this machine: health, figures for Prometheus, the page of
    all events.
    """

    port: int | None = Field(default=None, ge=1024, le=65535)
    """Port on 127.0.0.1, e.g. 4280; nothing is shown where null. The page of events is shown to who
    knows COSLIDE_WEB_TOKEN, an environment variable."""
    url: str | None = Field(default=None, pattern=r"^https?://[^\s@]+$")
    """Where people reach these pages, e.g. http://127.0.0.1:4280 or the address of a proxy:
    artifacts in the Prefect UI then link to reports and maps. Paths to copy where null."""


class Log(Frozen):
    """Where the log goes besides standard error, which systemd's journal keeps."""

    file: Annotated[str | None, AfterValidator(at_home)] = None
    """File that grows by one JSON object a line (time, level, logger, run, message); it may be
    moved away at any time, as logrotate does. None where null."""


class ServiceConfig(Frozen):
    """Everything an operator decides."""

    format: str = format_of("service")
    preset: str | None = None
    """Run file, or parts of one, that every triggered run starts from: source, output folder,
    cards. Beside this file. It names the source of imagery: no run begins without one.
    """
    drill: bool = False
    """Let real earthquakes be mapped on the simulated Earth, for an exercise: refused otherwise."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Time zone of all schedules."""
    refresh: Schedule = Schedule(cron="0 6 * * *")
    """When open events are refreshed."""
    watch_every: Schedule = Schedule(cron="*/5 * * * *")
    """When the earthquake feed is asked."""
    tend_every: Schedule = Schedule(cron="*/5 * * * *")
    """When silent runs are looked for."""
    runs: Runs = Runs()
    watch: WatchConfig = WatchConfig()
    allow: Allow = Allow()
    notify: Notify = Notify()
    web: Web = Web()
    log: Log = Log()


def read_service(path: Path | None, settings: Sequence[str] = ()) -> ServiceConfig:
    """Return the service configuration in a file; the defaults where none is named. Its preset's
    path becomes absolute. `settings` (``section.key=value``) go before the file.

    Raises:
        RequestError: unreadable, malformed, of a newer format, or a preset that is not there.
    """
    content = {} if path is None else read_yaml(path)
    if path is not None:
        check_format(content.get("format"), "service", str(path))
    service = checked(overlaid(content, settings), str(path or "--set"), ServiceConfig)
    if service.preset is None:
        return service
    preset = ((path.parent if path else Path()) / service.preset).absolute()
    read_yaml(preset, "run")
    return service.model_copy(update={"preset": str(preset)})


def write_service(service: ServiceConfig, path: Path) -> None:
    """Write the settings as YAML, every one with its value and what it means.

    Raises:
        RequestError: the file exists; somebody's settings are never overwritten.
    """
    if path.exists():
        raise RequestError(f"{path} exists", "Choose another name, or move it away.")
    head = (
        "# coslide as a service, for `coslide serve --config` and `coslide watch --config`. "
        "What is left out keeps its default."
    )
    write_text(path, "\n".join([head, *commented(service)]) + "\n")


def allowed_file(name: str, folders: tuple[str, ...], what: str) -> Path:
    """Return the path of a file or folder that a served run may open.

    Raises:
        RequestError: it lies in none of the allowed folders, symbolic links followed, or does not
            exist.
    """
    path = Path(name).resolve()
    if not any(path.is_relative_to(Path(folder).resolve()) for folder in folders):
        raise RequestError(
            f"{what}: `{name}` is in none of the allowed folders",
            "Ask the operator: `allow.folders`.",
        )
    if not path.exists():
        raise RequestError(f"{what}: no such file: {name}", "Check the path.")
    return path


def allowed_address(address: str, hosts: tuple[str, ...], what: str) -> str:
    """Return an https address whose host is on a list.

    Raises:
        RequestError: another scheme, user information in it, or another host. The message holds the
            host alone: the rest is secret.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise RequestError(f"{what} holds no https address", "Write https://host/path.")
    if parts.hostname not in hosts:
        raise RequestError(
            f"{what}: {parts.hostname} is not an allowed host",
            "Ask the operator: `allow.webhooks`.",
        )
    return address
