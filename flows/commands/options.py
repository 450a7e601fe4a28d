"""Options of the command line that are fields of a request: type, metavar and help stand once, in
`configs.request.Request`, for the command line, the REST API and the form alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast, get_args

import click
from click.core import ParameterSource

from configs.errors import RequestError
from configs.request import METAVARS, Request

F = TypeVar("F", bound=Callable[..., Any])


def request_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds fields of `Request` as options, `--radius-km` for `radius_km`.

    Limits are checked by the model (`flows.resolve.make_request`), whose refusal names the field.
    """

    def decorate(function: F) -> F:
        for name in reversed(names):  # click lists decorators from the top
            field = Request.model_fields[name]
            number = float in (get_args(field.annotation) or (field.annotation,))
            function = click.option(
                f"--{name.replace('_', '-')}",
                type=float if number else str,
                metavar=METAVARS.get(name, "TEXT"),
                help=" ".join((field.description or "").split()),
            )(function)
        return function

    return decorate


_Places = Mapping[str, str | tuple[str, ...]]


def set_option(**says: str | tuple[str, ...]) -> Callable[[F], F]:
    """Return a decorator that adds ``--set``, for every verb that takes a configuration
    (`configs.overrides`).

    Args:
        says: parameter of an option of the verb, to the settings that it decides. Whoever gives
            both has said two things, and is told so: neither silently wins.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def once(**given: Any) -> Any:
            _said_once(given["settings"], says)
            return function(**given)

        return click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="SECTION.KEY=VALUE",
            help="Change a setting of the configuration, e.g. model.batch=2; repeatable.",
        )(cast(F, once))

    return decorate


def _said_once(settings: Sequence[str], says: _Places) -> None:
    """Refuse settings that an option, given beside them, decides.

    Raises:
        RequestError: names both.
    """
    context = click.get_current_context()
    for parameter, decided in says.items():
        if context.get_parameter_source(parameter) is not ParameterSource.COMMANDLINE:
            continue
        places = [decided] if isinstance(decided, str) else decided
        for text in settings:
            path = text.partition("=")[0].strip()
            if any(
                f"{path}.".startswith(f"{place}.") or place.startswith(f"{path}.")
                for place in places
            ):
                option = next(one for one in context.command.params if one.name == parameter)
                raise RequestError(
                    f"{option.opts[0]} and --set {path} say the same thing twice",
                    "Give one of them.",
                )
