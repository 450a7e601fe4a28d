"""What pydantic finds wrong with a file or request, in words: everything at once, by the names that
stand in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from configs.errors import RequestError
from configs.files import read_yaml

_Model = TypeVar("_Model", bound=BaseModel)

_MOST = 12
"""Complaints in one message; who has more has given another file."""
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
    "usgs": "an event id of the USGS, e.g. us6000jllz",
}
"""How fields with a form of their own are written, instead of their regular expressions."""


def read_model(path: Path, kind: str, model: type[_Model], remedy: str = "") -> _Model:
    """Return what a YAML file of a kind describes.

    Raises:
        RequestError: missing, malformed, or of a newer format; everything wrong is named, with
            `remedy` where one is given.
    """
    return checked(read_yaml(path, kind), str(path), model, remedy)


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
        raise as_request_error(error, where, remedy) from error


def as_request_error(error: ValidationError, where: str, remedy: str = "") -> RequestError:
    """Return everything that is wrong as one error.

    Args:
        error: what pydantic raised.
        where: the file, or what was given.
        remedy: what to do; to correct the fields where empty.
    """
    found = [_complaint(dict(one)) for one in error.errors()]
    fields = list(dict.fromkeys(f"`{name}`" for name, _ in found))
    told = [f"{name}: {words}" for name, words in found[:_MOST]]
    if len(found) > _MOST:
        told.append(f"and {len(found) - _MOST} more")
    return RequestError(
        f"{where}: {'; '.join(told)}", remedy or f"Correct {', '.join(fields[:_MOST])}."
    )


def _complaint(one: dict[str, Any]) -> tuple[str, str]:
    """Return (field, what is wrong with it)."""
    field = ".".join(str(part) for part in one["loc"]) or "the whole"
    if one["type"] == "missing":
        return field, "is missing (required)"
    words = str(one["msg"]).removeprefix("Value error, ")
    if one["type"] == "string_pattern_mismatch":
        named = [part for part in one["loc"] if isinstance(part, str)]
        form = _FORMS.get(named[-1] if named else "", "")
        words = f"must be {form}" if form else "is not written as it has to be"
    shown = one.get("input")
    return field, words if isinstance(shown, dict | list) else f"{words} (given: {shown!r})"
