"""Settings given one by one, `section.key=value`, over those of a file: the model that checks the
file checks them too, and the file written beside the products holds them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from configs.errors import RequestError
from configs.files import UNREADABLE, at_home


def overlaid(content: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return a file's content with settings in place of its own; values are read as YAML.

    Raises:
        RequestError: not ``section.key=value``, a value that is none, or a place that holds a
            value and no settings.
    """
    found = copy.deepcopy(dict(content))
    for text in settings:
        names, value = _parsed(text)
        place = found
        for depth, name in enumerate(names[:-1], 1):
            if place.get(name) is None:
                place[name] = {}
            if not isinstance(place[name], dict):
                raise RequestError(
                    f"--set {text}: `{'.'.join(names[:depth])}` is a value, not a section",
                    f"Set it whole: --set {'.'.join(names[:depth])}=VALUE.",
                )
            place = place[name]
        place[names[-1]] = value
    return found


def sections(settings: Sequence[str]) -> set[str]:
    """Return the sections (first names) that settings belong to."""
    return {_parsed(text)[0][0] for text in settings}


def _parsed(text: str) -> tuple[list[str], Any]:
    """Return a setting's names, outermost first, and its value."""
    path, equals, value = text.partition("=")
    names = [name.strip() for name in path.split(".")]
    if not equals or not all(names):
        raise RequestError(
            f"--set: `{text}` is not SECTION.KEY=VALUE", "Write e.g. --set model.batch=2."
        )
    try:
        return names, at_home(yaml.safe_load(value))
    except (*UNREADABLE, yaml.YAMLError) as error:
        raise RequestError(
            f"--set: `{value}` is no value of a setting",
            "Write it as in a YAML file: a number, true or false, null, a word, or [a, b].",
        ) from error
