"""Options of the command line that are fields of a request: type, metavar and help stand once, in
`configs.request.Request`, for the command line, the REST API and the form alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

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


set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Change a setting of the configuration, e.g. model.batch=2; repeatable.",
)
"""For every verb that takes a configuration (`configs.overrides`)."""
