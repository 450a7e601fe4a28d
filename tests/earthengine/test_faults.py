"""The fault matrix: whatever goes wrong, the stack equals the clean one, or there is one clear
error and nothing half-written.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.earthengine import EarthEngineConfig
from configs.errors import CoslideError, SourceError
from configs.stack import Stack
from earthengine import world
from earthengine.conftest import ROWS, write_key
from earthengine.evaluator import Evaluator
from earthengine.loopback import Engine, Fault, Loopback
from gee.earthengine import EarthEngineSource, disconnect, pixels
from gee.earthengine import rate_limit as gates
from gee.source import Plan
from gee.stack import assemble
from gee.store import markers

pytestmark = pytest.mark.faults

GRID = world.AREA.geobox(2.5)  # 960 px: sixteen blocks of 256
BANDS = ("post_B4", "dem")
QUICK = EarthEngineConfig(
    block_px=256,
    deadline_s=2,
    silence_s=0.4,
    attempts=4,
    patience_s=2,
    workers=8,
    scenes_per_tile=2,
)
BLOCKS = 16


class Remembering(Engine):
    """Evaluates each request once: the matrix is about the way, not about the pixels."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._memory: dict[str, Any] = {}

    def value(self, expression: dict[str, Any]) -> Any:
        return self._once(("value", expression), lambda: self._engine.value(expression))

    def pixels(self, request: dict[str, Any]) -> bytes:
        found: bytes = self._once(("pixels", request), lambda: self._engine.pixels(request))
        return found

    def asset(self, name: str) -> dict[str, Any]:
        return self._engine.asset(name)

    def _once(self, key: Any, work: Any) -> Any:
        text = repr(key)
        if text not in self._memory:
            self._memory[text] = work()
        return self._memory[text]


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(Remembering(Evaluator(world.catalogue()))) as loopback:
        yield loopback


@pytest.fixture
def at(
    server: Loopback,
    loopback: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    private_key: str,
) -> Loopback:
    """Return the remembering server; this process is signed in to it with short pauses."""
    server.reset()
    monkeypatch.setenv("COSLIDE_EE_URL", server.url)
    write_key(tmp_path / "key.json", private_key, server.url)
    monkeypatch.setattr(pixels, "PAUSE_S", 0.02)
    monkeypatch.setattr(gates, "UNSAID_RETRY_S", 0.2)
    return server


@pytest.fixture(scope="module")
def clean() -> dict[str, np.ndarray]:
    """Return the arrays of the undisturbed stack; filled by the first test."""
    return {}


def arrays(path: Path) -> dict[str, np.ndarray]:
    group = Stack(path).group
    return {name: np.asarray(group[name][:]) for name in group.array_keys()}


def plan_of(source: EarthEngineSource) -> Plan:
    return source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)


def test_clean(at: Loopback, clean: dict[str, np.ndarray], tmp_path: Path) -> None:
    source = EarthEngineSource(
        QUICK.model_copy(update={"deadline_s": 120, "workers": 2})
    )  # the server computes
    plan = plan_of(source)
    start = time.monotonic()
    assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    clean.update(arrays(tmp_path / "stack.zarr"))
    assert np.count_nonzero(clean["post_B4"]) > 0.99 * clean["post_B4"].size
    assert len(at.requests()) == 2 * BLOCKS  # one for the bands, one for the heights
    assert plan.requests == 2 * BLOCKS + 1
    assert plan.megabytes * 1e6 == pytest.approx(
        source.account["bytes"], rel=0.05
    )  # the estimate, and what it took
    _row("none", "clean", source, time.monotonic() - start)


@dataclass(frozen=True)
class Case:
    name: str
    faults: tuple[Fault, ...] = ()
    error: str = ""
    """Pattern of the error; empty: the stack must equal the clean one."""
    remedy: str = ""
    most_requests: int = 1000
    """After an error that stops: no more than what was in flight."""


def _http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


MEMORY, TIMED = "User memory limit exceeded.", "Computation timed out."
CASES = (
    Case(
        "429 × 6, Retry-After in seconds",
        (Fault(status=429, headers={"Retry-After": "0.3"}, times=6),),
    ),
    Case(
        "429 × 6, Retry-After as a date",
        (Fault(status=429, headers={"Retry-After": "DATE"}, times=6),),
    ),
    Case("429 × 3, without Retry-After", (Fault(status=429, times=3),)),
    Case(
        "429 without end",
        (Fault(status=429, headers={"Retry-After": "0.3"}, times=9999),),
        "quota is used up",
        "again",
    ),
    Case(
        "429, Retry-After beyond patience",
        (Fault(status=429, headers={"Retry-After": "900"}, times=99),),
        "quota",
    ),
    Case("500 × 3", (Fault(status=500, times=3),)),
    Case("502 × 3", (Fault(status=502, times=3),)),
    Case("503 × 3", (Fault(status=503, times=3),)),
    Case("503 without end", (Fault(status=503, times=9999),), "keeps failing", "it goes on", 60),
    Case("silence before the answer × 2", (Fault("silent", seconds=2.5, times=2),)),
    Case("reset in mid-body × 3", (Fault("reset", times=3),)),
    Case("stall in mid-body × 2", (Fault("stall", seconds=1, times=2),)),
    Case("truncated body × 3", (Fault("truncate", times=3),)),
    Case("short payload × 3", (Fault("short", times=3),)),
    Case("half a payload of zeros × 3", (Fault("zeros", times=3),)),
    Case("zeros without end", (Fault("zeros", times=9999),), "damaged pixels", "it goes on", 60),
    Case("bands in another order", (Fault("reorder", times=9999),)),
    # Twice at most: a third time might meet the quarter of a quarter, which cannot be split again.
    Case("memory limit × 2", (Fault(status=400, message=MEMORY, times=2),)),
    Case(
        "memory limit without end",
        (Fault(status=400, message=MEMORY, times=9999),),
        "even a small block",
        "scenes",
    ),
    Case("computation timed out × 2", (Fault(status=400, message=TIMED, times=2),)),
    Case(
        "another 400",
        (Fault(status=400, message="Invalid argument: x.", after=3, times=9999),),
        "refused",
        "doctor",
        16,
    ),
    Case(
        "403 in the middle",
        (Fault(status=403, message="Permission denied", after=3, times=9999),),
        "denies",
        "PROJECT",
        16,
    ),
    Case(
        "401 in the middle",
        (Fault(status=401, message="Unauthenticated", after=3, times=9999),),
        "refused",
        "KEY",
        99,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fault(at: Loopback, clean: dict[str, np.ndarray], tmp_path: Path, case: Case) -> None:
    source = EarthEngineSource(QUICK)
    plan = plan_of(source)
    dated = {"Retry-After": _http_date(1)}
    at.faults = [
        replace(
            fault, headers=dated if fault.headers.get("Retry-After") == "DATE" else fault.headers
        )
        for fault in case.faults
    ]
    start = time.monotonic()
    if not case.error:
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
        _same(clean, tmp_path)
        _row(case.name, "identical pixels", source, time.monotonic() - start)
        return
    with pytest.raises(SourceError, match=case.error) as failure:
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    seconds = time.monotonic() - start
    assert failure.value.code == 4
    assert case.remedy in failure.value.remedy
    assert seconds < 120  # its deadline is 2 s; the rest is for a machine that is busy
    requested = len(at.requests())
    assert requested <= case.most_requests
    _nothing_half_written(clean, tmp_path)
    time.sleep(0.2)
    assert len(at.requests()) == requested  # nothing goes on in the background
    _row(case.name, f"exit 4: {failure.value.message[:44]}", source, seconds)
    at.faults = []
    gates._GATES.clear()  # another process, later
    assemble(EarthEngineSource(QUICK), plan, BANDS, tmp_path / "stack.zarr")
    _same(clean, tmp_path)


def test_a_token_that_expires_is_renewed(
    at: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    at.require_token = True
    source = EarthEngineSource(QUICK)
    plan = plan_of(source)
    at.revoke_tokens()
    start = time.monotonic()
    assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    _same(clean, tmp_path)
    _row("expired token", "identical pixels", source, time.monotonic() - start)


def test_a_key_that_is_revoked_stops_at_once(
    at: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    at.require_token = True
    source = EarthEngineSource(QUICK)
    plan = plan_of(source)
    at.revoke_tokens()
    at.faults = [
        Fault(
            status=400, message="invalid_grant: Invalid JWT Signature.", match="/token", times=9999
        )
    ]
    start = time.monotonic()
    with pytest.raises(SourceError, match="credentials are refused"):
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    _nothing_half_written(clean, tmp_path)
    _row(
        "revoked key",
        "exit 4: the Earth Engine credentials are refused",
        source,
        time.monotonic() - start,
    )


def test_a_wrong_project(at: Loopback, tmp_path: Path) -> None:
    source = EarthEngineSource(QUICK.model_copy(update={"project": "somebody-elses"}))
    start = time.monotonic()
    with pytest.raises(SourceError, match="denies access"):
        plan_of(source)
    _row("wrong project", "exit 4: Earth Engine denies access", source, time.monotonic() - start)


def test_an_unknown_asset(at: Loopback, tmp_path: Path) -> None:
    source = EarthEngineSource(QUICK)
    plan = plan_of(source)
    gone = plan.scenes[0].id + "_GONE"
    facts = {**plan.details["scenes"], gone: plan.details["scenes"][plan.scenes[0].id]}
    plan = replace(
        plan,
        scenes=(replace(plan.scenes[0], id=gone), *plan.scenes[1:]),
        details={**plan.details, "scenes": facts},
    )
    start = time.monotonic()
    with pytest.raises(SourceError, match="does not have an asset"):
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    assert len(at.requests()) <= QUICK.workers
    _row(
        "unknown asset",
        "exit 4: Earth Engine does not have an asset",
        source,
        time.monotonic() - start,
    )


def test_a_connection_that_is_refused(
    at: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback(at.engine) as short_lived:
        monkeypatch.setenv("COSLIDE_EE_URL", short_lived.url)
        source = EarthEngineSource(QUICK)
        plan = plan_of(source)
    start = time.monotonic()
    with pytest.raises(SourceError, match="cannot be reached") as failure:
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    assert "network" in failure.value.remedy
    _row(
        "connection refused",
        "exit 4: Earth Engine cannot be reached",
        source,
        time.monotonic() - start,
    )


def test_sixteen_workers_against_a_cap_of_four(
    at: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source = EarthEngineSource(QUICK.model_copy(update={"workers": 16, "patience_s": 60}))
    plan = plan_of(source)
    at.concurrent, at.latency_s = 4, 0.05
    start = time.monotonic()
    assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    _same(clean, tmp_path)
    _row("cap of 4, 16 workers", "identical pixels", source, time.monotonic() - start)


def test_killed_at_ten_random_moments(
    at: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """SIGKILL, ten times; the last call asks only for what is missing and ends with the same
    pixels.
    """
    at.latency_s = 0.06
    path = tmp_path / "stack.zarr"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gee.earthengine", "gee.stack", "earthengine.world"])
    chance = random.Random(7)
    start, kills = time.monotonic(), 0
    for _ in range(10):
        child = context.Process(target=_run, args=(str(path), dict(os.environ)), daemon=True)
        wanted = _marked(path) + chance.randint(0, 1)
        child.start()
        while _marked(path) < wanted and child.is_alive():
            time.sleep(0.005)
        child.join(chance.uniform(0, 0.08))
        if not child.is_alive():  # a fast machine may be through before the tenth
            child.join()
            break
        child.kill()
        child.join()
        kills += 1
    assert kills >= 2
    done = _marked(path)
    before = len(at.requests())
    source = EarthEngineSource(QUICK)
    assemble(source, plan_of(source), BANDS, path)
    _same(clean, tmp_path)
    assert done <= BLOCKS
    assert len(at.requests()) - before == 2 * (BLOCKS - done)
    outcome = f"identical pixels; {done} of {BLOCKS} blocks were there"
    _row(f"SIGKILL × {kills} and resume", outcome, source, time.monotonic() - start)


def _marked(path: Path) -> int:
    """Return how many blocks of a stack are done."""
    return len([marker for marker in markers(path).glob("*") if not marker.name.startswith(".")])


def _run(path: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    source = EarthEngineSource(QUICK.model_copy(update={"workers": 2}))
    assemble(source, plan_of(source), BANDS, Path(path))


def _same(clean: dict[str, np.ndarray], folder: Path) -> None:
    found = arrays(folder / "stack.zarr")
    assert clean, "run the whole file: the first test makes the clean stack"
    assert found.keys() == clean.keys()
    for name, values in clean.items():
        np.testing.assert_array_equal(found[name], values)
    assert not list(folder.rglob("*.part"))


def _nothing_half_written(clean: dict[str, np.ndarray], folder: Path) -> None:
    """Blocks with a marker equal the clean ones; nothing says that the stack is complete."""
    path = folder / "stack.zarr"
    assert not Stack(path).attributes["complete"]
    assert not list(folder.rglob("*.part"))
    found = arrays(path)
    for marker in markers(path).glob("*"):
        row, column = (int(part) for part in marker.name.split("_"))
        window = np.s_[row * 256 : (row + 1) * 256, column * 256 : (column + 1) * 256]
        for name, values in clean.items():
            np.testing.assert_array_equal(found[name][window], values[window])


def _row(name: str, outcome: str, source: EarthEngineSource, seconds: float) -> None:
    counts = [
        str(source.account[key]) for key in ("requests", "rate_limited", "tried_again", "split")
    ]
    ROWS.append((name, outcome, *counts, f"{seconds:.1f}"))
    disconnect()


def test_every_error_belongs_to_the_family() -> None:
    assert issubclass(SourceError, CoslideError)


MANY = ("pre_B2", "pre_B3", "pre_B4", "post_B2", "post_B3", "post_B4", "post_B8")


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("output of 0.4 MiB at most", {"computed_limit": 400 * 2**10}),
        ("layers on the way, 40 MiB at most", {"memory_limit": 40 * 2**20}),
    ],
)
def test_what_the_service_holds_on_the_way_is_bounded(
    loopback: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    limits: dict[str, int],
) -> None:
    """A composite of many scenes holds far more than its answer: what it cannot hold comes in
    quarters, the same pixels.
    """
    grid = world.AREA.geobox(10)
    source = EarthEngineSource(QUICK.model_copy(update={"deadline_s": 120, "scenes_per_tile": 9}))
    plan = source.plan(world.AREA, grid, world.EVENT, world.WINDOWS, MANY)
    assemble(source, plan, MANY, tmp_path / "clean.zarr")
    assert source.account["split"] == 0
    monkeypatch.setattr(loopback, "engine", Evaluator(world.catalogue(), **limits))
    bounded = EarthEngineSource(source.config)
    start = time.monotonic()
    assemble(bounded, plan, MANY, tmp_path / "bounded.zarr")
    found, expected = arrays(tmp_path / "bounded.zarr"), arrays(tmp_path / "clean.zarr")
    for layer, values in expected.items():
        np.testing.assert_array_equal(found[layer], values, err_msg=layer)
    assert bounded.account["split"] > 0
    _row(name, "identical pixels", bounded, time.monotonic() - start)


def test_blocks_that_the_plan_chooses_stay_below_the_output_limit(
    loopback: Loopback, tmp_path: Path
) -> None:
    """Twelve bands of two windows: a block as large as that of few bands would be refused."""
    bands = tuple(f"{when}_{name}" for when in ("pre", "post") for name in world.NATIVE_M)
    source = EarthEngineSource(QUICK.model_copy(update={"deadline_s": 120, "block_px": None}))
    grid = world.AREA.geobox(2.5)[:768, :768]
    plan = source.plan(world.AREA, grid, world.EVENT, world.WINDOWS, bands)
    source.pull(plan, grid[: plan.block_px, : plan.block_px])
    assert source.account["split"] == 0
    assert [entry.status for entry in loopback.requests()] == [200]
