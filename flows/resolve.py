"""From what somebody asked to a run that says everything: event, area, windows, source.

What a request leaves open comes from the operator's preset (a run file, or parts of one), then from
the defaults.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs import area as areas
from configs.area import Area
from configs.complaints import as_request_error
from configs.errors import NothingToSeeError, RequestError, SourceError
from configs.event import (
    Event,
    Windows,
    check_name,
    check_windows,
    default_name,
    default_windows,
    parse_moment,
    parse_range,
)
from configs.files import short
from configs.land import land_fraction
from configs.request import Request
from configs.run import LookConfig, RunConfig
from configs.spelling import instead
from flows import ready

_SOURCES = ("earthengine", "stac:earth-search", "archive:DIR", "simulated")
"""Where imagery may come from, as `--source` names it."""
_SHALLOW_KM = 70.0
"""Deeper earthquakes rarely trigger landslides (USGS: shallow-focus limit)."""
_LARGE_MAGNITUDE = 7.0
"""From here a rupture is so long that a circle around the epicentre misses much of the shaking."""


@dataclass(frozen=True)
class Files:
    """What only a person at the command line may name: local files and addresses."""

    usgs: Path | None = None
    shakemap: str | None = None
    area: str | None = None
    """``W,S,E,N`` or a vector file."""


def resolve(
    request: Request,
    preset: Mapping[str, Any],
    files: Files = Files(),
    now: datetime | None = None,
    hosts: Collection[str] | None = None,
) -> RunConfig:
    """Return the full configuration of a run.

    Args:
        request: what was asked, field by field.
        preset: a run file's content, whole or in part; the request wins.
        files: local files the request goes with.
        now: the clock, where the request does not set `as_of`.
        hosts: where given, no other host is asked for the event and its ShakeMap (served runs).

    Raises:
        RequestError: fields missing, contradictory or out of range.
        NothingToSeeError: the area lies in the sea.
    """
    preset = with_sections(preset)
    look = _part(LookConfig, preset, "look")
    check_source(preset)
    event = _event(request, preset, files, hosts)
    as_of = _as_of(request, preset, now)
    windows = _windows(request, preset, event, as_of, look)
    check_windows(event, windows)
    area, warnings = _area(request, preset, files, event, look, hosts)
    _check_area(area, look)
    content = {
        key: value
        for key, value in preset.items()
        if key not in ("event", "area", "windows", "warnings", "look")
    }
    content["model"] = {**preset.get("model", {})}
    if request.checkpoint != "auto" or "checkpoint" not in content["model"]:
        content["model"]["checkpoint"] = request.checkpoint
    try:
        return RunConfig.model_validate(
            {
                **content,
                "event": event,
                "area": area.as_plain(),
                "windows": windows,
                "look": look,
                "warnings": tuple(warnings),
            }
        )
    except ValidationError as error:
        raise as_request_error(error, "the run's configuration", model=RunConfig) from error


_SECTIONS = ("event", "windows", "source", "look", "model")
"""Parts of a run file that are read before the whole is checked."""


def with_sections(preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run file's content without the sections that hold nothing.

    Raises:
        RequestError: a section is a single value.
    """
    for name in _SECTIONS:
        if not isinstance(preset.get(name) or {}, Mapping):
            raise RequestError(
                f"`{name}` of the run file is a section, not a value: {short(preset[name])}",
                f"Write its settings below it, `{name}:` and indented lines `name: value`.",
            )
    return {name: value for name, value in preset.items() if value or name not in _SECTIONS}


def _part(model: type[LookConfig], preset: Mapping[str, Any], key: str) -> LookConfig:
    try:
        return model.model_validate(preset.get(key, {}))
    except ValidationError as error:
        raise as_request_error(error, key, model=model) from error


def _as_of(request: Request, preset: Mapping[str, Any], now: datetime | None) -> datetime:
    as_of = request.as_of or preset.get("windows", {}).get("as_of")
    if as_of:
        moment, has_time = parse_moment(str(as_of), "--as-of")
        return moment if has_time else moment.replace(hour=23, minute=59, second=59)
    return (now or datetime.now(UTC)).replace(microsecond=0)


def _event(
    request: Request, preset: Mapping[str, Any], files: Files, hosts: Collection[str] | None
) -> Event:
    """Return the event: from the USGS, from the request's fields, or from the preset."""
    if request.usgs or files.usgs:
        from gee import catalog

        event = (
            catalog.read_event(files.usgs)
            if files.usgs
            else catalog.fetch_event(str(request.usgs), hosts)
        )
        return event.model_copy(update={"name": check_name(request.name or event.name)})
    if request.latitude is None or request.longitude is None or request.date is None:
        if (
            "event" in preset
            and request.latitude is None
            and request.longitude is None
            and request.date is None
        ):
            return _preset_event(request, preset["event"])
        missing = [
            name
            for name, value in (
                ("latitude", request.latitude),
                ("longitude", request.longitude),
                ("date", request.date),
            )
            if value is None
        ]
        raise RequestError(
            f"the event is not described: {', '.join(missing)} missing",
            "Give --epicentre LAT,LON --date YYYY-MM-DD [--magnitude M], or --usgs ID.",
        )
    moment, has_time = parse_moment(request.date)
    name = request.name or default_name(moment, request.latitude, request.longitude)
    return Event(
        name=check_name(name),
        time=moment,
        time_of_day_known=has_time,
        latitude=request.latitude,
        longitude=request.longitude,
        magnitude=request.magnitude,
    )


def _preset_event(request: Request, content: Any) -> Event:
    try:
        event = Event.model_validate(content)
    except ValidationError as error:
        raise as_request_error(error, "event") from error
    return event.model_copy(update={"name": check_name(request.name or event.name)})


def _windows(
    request: Request, preset: Mapping[str, Any], event: Event, as_of: datetime, look: LookConfig
) -> Windows:
    default = default_windows(event, max(as_of, event.time), look.pre_days, look.post_days)
    named = preset.get("windows", {})
    pre = parse_range(request.pre, "--pre") if request.pre else named.get("pre", default.pre)
    post = parse_range(request.post, "--post") if request.post else named.get("post", default.post)
    try:
        return Windows(pre=pre, post=post, as_of=as_of)
    except ValidationError as error:
        raise as_request_error(error, "windows") from error


def _area(
    request: Request,
    preset: Mapping[str, Any],
    files: Files,
    event: Event,
    look: LookConfig,
    hosts: Collection[str] | None,
) -> tuple[Area, list[str]]:
    """Return where to look and what is doubtful about it: explicit first, then ShakeMap, then
    magnitude (contract).
    """
    warnings = []
    if event.depth_km is not None and event.depth_km > _SHALLOW_KM:
        warnings.append(
            f"the earthquake is {event.depth_km:g} km deep: few landslides are expected"
        )
    if request.radius_km:
        return areas.around(event.latitude, event.longitude, request.radius_km), warnings
    if files.area or request.bounds:
        return _given_area(files.area or str(request.bounds)), warnings
    if files.shakemap:
        return _shakemap_area(files.shakemap, look, hosts), warnings
    described = request.usgs or files.usgs or request.latitude is not None
    if isinstance(preset.get("area"), Mapping) and "event" in preset and not described:
        return Area.from_plain(dict(preset["area"])), warnings  # a run file says where it looked
    if event.shakemap_url:
        try:
            return _shakemap_area(event.shakemap_url, look, hosts), warnings
        except (SourceError, RequestError) as error:
            warnings.append(
                f"the event's ShakeMap could not be had ({error.message}); a circle by "
                "magnitude is used"
            )
    if "area" in preset:
        named = preset["area"]
        return (_given_area(named) if isinstance(named, str) else Area.from_plain(named)), warnings
    if event.magnitude is None:
        raise RequestError(
            "neither area nor magnitude is known, so where to look is not either",
            "Give --magnitude, --radius-km, --area or --shakemap.",
        )
    if event.magnitude >= _LARGE_MAGNITUDE:
        warnings.append(
            f"magnitude {event.magnitude:g} without a ShakeMap: the rupture is long and a "
            "circle around the epicentre "
            "may miss much of the shaken area; give --shakemap or --area"
        )
    warnings += [event.shakemap_doubt] if event.shakemap_doubt else []
    return areas.from_magnitude(event.latitude, event.longitude, event.magnitude), warnings


def _shakemap_area(where: str, look: LookConfig, hosts: Collection[str] | None = None) -> Area:
    """Return the area inside the contour of a ShakeMap, a file or an address."""
    from gee import shakemap

    return shakemap.area(where, look.shakemap_field, look.shakemap_threshold, hosts)


def _given_area(text: str) -> Area:
    parts = text.split(",")
    if len(parts) == 4 and not Path(text).exists():
        return areas.from_bounds(text)
    return areas.from_file(text)


_SMALLEST_KM2 = 1e-4
"""One pixel of 10 m."""


def _check_area(area: Area, look: LookConfig) -> None:
    if not area.km2 >= _SMALLEST_KM2:
        raise RequestError(
            f"the area ({area.origin}) is smaller than a pixel of 10 m",
            "Give a larger --radius-km or --area.",
        )
    if area.km2 > look.largest_km2:
        raise RequestError(
            f"the area is {area.km2:,.0f} km², more than {look.largest_km2:,.0f}",
            "Give a smaller --radius-km or --area, a higher ShakeMap contour, or raise "
            "look.largest_km2 in the run file.",
        )
    if land_fraction(area) == 0:
        lon, lat = area.centre
        raise NothingToSeeError(
            f"the area around {lat:.2f}, {lon:.2f} lies in the sea ({area.origin})",
            "Check --epicentre LAT,LON (latitude first), or give --area on land.",
        )


def make_request(**fields: Any) -> Request:
    """Return a request from named fields, those that are None left to their defaults.

    Raises:
        RequestError: a field out of its limits, named.
    """
    try:
        return Request.model_validate(
            {key: value for key, value in fields.items() if value is not None}
        )
    except ValidationError as error:
        raise as_request_error(error, "the request") from error


def check_source(preset: Mapping[str, Any], remedy: str = "") -> None:
    """Refuse a request that names no source: nobody shall take the simulated Earth for the real
    one because a line was missing.

    Raises:
        RequestError: no `source.kind`.
    """
    source = preset.get("source")
    if not isinstance(source, Mapping) or not source.get("kind"):
        raise RequestError(
            "no source of imagery is named",
            remedy
            or f"Give --source; ready on this machine: {', '.join(ready.sources())}. Or "
            "`source: {kind: …}` in the run file.",
        )


def check_drill(preset: Mapping[str, Any], drill: bool) -> None:
    """Refuse a real earthquake on the simulated Earth, unless it is an exercise.

    Raises:
        RequestError: no source, or a simulated one without `drill`.
    """
    check_source(
        preset,
        "Write `preset: run.yaml` into the service file (or --set preset=run.yaml), and into that "
        "run file `source: {kind: earthengine}`, or stac, archive, or for an exercise simulated.",
    )
    if preset["source"]["kind"] == "simulated" and not drill:
        raise RequestError(
            "real earthquakes would be mapped on the simulated Earth",
            "Set `source.kind` to earthengine, stac or archive in the service's preset, or "
            "`drill: true` in the service file for an exercise.",
        )


def name_source(given: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the source part of a run file with another source in it, its settings kept.

    Raises:
        RequestError: `text` is no source.
    """
    named = parse_source(text)
    if "stac" in named:
        named["stac"] = {**(given.get("stac") or {}), **named["stac"]}
    return {**given, **named}


def parse_source(text: str) -> dict[str, Any]:
    """Return the source part of a run file from ``earthengine``, ``stac:CATALOGUE``,
    ``archive:DIR`` or ``simulated[:LANDSCAPE]``.

    Raises:
        RequestError: anything else.
    """
    kind, _, rest = text.partition(":")
    if kind == "archive" and rest:
        return {"kind": "archive", "archive": rest}
    if kind == "stac" and rest:
        return {"kind": "stac", "stac": {"catalogue": rest}}
    if kind == "simulated":
        return {"kind": "simulated", "landscape": rest or None}
    if kind == "earthengine" and not rest:
        return {"kind": "earthengine"}
    raise RequestError(
        f"--source: `{text}` is no source",
        instead(
            kind,
            _SOURCES,
            "Use earthengine, stac:earth-search (or stac:URL), archive:DIR or "
            "simulated[:LANDSCAPE].",
        ),
    )
