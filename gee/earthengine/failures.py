"""What a failed request means: wait, try again, ask for less, or stop with the remedy. What the
service itself refuses is sorted by `refusals`.

The client's `EEException` carries only words; the HTTP status and headers are in the error it was
raised from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from google.auth.exceptions import GoogleAuthError, TransportError
from googleapiclient.errors import HttpError

from configs.errors import SourceError
from gee.earthengine.refusals import Cure, rule_for
from gee.fetch import retry_after_s


class Damaged(Exception):
    """A payload that is short, torn, zeroed or not what was asked for."""


@dataclass(frozen=True)
class _Handling:
    """A failure, judged."""

    cure: Cure
    error: SourceError
    """What to tell the user if nothing helps."""
    retry_after: float | None = None


_SECRETS: Final = re.compile(
    r"ya29\.[\w.-]+|Bearer\s+\S+|-----BEGIN[\s\S]*?(?:-----END[^-]*-----|$)|\"?(?:refresh_token|access_token|assertion|"
    r"client_secret|private_key)\"?\s*[:=]\s*\S+",
    re.IGNORECASE,
)


def safe(text: object, limit: int = 300) -> str:
    """Return an error's words on one line, shortened, without anything that looks like a secret."""
    words = " ".join(_SECRETS.sub("[secret]", str(text)).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def judge(error: Exception) -> _Handling:
    """Return what a failure of the client, its transport or its credentials means."""
    answer = error if isinstance(error, HttpError) else error.__context__
    if isinstance(answer, HttpError):
        return _judge_answer(answer, safe(error))
    if isinstance(error, Damaged):
        return _Handling(
            Cure.AGAIN, SourceError(f"Earth Engine keeps sending damaged pixels: {error}", _LATER)
        )
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        if getattr(error, "retryable", False):
            return _Handling(
                Cure.AGAIN, SourceError(f"the token service keeps failing: {safe(error)}", _LATER)
            )
        return _Handling(
            Cure.STOP,
            SourceError(f"the Earth Engine credentials are refused: {safe(error)}", _SIGN_IN),
        )
    if isinstance(
        error, (OSError, TransportError)
    ):  # TimeoutError and ConnectionError are OSErrors
        return _Handling(
            Cure.AGAIN, SourceError(f"Earth Engine cannot be reached: {safe(error)}", _NETWORK)
        )
    return _Handling(
        Cure.STOP, SourceError(f"Earth Engine refused the request: {safe(error)}", _DOCTOR)
    )


def _judge_answer(answer: HttpError, words: str) -> _Handling:
    status = int(answer.resp.status)
    rule = rule_for(status, words)
    wait = retry_after_s(answer.resp.get("retry-after"))
    return _Handling(rule.cure, SourceError(f"{rule.message}: {words}", rule.remedy), wait)


_SIGN_IN: Final = (
    "Run `earthengine authenticate`, or set EE_SERVICE_ACCOUNT_KEY to a key file that is "
    "still valid; "
    "`coslide doctor` tells which credentials are used."
)
_LATER: Final = "Give the same command again later: it goes on where it stopped."
_NETWORK: Final = (
    "Check the network and proxy (`coslide doctor`), then give the same command again: it goes on."
)
_DOCTOR: Final = "Run `coslide doctor --source earthengine`; it names what is missing."
