"""Notices to whoever must know: webhooks and a mailbox. A notice never fails a run, and no address
or password is ever logged.

Not by apprise: it knows no list of allowed hosts, and whether it follows a redirect stands in the
address itself. Other services are reached by Prefect's notification blocks (`flows.service.hooks`).
"""

from __future__ import annotations

import logging
import os
import smtplib
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from functools import partial

from configs.errors import RequestError, SourceError
from configs.service import Email, Notify, ServiceConfig, allowed_address

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
PASSWORD = "COSLIDE_SMTP_PASSWORD"
"""Environment variable with the mailbox's password."""
LONGEST = 4000
"""Characters of a message; chat services cut or refuse longer ones."""


def send(service: ServiceConfig, subject: str, body: str) -> list[str]:
    """Return which recipients in `notify` could not be reached by webhook or mail."""
    failed = []
    for name, send in _senders(service):
        try:
            send(subject, body[:LONGEST])
        except (RequestError, SourceError) as error:
            failed.append(f"{name}: {error.message}")
            logger.warning("the notice to %s was not delivered: %s", name, error.message)
    return failed


def check(notify: Notify, hosts: tuple[str, ...]) -> None:
    """Refuse webhooks that are not set or lead to hosts that are not allowed.

    Raises:
        RequestError: which one, without its address.
    """
    for name in notify.webhooks:
        _address(name, hosts)


def _senders(service: ServiceConfig) -> Iterator[tuple[str, Callable[[str, str], None]]]:
    for name in service.notify.webhooks:
        yield name, partial(_webhook, name, service.allow.webhooks)
    if service.notify.email is not None:
        yield f"mailbox at {service.notify.email.host}", partial(_mail, service.notify.email)


def _address(name: str, hosts: tuple[str, ...]) -> str:
    if not os.environ.get(name):
        raise RequestError(
            f"{name} is not set",
            "Set it to the webhook's address, or take it out of notify.webhooks.",
        )
    return allowed_address(os.environ[name], hosts, name)


def _webhook(name: str, hosts: tuple[str, ...], subject: str, body: str) -> None:
    """Post a message as JSON: `text` as chat services read it, `subject` and `body` for programs.
    Redirects are not followed.
    """
    import httpx

    content = {"text": f"{subject}\n{body}", "subject": subject, "body": body}
    try:
        answer = httpx.post(
            _address(name, hosts), json=content, timeout=TIMEOUT_S, follow_redirects=False
        )
    except httpx.HTTPError as error:
        raise SourceError(
            f"no answer ({type(error).__name__})"
        ) from None  # its text may hold the address
    if not answer.is_success:
        raise SourceError(f"HTTP {answer.status_code}")


def _mail(mailbox: Email, subject: str, body: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = (
        " ".join(f"coslide: {subject}".split()),  # a header is one line
        mailbox.sender,
        ", ".join(mailbox.to),
    )
    message.set_content(body)
    try:
        with smtplib.SMTP(mailbox.host, mailbox.port, timeout=TIMEOUT_S) as server:
            if mailbox.encrypted:
                server.starttls(context=ssl.create_default_context())
            if mailbox.user:
                server.login(mailbox.user, os.environ.get(PASSWORD, ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise SourceError(f"not accepted ({type(error).__name__})") from None
