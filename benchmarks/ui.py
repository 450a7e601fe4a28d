"""`make verify-ui`: map-event from the form of the Prefect UI in a headless Chromium, from its
command line, and with one curl.

A real server on a loopback address, the simulated source, real clicks. `--write` keeps the
screenshots for docs/ui.md.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from benchmarks.local_service import BIN, LocalService, local_server

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PRESET = {"source": {"kind": "simulated", "landscape": "tephra-hills", "seed": 2024}}
SETTINGS: dict[str, Any] = {
    "watch_every": {"cron": "*/5 * * * *", "active": False},
    "tend_every": {"cron": "*/5 * * * *", "active": False},
}
QUAKE = {
    "Latitude": "42.93",
    "Longitude": "142.41",
    "Date (UTC)": "2024-09-14T03:21",
    "Magnitude": "6.7",
}
SMALL = {"Radius (km)": "1.5", "As of": "2024-11-20"}
LARGEST_BYTES = 300_000
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
KINDS = {"Latitude": "float", "Longitude": "float", "Magnitude": "float", "Radius (km)": "float"}


def keep_nothing(name: str, page: Page) -> None:
    """Take no picture."""


def keep(name: str, page: Page) -> None:
    """Keep a picture of the page for the documents, small enough to be read anywhere."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = IMAGES / f"ui-{name}.png"
    image.quantize(128).save(path, optimize=True)
    if path.stat().st_size > LARGEST_BYTES:
        path.unlink()
        image.save(path.with_suffix(".jpg"), quality=80)


def fill_form(page: Page, service: LocalService, fields: dict[str, str]) -> None:
    """Open the form of map-event and fill it in, field by field."""
    page.goto(f"{service.url}/deployments/deployment/{service.deployment('map-event')['id']}/run")
    page.get_by_text("Event name (Optional)").wait_for()
    for label, value in fields.items():
        field = page.locator(
            ".schema-form-property", has=page.get_by_text(f"{label} (Optional)", exact=True)
        ).last
        kind = field.get_by_role("button", name=KINDS.get(label, "str"), exact=True)
        if kind.count():
            kind.click()
        field.locator("input, textarea").last.fill(value)


def submit(page: Page) -> tuple[int, str]:
    """Press the button and return the HTTP status and the answer of the server.

    Where the server says that it is busy (503) the form stays, and it is pressed again, as a
    person would.
    """
    for _ in range(3):
        with page.expect_response(
            lambda answer: "create_flow_run" in answer.url and answer.request.method == "POST"
        ) as waiting:
            page.get_by_role("button", name="Submit").click()
        if waiting.value.status != 503:
            break
        page.wait_for_timeout(3000)
    return waiting.value.status, waiting.value.text()


def from_the_form(
    page: Page, service: LocalService, picture: Callable[[str, Page], None]
) -> dict[str, Any]:
    """Trigger a run from the form, watch it, open its artifacts; return the flow run."""
    fill_form(page, service, {**QUAKE, **SMALL, "Event name": "from-the-form"})
    page.get_by_text("Latitude (Optional)").scroll_into_view_if_needed()
    picture("form", page)
    status, words = submit(page)
    assert status == 201, words
    found = service.call("flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 50})[1]
    run = next(run for run in found if not run["auto_scheduled"])
    page.goto(f"{service.url}/runs/flow-run/{run['id']}")
    page.get_by_text("Running", exact=True).first.wait_for(timeout=120_000)
    page.get_by_text("choose").first.wait_for(timeout=120_000)
    picture("running", page)
    run = service.finished(run["id"])
    page.reload()
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.wait_for_timeout(3000)  # the graph of steps draws itself
    picture("run", page)
    open_artifacts(page, service, run, picture)
    return run


def open_artifacts(
    page: Page, service: LocalService, run: dict[str, Any], picture: Callable[[str, Page], None]
) -> None:
    """Open the artifacts of a run, one after the other."""
    asked = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 100}
    found = {one["key"]: one["id"] for one in service.call("artifacts/filter", asked)[1]}
    for name in ("inventory", "landslides", "checkpoints", "observation", "scenes"):
        key = f"from-the-form-{name}"
        page.goto(f"{service.url}/artifacts/artifact/{found[key]}")
        page.get_by_text(key).first.wait_for()
        if name == "inventory":
            page.locator("img[src^='data:image/png']").wait_for()
            assert page.get_by_text("simulated").count(), "a simulated result is called so"
        page.wait_for_timeout(500)
        picture(f"artifact-{name}", page)
    assert {"pulling-imagery"} <= set(found), sorted(found)


def refused(page: Page, service: LocalService, picture: Callable[[str, Page], None]) -> list[str]:
    """Return the words with which wrong requests are refused: by the form, by the API, and as the
    run's state.
    """
    fill_form(page, service, {**QUAKE, "Latitude": "95"})
    page.get_by_role("button", name="Submit").click()
    words = page.locator(
        ".schema-form-property", has=page.get_by_text("Latitude (Optional)", exact=True)
    ).last
    page.wait_for_timeout(2000)
    page.get_by_text("Date (UTC) (Optional)").scroll_into_view_if_needed()
    picture("refused-field", page)
    said = [" ".join(words.inner_text().split())]
    status, answer = service.trigger("map-event", {"request": {"latitude": 95, "longitude": 142.4}})
    assert (status, "request.latitude" in answer) == (409, True), answer
    said.append(json.loads(answer)["detail"])
    _, run = service.trigger("map-event", {"request": {"latitude": 42.93, "longitude": 142.41}})
    ended = service.finished(run["id"])
    assert (ended["state_type"], ended["state_name"]) == ("FAILED", "Wrong request")
    assert ended["estimated_run_time"] < 60
    page.goto(f"{service.url}/runs/flow-run/{run['id']}")
    page.get_by_text("Wrong request").first.wait_for()
    page.wait_for_timeout(2000)
    picture("refused-run", page)
    return [*said, ended["state"]["message"]]


def from_the_command_line(service: LocalService) -> dict[str, Any]:
    """Trigger a run by `prefect deployment run` and return it when it has ended."""
    request = {"latitude": 42.93, "longitude": 142.41, "date": "2024-09-14T03:21", "radius_km": 1.0}
    request |= {"as_of": "2024-11-20", "name": "from-the-command-line"}
    command = [
        str(BIN / "prefect"),
        "deployment",
        "run",
        "map-event/map-event",
        "--param",
        f"request={json.dumps(request)}",
    ]
    done = subprocess.run(
        command, env=service.environment, capture_output=True, text=True, check=True
    )
    identity = next(
        word for word in done.stdout.split() if word.count("-") == 4 and len(word) == 36
    )
    return service.finished(identity)


def from_curl(service: LocalService) -> dict[str, Any]:
    """Trigger a run with one curl and return it when it has ended."""
    request = {"latitude": 42.93, "longitude": 142.41, "date": "2024-09-14T03:21", "radius_km": 1.0}
    body = {"parameters": {"request": {**request, "as_of": "2024-11-20", "name": "from-curl"}}}
    url = f"{service.url}/api/deployments/{service.deployment('map-event')['id']}/create_flow_run"
    command = [
        "curl",
        "-s",
        "-X",
        "POST",
        url,
        "-H",
        "content-type: application/json",
        "-d",
        json.dumps(body),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return service.finished(json.loads(done.stdout)["id"])


def main() -> None:
    """Do it all, and keep the pictures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the screenshots in docs/images")
    picture = keep if parser.parse_args().write else keep_nothing
    if CHROMIUM is None:
        raise SystemExit("there is no chromium: `apt install chromium`, then again")
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        local_server(Path(folder), SETTINGS, PRESET) as service,
    ):
        service.serve()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.set_default_timeout(60_000)
            print("form:", from_the_form(page, service, picture)["state"]["name"])
            for words in refused(page, service, picture):
                print("refused:", words)
            page.goto(f"{service.url}/runs")
            page.get_by_text("from-the-form").first.wait_for()
            browser.close()
        for trigger in (from_the_command_line, from_curl):
            ended = trigger(service)
            assert ended["state_type"] == "COMPLETED", ended["state"]
            print(f"{trigger.__name__}:", ended["name"], ended["state"]["name"])


if __name__ == "__main__":
    main()
