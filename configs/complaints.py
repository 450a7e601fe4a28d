"""What pydantic finds wrong with a file or request, in words: everything at once, by the names that
stand in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from configs.errors import RequestError
from configs.files import loader_for, read_yaml
from configs.overrides import overlaid
from configs.spelling import meant

_Model = TypeVar("_Model", bound=BaseModel)

_MOST = 12
"""Complaints in one message; who has more has given another file."""
_MANY: Final = (list, tuple, dict, Mapping)
"""Kinds of fields that hold several of something, by number or by name."""
_MOMENT: Final = "a day, YYYY-MM-DD, or a moment, YYYY-MM-DDTHH:MM (UTC, unless it names its zone)"
_FORMS: Final = {
    "bounds": "four numbers W,S,E,N in degrees, e.g. 141.8,42.6,142.1,42.9",
    "as_of": _MOMENT,
    "date": _MOMENT,
    "engine": "plain, dask://local, dask://local?workers=N or dask://HOST:PORT",
    "feed": "an https:// address",
    "host": "a host name",
    "name": "letters, digits, dots, dashes and underscores, at most 64, a letter or digit first",
    "post": "two days FROM/TO, e.g. 2018-09-06/2018-12-01",
    "pre": "two days FROM/TO, e.g. 2018-03-01/2018-09-05",
    "project": "the id of a Google Cloud project",
    "sender": "an e-mail address",
    "store": "an absolute folder, or an address such as s3://bucket/folder",
    "to": "e-mail addresses",
    "url": "an http:// or https:// address",
    "usgs": "an event id of the USGS, e.g. us6000jllz",
    "workload_tag": "lower case letters, digits, - and _, at most 63, no sign at either end",
}
"""How fields with a form of their own are written, instead of their regular expressions."""
_KINDS: Final = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a finite number",
    "bool": "must be true or false",
    "string": "must be a word or a text",
    "tuple": "must be a list, [a, b]",
    "list": "must be a list, [a, b]",
    "dict": "must be a section of settings, `name: value`",
    "model": "must be a section of settings, `name: value`",
}
"""What a value must be, by the first word of the type of complaint."""


def read_model(
    path: Path, kind: str, model: type[_Model], remedy: str = "", settings: Sequence[str] = ()
) -> _Model:
    """Return what a YAML file of a kind describes; `settings` (``section.key=value``) go before
    what it says.

    Raises:
        RequestError: missing, malformed, or of a newer format; everything wrong is named, with the
            line it stands in, and `remedy` where one is given.
    """
    content = overlaid(read_yaml(path, kind), settings)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise as_request_error(error, str(path), remedy, model, path) from error


def checked(
    content: Mapping[str, Any], where: str, model: type[_Model], remedy: str = ""
) -> _Model:
    """Return what settings describe; `where` they stand is named in an error.

    Raises:
        RequestError: anything wrong, all of it at once.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise as_request_error(error, where, remedy, model) from error


def as_request_error(
    error: ValidationError,
    where: str,
    remedy: str = "",
    model: type[BaseModel] | None = None,
    file: Path | None = None,
) -> RequestError:
    """Return everything that is wrong as one error.

    Args:
        error: what pydantic raised.
        where: the file, or what was given.
        remedy: what to do; to correct the fields where empty.
        model: what it should have been; a misspelled field is then guessed.
        file: the YAML file it was read from, so that lines can be named.
    """
    every: list[dict[str, Any]] = [dict(one) for one in error.errors()]
    lines = _lines_of(file, [one["loc"] for one in every[:_MOST]]) if file else [""] * len(every)
    found = [_complaint(one, model) for one in every]
    fields = list(dict.fromkeys(f"`{name}`" for name, _ in found if name)) or ["it"]
    told = [
        f"{name}{line}: {words}".removeprefix(": ")
        for (name, words), line in zip(found[:_MOST], lines, strict=False)
    ]
    if len(found) > _MOST:
        told.append(f"and {len(found) - _MOST} more")
    return RequestError(
        f"{where}: {'; '.join(told)}", remedy or f"Correct {', '.join(fields[:_MOST])}."
    )


def _complaint(one: dict[str, Any], model: type[BaseModel] | None) -> tuple[str, str]:
    """Return (field, what is wrong with it)."""
    field = ".".join(str(part) for part in one["loc"])  # empty: of several fields
    if one["type"] == "missing":
        return field, "is missing (required)"
    if one["type"] == "extra_forbidden":
        near = meant(str(one["loc"][-1]), _fields_at(model, one["loc"][:-1]))
        return field, f"there is no such setting. {near}".rstrip()
    words = _plain(one)
    if one["type"] == "string_pattern_mismatch":
        named = [part for part in one["loc"] if isinstance(part, str)]
        form = _FORMS.get(named[-1] if named else "", "")
        words = f"must be {form}" if form else "is not written as it has to be"
    shown = one.get("input")
    if shown is None or isinstance(shown, dict | list):
        return field, words
    return field, f"{words} (given: {shown!r})"


def _plain(one: dict[str, Any]) -> str:
    """Return what is wrong with a value, without the names of types."""
    kind, _, rest = str(one["type"]).partition("_")
    if kind in _KINDS and rest in ("parsing", "type", "from_float", "number"):
        return _KINDS[kind]
    words = str(one["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    if one["type"] == "literal_error" and isinstance(one.get("input"), str):
        near = meant(one["input"], re.findall(r"'([^']*)'", str(one["ctx"]["expected"])))
        return f"{words}. {near}".removesuffix(". ")
    return words


def _fields_at(model: Any, path: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the names of the settings that may stand at a place of a model; none where that is
    not known.
    """
    if isinstance(model, type) and issubclass(model, BaseModel):
        if not path:
            return tuple(model.model_fields)
        field = model.model_fields.get(str(path[0]))
        return _fields_at(field.annotation, path[1:]) if field else ()
    inside = path[1:] if get_origin(model) in _MANY else path
    return tuple(name for part in get_args(model) for name in _fields_at(part, inside))


def _lines_of(file: Path, places: list[tuple[Any, ...]]) -> list[str]:
    """Return ` (line N)` for each place in a YAML file; that of what it is missing from where it
    is not there, nothing at the top.
    """
    text = file.read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=loader_for(text))
    return [_line_of(root, place) for place in places]


def _line_of(node: yaml.Node | None, place: tuple[Any, ...]) -> str:
    line = None
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if pair[0].value == str(part)]
            if not pairs:
                break
            line, node = pairs[-1][0].start_mark.line, pairs[-1][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return "" if line is None else f" (line {line + 1})"
