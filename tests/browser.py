"""A headless Chromium that clicks what people click: Debian's program, skipped in words where it or
its driver is not there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0
_ANSWER_S = 20.0


def program() -> str:
    """Return the browser's path, or skip the test."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    return found


@contextmanager
def browser_page(**context: Any) -> Iterator[Page]:
    """Yield an empty page of a browser of its own."""
    where = program()
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where, args=["--no-sandbox"])
        try:
            page = browser.new_context(**context).new_page()
            page.set_default_timeout(1000 * PATIENCE_S)
            yield page
        finally:
            browser.close()


def clicked(page: Page, url: str, links: str = "a[href]") -> dict[str, int | None]:
    """Return what the browser was answered for each link of a page, once it was clicked: an HTTP
    status; None where nothing came. Places within the page are followed, and left out.
    """
    tab = _shown(page, url, links)
    targets = tab.locator(links).evaluate_all("all => all.map(one => one.href)")
    places = tab.locator(links).evaluate_all("all => all.map(one => one.getAttribute('href'))")
    tab.close()
    return {
        target: _answered(page, url, links, number)
        for number, target in enumerate(targets)
        if not places[number].startswith("#")
    }


def _shown(page: Page, url: str, links: str) -> Page:
    """Return a tab of its own that shows a page and its links."""
    tab = page.context.new_page()
    tab.goto(url, wait_until="domcontentloaded")
    tab.wait_for_selector(links, state="attached")
    return tab


def _answered(page: Page, url: str, links: str, number: int) -> int | None:
    """Return the status of the first answer from a link's target after a click on it."""
    tab, statuses = _shown(page, url, links), list[int]()
    target = unquote(tab.locator(links).nth(number).evaluate("one => one.href"))

    def heard(answer: Any) -> None:
        if unquote(answer.url) == target and answer.status != 401:
            statuses.append(answer.status)

    page.context.on("response", heard)
    tab.locator(links).nth(number).evaluate("one => one.click()")
    deadline = time.monotonic() + _ANSWER_S
    while not statuses and time.monotonic() < deadline:
        tab.wait_for_timeout(100)
    page.context.remove_listener("response", heard)
    for opened in page.context.pages:
        if opened is not page:
            opened.close()
    return statuses[0] if statuses else None
