"""The words of the products, in one file a language: ``templates/words.en.yaml``. A translation is
another such file.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

LANGUAGE = "en"


@cache
def words_of(language: str = LANGUAGE) -> dict[str, Any]:
    """Return the words in a language; sentences have places for numbers in braces."""
    text = (files("inventory") / "templates" / f"words.{language}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def said(text: str, language: str = LANGUAGE) -> str:
    """Return what a run says in English (a warning, what a checkpoint was trained on) in another
    language, by the sentences of ``templates/said.LANGUAGE.yaml``; as it is where none fits.
    """
    for sentence, other in _said_in(language):
        if found := sentence.fullmatch(text):
            places = {name: said(value, language) for name, value in found.groupdict().items()}
            return other.format(**places)
    return text


@cache
def _said_in(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return each English sentence as a pattern, with its translation."""
    path = files("inventory") / "templates" / f"said.{language}.yaml"
    if not path.is_file():
        return ()
    pairs = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple((_pattern(one["en"]), str(one[language])) for one in pairs)


def _pattern(sentence: str) -> re.Pattern[str]:
    """Return a sentence with places in braces as a pattern that fills them."""
    places = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(sentence))
    return re.compile(places, re.DOTALL)


def numeral(text: str, language: str = LANGUAGE) -> str:
    """Return a number, with its unit, that was written as in English, in another language's way:
    1,090.5 km² is 1.090,5 km² in Spanish, where 1,090 would be little more than one.
    """
    return signed(text, words_of(language))


def signed(text: str, words: dict[str, Any]) -> str:
    """Return a number that was written as in English with the signs of a language's words."""
    signs = words["numbers"]
    return text.translate(str.maketrans({",": signs["group"], ".": signs["decimal"]}))
