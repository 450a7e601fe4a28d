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
    from playwright.sync_api import Page, Route

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0


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
    status; None where it asked for nothing. Places within the page are left out.

    The browser itself hears "no content" and stays where it is: neither tabs nor downloads, whose
    end Chromium may never tell, have to be closed.
    """
    answered: dict[str, int] = {}

    def pass_on(route: Route) -> None:
        answered[unquote(route.request.url)] = route.fetch(timeout=1000 * PATIENCE_S).status
        route.fulfill(status=204)

    page.goto(url, wait_until="domcontentloaded")
    page.wait_for_selector(links, state="attached")
    listed = "all => all.map(one => [one.href, one.getAttribute('href')])"
    found = [
        target
        for target, place in page.locator(links).evaluate_all(listed)
        if not place.startswith("#")
    ]
    page.context.route(lambda asked: unquote(asked) in set(map(unquote, found)), pass_on)
    for target in found:
        page.locator(links).evaluate_all(
            "(all, target) => all.find(one => one.href == target).click()", target
        )
        deadline = time.monotonic() + PATIENCE_S
        while unquote(target) not in answered and time.monotonic() < deadline:
            page.wait_for_timeout(50)
    page.context.unroute_all()
    return {target: answered.get(unquote(target)) for target in found}
