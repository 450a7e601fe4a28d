"""The service on a real Prefect server: triggers, refusals, schedules, one run for two triggers,
notices, secrets, the dead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from small_archive import make_archive, make_cards, make_preset
from usgs import HOST, Usgs, make_certificate, serving

from benchmarks import ui
from benchmarks.local_service import LocalService, local_server, wait_for
from configs.layout import EventFolder

pytestmark = pytest.mark.slow

AUTH = "duty:hidden-auth-string"
SECRET = "hidden-token-of-the-webhook"
REQUEST = {
    "latitude": 42.70,
    "longitude": 142.11,
    "date": "2018-09-05",
    "radius_km": 1.2,
    "as_of": "2018-12-01",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Usgs]:
    """Return who is told by webhook, over https."""
    folder = tmp_path_factory.mktemp("told")
    certificate = make_certificate(folder)
    with serving(Usgs(), certificate) as loopback:
        loopback.url += f"#{certificate[0]}"
        yield loopback


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, told: Usgs) -> Iterator[LocalService]:
    """Return a server with authentication on, and the service served to it: small runs on a small
    archive.
    """
    ground = tmp_path_factory.mktemp("service")
    make_archive(ground / "archive")
    source = {"kind": "archive", "archive": str(ground / "archive")}
    preset = yaml.safe_load(
        make_preset(ground / "small.yaml", make_cards(ground / "cards"), "post").read_text()
    )
    settings = {
        "watch_every": {"cron": "* * * * *", "active": False},
        "tend_every": {"cron": "*/2 * * * *"},
        "runs": {"retries": 1, "retry_minutes": 0.05, "heartbeat_seconds": 1, "silent_minutes": 5},
        "allow": {"hosts": ["nowhere.example"], "webhooks": [HOST]},
        "notify": {"webhooks": ["COSLIDE_TEST_HOOK"]},
    }
    url, certificate = told.url.split("#")
    environment = {"COSLIDE_TEST_HOOK": f"{url}/{SECRET}", "SSL_CERT_FILE": certificate}
    with local_server(
        ground, settings, preset | {"source": source}, auth=AUTH, **environment
    ) as running:
        running.serve()
        running.deployment("map-event")
        running.deployment("tend")
        yield running


def python(service: LocalService, code: str) -> Any:
    """Return what a process of the service prints as JSON."""
    environment = service.environment | {"COSLIDE_SERVICE": str(service.folder / "service.yaml")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"latitude": 95}, "request.latitude"),
        ({"longitude": "east"}, "request.longitude"),
        ({"date": "5.9.2018"}, "request.date"),
        ({"magnitude": 11}, "request.magnitude"),
        ({"name": "../../x"}, "request.name"),
        ({"latitudee": 1}, "latitudee"),
    ],
)
def test_one_wrong_field_is_refused_by_the_api(
    service: LocalService, request_: dict[str, Any], words: str
) -> None:
    status, answer = service.trigger("map-event", {"request": {**REQUEST, **request_}})
    assert (status, words in answer) == (409, True), answer


def test_nobody_without_the_secret_is_answered(service: LocalService) -> None:
    for auth in (None, "duty:wrong"):
        for path, body in (
            ("flow_runs/filter", {}),
            ("deployments/filter", {}),
            ("admin/version", None),
        ):
            assert service.call(path, body, auth=auth)[0] == 401, path
    assert service.call("flow_runs/filter", {})[0] == 200


def test_two_triggers_of_one_event_make_one_revision(service: LocalService, told: Usgs) -> None:
    """The same key is the same run; another trigger of the same request finds the revision made
    while it waited.
    """
    parameters = {"request": {**REQUEST, "name": "quake"}}
    made = [
        service.trigger("map-event", parameters, idempotency_key=key)
        for key in ("one", "one", "two")
    ]
    assert made[1][0] == 200, "the same key is an old run"
    assert made[0][1]["id"] == made[1][1]["id"]
    runs = [service.finished(run["id"]) for _, run in (made[0], made[2])]
    assert {run["state_name"] for run in runs} == {"Completed", "Mapped already"}, [
        run["state"] for run in runs
    ]
    assert list(EventFolder(service.out / "quake").revisions()) == [1]
    run = next(run for run in runs if run["state_name"] == "Completed")
    assert run["name"] == "quake 2018-09-05"
    assert {"quake", "archive", "coslide"} <= set(run["tags"])
    asked = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 100}
    found = {one["key"]: one for one in service.call("artifacts/filter", asked)[1]}
    for key in ("inventory", "landslides", "checkpoints", "observation", "scenes"):
        assert f"quake-{key}" in found, sorted(found)
    assert "report.html: `/" in found["quake-inventory"]["data"]
    shown = json.dumps(list(found.values()))
    assert "file://" not in shown, "browsers block links from a page to files"
    assert "data:image/png" in found["quake-inventory"]["data"]
    assert any(one["type"] == "progress" and one["data"] == 100.0 for one in found.values())
    steps = service.call("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})[
        1
    ]
    assert {step["state_type"] for step in steps} == {"COMPLETED"}
    assert {"pull", "choose", "map", "publish"} <= {step["name"].split("-")[0] for step in steps}
    wait_for(
        lambda: [one for one in told.asked if "quake 2018-09-05: Completed" in one] or None,
        "the webhook",
        30,
    )


def test_what_contradicts_itself_ends_before_the_first_step(
    service: LocalService, told: Usgs
) -> None:
    """And a host that the operator did not allow is not asked: not tried again either."""
    for request_, words in (
        ({"latitude": 42.7, "longitude": 142.1}, "date missing"),
        ({"usgs": "us2000h8ty"}, "earthquake.usgs.gov is not on the list of hosts"),
    ):
        run = service.finished(service.trigger("map-event", {"request": request_})[1]["id"])
        assert (run["state_type"], run["state_name"], run["run_count"]) == (
            "FAILED",
            "Wrong request",
            1,
        )
        assert words in run["state"]["message"]
        assert not service.call(
            "task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}}
        )[1]
    wait_for(
        lambda: [one for one in told.asked if "Wrong request" in one] or None, "the webhook", 30
    )


def test_files_lie_where_the_operator_allowed_and_blocks_are_told(
    service: LocalService, told: Usgs
) -> None:
    code = (
        "import json; from flows.service.flow_runs import train_flow, evaluate_flow\n"
        "def end(state): return [state.name, state.message]\n"
        "out = [end(train_flow('/etc/passwd', return_state=True)),"
        " end(evaluate_flow('../../etc', return_state=True)),"
        " end(evaluate_flow('quake/r001', '/etc/passwd', return_state=True))]\n"
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Hook; "
        "from flows.service import hooks\n"
        "Hook(name='duty', url=__import__('os').environ['COSLIDE_TEST_HOOK'], method='POST',"
        " json_data={'said': '{{subject}}: {{body}}'}).save('duty')\n"
        "from configs.service import ServiceConfig\n"
        "hooks.send(ServiceConfig(notify={'blocks': ['custom-webhook/duty', "
        "'custom-webhook/none']}), 'by block', 'hello')\n"
        "print(json.dumps(out))"
    )
    for name, message in python(service, code):
        assert name == "Wrong request"
        assert "in none of the allowed folders" in message or "leads out of" in message, message
    assert any("by block: hello" in one for one in told.asked)


DEAD = """
import json, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from configs.service import read_service
from flows.service.launcher import DeploymentRuns
from flows.service.tending import tend
from flows.watch.ledger import Run
settings = read_service(Path(sys.argv[1] if len(sys.argv) > 1 else %r))
now = datetime.now(UTC)
later = now + timedelta(minutes=6)
told = [tend(settings, now), tend(settings, later), tend(settings, later)]
event = json.dumps({"usgs_id": "us1234abcd"})
run = Run("us1234abcd.m6", "us1234abcd", "m6", "{}", event, "running", 1, now, None, None, "", now)
handles = [DeploymentRuns().start(run).handle for _ in range(2)]
print(json.dumps([told, handles]))
"""


def test_the_dead_are_found_and_go_on(service: LocalService) -> None:
    """A run that says it runs but is silent is started again, and ends well; the watch's key is one
    run.
    """
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": later}}
    _, run = service.trigger("map-event", {"request": {**REQUEST, "name": "zombie"}}, state=state)
    running = {"state": {"type": "RUNNING", "name": "Running"}, "force": True}
    assert service.call(f"flow_runs/{run['id']}/set_state", running)[0] == 201
    told, handles = python(service, DEAD % str(service.folder / "service.yaml"))
    found = [[words for words in round_ if words.startswith(run["name"])] for round_ in told]
    assert found[0] == [], "who was heard a minute ago is not dead"
    assert len(found[1]) == 1
    assert "started again" in found[1][0]
    assert found[2] == [], "who was started again waits its turn"
    ended = service.finished(run["id"])
    assert (ended["state_type"], ended["run_count"]) == ("COMPLETED", 2), ended["state"]
    assert list(EventFolder(service.out / "zombie").revisions()) == [1]
    assert handles[0] == handles[1]
    assert service.finished(handles[0])["state_name"] == "Wrong request"


def test_what_may_pass_is_tried_again_and_goes_on(service: LocalService) -> None:
    """Somebody else works on the same request: tried again after the pause, in one process, and one
    revision is made.
    """
    from configs.files import read_yaml
    from flows.resolve import make_request, resolve
    from flows.run import workspace

    config = resolve(
        make_request(**REQUEST, name="busy"), read_yaml(service.folder / "preset.yaml", "run")
    )
    work = EventFolder(service.out / "busy").work(f"{config.request_id}.lock").folder
    with workspace.locked(work, "testing"):
        _, run = service.trigger("map-event", {"request": {**REQUEST, "name": "busy"}})
        waiting = wait_for(
            lambda: _named(service.run(run["id"]), "AwaitingRetry"), "a pause before the next try"
        )
        assert "another coslide is already" in waiting["state"]["message"]
    ended = service.finished(run["id"])
    assert (ended["state_type"], ended["run_count"]) == ("COMPLETED", 2), ended["state"]
    assert list(EventFolder(service.out / "busy").revisions()) == [1]


def _named(run: dict[str, Any], name: str) -> dict[str, Any] | None:
    return run if run["state_name"] == name else None


@pytest.mark.browser
def test_a_run_from_the_form_of_the_ui(service: LocalService) -> None:
    """Log in, fill in the form, submit; a field out of its limits makes no run. `make verify-ui`
    does it with pictures.
    """
    if ui.CHROMIUM is None:
        pytest.skip("there is no chromium: apt install chromium")
    from playwright.sync_api import sync_playwright

    fields = {
        "Latitude": "42.70",
        "Longitude": "142.11",
        "Date (UTC)": "2018-09-05",
        "Radius (km)": "1.2",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ui.CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(180_000)
        foreign = []
        page.on(
            "request",
            lambda asked: (
                foreign.append(asked.url)
                if not asked.url.startswith((service.url, "data:", "blob:"))
                else None
            ),
        )
        page.goto(service.url)
        page.locator("input[type=password]").fill(AUTH)
        page.keyboard.press("Enter")
        page.get_by_text("Deployments").first.wait_for()
        ui.fill_form(
            page, service, {**fields, "As of": "2018-12-01", "Event name": "from-the-form"}
        )
        status, answer = ui.submit(page)
        ui.fill_form(page, service, {**fields, "Latitude": "95"})
        page.get_by_role("button", name="Submit").click()
        page.wait_for_timeout(2000)
        assert "/run" in page.url, "the form stays"
        browser.close()
    assert status == 201, answer
    assert foreign == []
    assert service.finished(json.loads(answer)["id"])["state_type"] == "COMPLETED"


def test_a_schedule_produced_a_run(service: LocalService) -> None:
    """With SQLAlchemy 2.1 the server says that all is well and never schedules anything."""
    asked = {
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "deployments": {"name": {"any_": ["tend"]}},
    }

    def made() -> list[Any] | None:
        return [
            run for run in service.call("flow_runs/filter", asked)[1] if run["auto_scheduled"]
        ] or None

    assert wait_for(made, "a run that a schedule made")


def test_no_secret_is_written_down(service: LocalService) -> None:
    """Not in logs, artifacts or parameters on the server, and not in any file of the runs."""
    time.sleep(3)  # logs reach the server in batches
    kept = json.dumps(
        [
            service.call(f"{kind}/filter", {"limit": 200})[1]
            for kind in ("flow_runs", "logs", "artifacts")
        ]
    )
    assert "quake" in kept
    for folder in (service.out, service.folder):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in (
                ".yaml",
                ".json",
                ".jsonl",
                ".html",
                ".log",
                ".csv",
            ):
                kept += path.read_text(encoding="utf-8", errors="replace")
    for secret in (SECRET, AUTH.partition(":")[2]):
        assert secret not in kept
    assert os.environ.get("PREFECT_API_URL") is None
