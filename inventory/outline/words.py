"""The words of the products, in one file a language: ``templates/words.en.yaml``. A translation is
another such file.
"""

from __future__ import annotations

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


def numeral(text: str, language: str = LANGUAGE) -> str:
    """Return a number, with its unit, that was written as in English, in another language's way:
    1,090.5 km² is 1.090,5 km² in Spanish, where 1,090 would be little more than one.
    """
    return signed(text, words_of(language))


def signed(text: str, words: dict[str, Any]) -> str:
    """Return a number that was written as in English with the signs of a language's words."""
    signs = words["numbers"]
    return text.translate(str.maketrans({",": signs["group"], ".": signs["decimal"]}))
