"""The fault matrix of catalogues: whatever goes wrong, the stack equals the clean one, or there is
one clear error and nothing half-written.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest

from configs.errors import CoslideError, RequestError, SourceError
from configs.stac import StacConfig
from configs.stack import Stack
from gee.source import Plan
from gee.stac import StacSource, transport
from gee.stack import assemble
from gee.store import markers
from stac import world
from stac.earth import publish
from stac.loopback import Fault, Loopback

pytestmark = pytest.mark.faults

GRID = world.AREA.geobox(4)  # 600 px: nine blocks of 256
BANDS = ("post_B4", "dem")
BLOCKS = 9
ROWS: list[tuple[str, ...]] = []
FIRST, LAST = "S2B_54TXN_20180915_0_L2A", "S2B_54TXN_20181010_0_L2A"


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    widths = [max(len(row[n]) for row in ROWS) for n in range(len(ROWS[0]))] if ROWS else []
    for row in ROWS:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


@pytest.fixture(scope="module")
def clean() -> dict[str, np.ndarray]:
    """Return the arrays of the undisturbed stack; filled by the first test."""
    return {}


@pytest.fixture
def server(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    """Return the loopback; pauses are short."""
    monkeypatch.setattr(transport, "PAUSE_S", 0.02)
    monkeypatch.setattr(transport, "UNSAID_WAIT_S", 0.1)
    return loopback


def quick(server: Loopback, **settings: object) -> StacConfig:
    given = {
        "block_px": 256,
        "workers": 4,
        "requests": 8,
        "attempts": 4,
        "deadline_s": 3,
        "silence_s": 0.5,
        "patience_s": 3,
        **settings,
    }
    return StacConfig(catalogue=server.url, **given)  # type: ignore[arg-type]


def plan_of(source: StacSource) -> Plan:
    return source.plan(world.AREA, GRID, world.EVENT, world.WINDOWS, BANDS)


def arrays(path: Path) -> dict[str, np.ndarray]:
    group = Stack(path).group
    return {name: np.asarray(group[name][:]) for name in group.array_keys()}


def test_clean(server: Loopback, clean: dict[str, np.ndarray], tmp_path: Path) -> None:
    source = StacSource(quick(server, deadline_s=60, silence_s=30))
    start = time.monotonic()
    plan = plan_of(source)
    assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    clean.update(arrays(tmp_path / "stack.zarr"))
    assert np.count_nonzero(clean["post_B4"]) > 0.99 * clean["post_B4"].size
    assert source.account["requests"] == len(server.requests())
    assert source.account["bytes"] == sum(entry.sent for entry in server.requests())
    _row("none", "clean", source, time.monotonic() - start)


@dataclass(frozen=True)
class Case:
    name: str
    faults: tuple[Fault, ...]
    error: str = ""
    """Pattern of the error; empty: the stack must equal the clean one."""
    remedy: str = ""


SAID = {"Retry-After": "0.3"}
PULL = (
    Case("429 × 4, Retry-After in seconds", (Fault(status=429, headers=SAID, times=4),)),
    Case("429 × 4, Retry-After as a date", (Fault(status=429, headers={"Retry-After": "DATE"}),)),
    Case("429 × 3, without Retry-After", (Fault(status=429, times=3),)),
    Case(
        "429 without end",
        (Fault(status=429, headers=SAID, times=9999),),
        "rate limit",
        "it goes on",
    ),
    Case(
        "429, Retry-After beyond patience",
        (Fault(status=429, headers={"Retry-After": "900"}, times=99),),
        "asks to wait 900 s",
        "patience_s",
    ),
    Case("500 × 3", (Fault(status=500, times=3),)),
    Case("502 × 3", (Fault(status=502, times=3),)),
    Case("503 × 3, slow down", (Fault(status=503, times=3),)),
    Case("503 × 3, with Retry-After", (Fault(status=503, headers=SAID, times=3),)),
    Case("503 without end", (Fault(status=503, times=9999),), "keeps failing", "it goes on"),
    Case("silence before the answer × 2", (Fault("silent", seconds=0.8, times=2),)),
    Case("reset in mid-body × 3", (Fault("reset", times=3),)),
    Case("stall in mid-body × 2", (Fault("stall", seconds=0.8, times=2),)),
    Case("range cut short × 3", (Fault("short", times=3),)),
    Case("range cut short without end", (Fault("short", times=9999),), "were asked for", "again"),
    Case("zeros in place of pixels × 2", (Fault("flip", times=2),)),
    Case(
        "zeros without end",
        (Fault("flip", match="red.tif", times=9999),),
        "cannot be read",
        "leave_out",
    ),
    Case("whole files only", (Fault("whole", times=9999),), "whole files only", "range"),
    Case(
        "a file gone in the middle",
        (Fault(status=404, match=f"{LAST}/red.tif", times=9999),),
        "does not have the file",
        "leave_out",
    ),
    Case(
        "access refused in the middle",
        (Fault(status=403, match=f"{LAST}/red.tif", times=9999),),
        "refuses access",
        "leave_out",
    ),
)


@pytest.mark.parametrize("case", PULL, ids=lambda case: case.name)
def test_a_pull(server: Loopback, clean: dict[str, np.ndarray], tmp_path: Path, case: Case) -> None:
    """Plan by one source, pull by another that has opened no file yet."""
    plan = plan_of(StacSource(quick(server)))
    server.faults = [_dated(fault) for fault in case.faults]
    source = StacSource(quick(server))
    start = time.monotonic()
    if not case.error:
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
        assert not any(fault.times for fault in server.faults), "the fault never struck"
        _same(clean, tmp_path)
        _row(case.name, "identical pixels", source, time.monotonic() - start)
        return
    with pytest.raises(SourceError, match=case.error) as failure:
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    seconds = time.monotonic() - start
    assert failure.value.code == 4
    assert case.remedy in failure.value.remedy
    assert seconds < 30
    _nothing_half_written(clean, tmp_path)
    asked = len(server.requests())
    time.sleep(0.2)
    assert len(server.requests()) == asked  # nothing goes on in the background
    _row(case.name, f"exit 4: {failure.value.message[:60]}", source, seconds)
    server.faults = []
    assemble(StacSource(quick(server)), plan, BANDS, tmp_path / "stack.zarr")
    _same(clean, tmp_path)


def _dated(fault: Fault) -> Fault:
    if fault.headers.get("Retry-After") == "DATE":
        soon = datetime.now(UTC) + timedelta(seconds=1)
        return Fault(
            status=fault.status, headers={"Retry-After": format_datetime(soon, usegmt=True)}
        )
    return Fault(**vars(fault))


SEARCH = (
    Case(
        "search: 429 × 2",
        (Fault(status=429, headers={"Retry-After": "1"}, match="/search", times=2),),
    ),
    Case("search: 503 × 2", (Fault(status=503, match="/search", times=2),)),
    Case("search: page too large for the gateway", (Fault(status=502, match="/search"),)),
    Case(
        "search: 503 without end",
        (Fault(status=503, match="/search", times=9999),),
        "does not answer",
        "another catalogue",
    ),
    Case(
        "search: refused",
        (Fault(status=403, match="/search", times=9999),),
        "refuses access",
        "earth-search",
    ),
)


@pytest.mark.parametrize("case", SEARCH, ids=lambda case: case.name)
def test_a_search(server: Loopback, clean: dict[str, np.ndarray], case: Case) -> None:
    expected = plan_of(StacSource(quick(server)))
    server.faults = [Fault(**vars(fault)) for fault in case.faults]
    source = StacSource(quick(server, attempts=2))
    start = time.monotonic()
    if not case.error:
        found = plan_of(source)
        assert not any(fault.times for fault in server.faults), "the fault never struck"
        assert (found.scenes, dict(found.details)) == (expected.scenes, dict(expected.details))
        _row(case.name, "the same plan", source, time.monotonic() - start)
        return
    with pytest.raises(SourceError, match=case.error) as failure:
        plan_of(source)
    assert case.remedy in failure.value.remedy
    _row(case.name, f"exit 4: {failure.value.message[:60]}", source, time.monotonic() - start)


def test_pages_are_followed_and_their_limit_is_kept(
    server: Loopback, clean: dict[str, np.ndarray]
) -> None:
    expected = plan_of(StacSource(quick(server)))
    for most, asked in ((250, 2), (30, 100), (5, 100)):
        server.most_items = most
        source = StacSource(quick(server, page_items=asked))
        found = plan_of(source)
        assert found.scenes == expected.scenes
        assert dict(found.details) == dict(expected.details)
    _row("page limits", "the same plan", source, 0.0)


def test_a_signature_that_expires_is_renewed(
    server: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """The item itself carries the signature; in the middle of the pull it expires."""
    server.signature = "first"
    source = StacSource(quick(server))
    plan = plan_of(source)
    server.signature = "second"
    start = time.monotonic()
    assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    _same(clean, tmp_path)
    assert source.account["signed_again"] >= 1
    _row("expired signature", "identical pixels", source, time.monotonic() - start)


def test_a_file_that_is_replaced_is_noticed(
    server: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    plan = plan_of(StacSource(quick(server)))
    source = StacSource(quick(server))
    server.faults = [Fault("retag", match=f"{LAST}/red.tif", after=1, times=9999)]
    start = time.monotonic()
    with pytest.raises(SourceError, match="replaced while it was read") as failure:
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    assert "again" in failure.value.remedy
    _nothing_half_written(clean, tmp_path)
    _row("file replaced", "exit 4: the file was replaced", source, time.monotonic() - start)
    server.faults = []
    again = StacSource(quick(server))
    assemble(again, plan_of(again), BANDS, tmp_path / "stack.zarr")
    _same(clean, tmp_path)


def test_an_item_that_is_replaced_makes_another_plan(server: Loopback) -> None:
    before = plan_of(StacSource(quick(server)))
    item = next(one for one in server.items["sentinel-2-l2a"] if one["id"] == LAST)
    was = item["properties"]["s2:generation_time"]
    try:
        item["properties"]["s2:generation_time"] = "2026-01-01T00:00:00Z"
        after = plan_of(StacSource(quick(server)))
    finally:
        item["properties"]["s2:generation_time"] = was
    changed = {
        name
        for name, mark in after.details["fingerprints"].items()
        if before.details["fingerprints"][name] != mark
    }
    assert changed == {LAST}


def test_an_asset_that_an_item_lacks_leaves_its_scene_out(server: Loopback) -> None:
    item = next(one for one in server.items["sentinel-2-l2a"] if one["id"] == FIRST)
    red = item["assets"].pop("red")
    try:
        source = StacSource(quick(server))
        plan = plan_of(source)
    finally:
        item["assets"]["red"] = red
    assert FIRST not in {scene.id for scene in plan.scenes}
    assert plan.details["left_out"]["a band or the classification is missing"] == 1
    _row("missing asset", "the scene is left out, said", source, 0.0)


def test_a_file_that_is_missing_leaves_its_scene_out(server: Loopback) -> None:
    path = f"/files/{FIRST}/scl.tif"
    content = server.files.pop(path)
    try:
        source = StacSource(quick(server))
        plan = plan_of(source)
    finally:
        server.files[path] = content
    assert FIRST not in {scene.id for scene in plan.scenes}
    assert plan.details["left_out"]["a file cannot be read"] == 1
    _row("missing file", "the scene is left out, said", source, 0.0)


def test_every_file_missing_is_no_empty_answer(server: Loopback) -> None:
    server.faults = [Fault(status=404, times=9999)]
    source = StacSource(quick(server))
    with pytest.raises(SourceError, match="does not have the file"):
        plan_of(source)
    _row("every file missing", "exit 4: no file", source, 0.0)


def test_numbers_that_are_no_reflectances_leave_their_scene_out(server: Loopback) -> None:
    """Element84/earth-search issue 78: 64 000 and more in the 10 m bands, the classification
    right.
    """
    spoilt = world.small_pass(FIRST)
    whole = dict(server.files)
    size = int(spoilt.grid.shape[0])
    try:
        publish(server, _with(spoilt, {name: np.full((size, size), 6.4) for name in spoilt.bands}))
        source = StacSource(quick(server))
        plan = plan_of(source)
    finally:
        publish(server, world.small_pass(FIRST))
    assert {path: len(content) for path, content in server.files.items()} == {
        path: len(content) for path, content in whole.items()
    }
    assert FIRST not in {scene.id for scene in plan.scenes}
    assert plan.details["left_out"]["its numbers are no reflectances"] == 1
    _row("spoilt numbers", "the scene is left out, said", source, 0.0)


def _with(one: object, bands: dict[str, np.ndarray]) -> object:
    from dataclasses import replace

    return replace(one, bands=bands)  # type: ignore[type-var]


def test_wrong_nodata_does_not_hide_ground(
    server: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """The file declares a number of its ground as nodata; 0 is what Sentinel-2 means."""
    import io

    import rasterio
    from rasterio.io import MemoryFile

    from stac.earth import cog

    path = f"/files/{LAST}/red.tif"
    content = server.files[path]
    with MemoryFile(io.BytesIO(content)) as memory, memory.open() as file:
        values, affine, crs = file.read(1), file.transform, file.crs.to_wkt()
    assert rasterio.__version__
    try:
        server.files[path] = cog(values, affine, crs, float(np.median(values)))
        source = StacSource(quick(server))
        start = time.monotonic()
        assemble(source, plan_of(source), BANDS, tmp_path / "stack.zarr")
    finally:
        server.files[path] = content
    _same(clean, tmp_path)
    _row("wrong nodata", "identical pixels", source, time.monotonic() - start)


def test_a_connection_that_is_refused(tmp_path: Path) -> None:
    with Loopback() as gone:
        world.fill(gone)
        plan = plan_of(StacSource(quick(gone)))
    source = StacSource(quick(gone, attempts=2))
    start = time.monotonic()
    with pytest.raises(SourceError, match="cannot be reached") as failure:
        assemble(source, plan, BANDS, tmp_path / "stack.zarr")
    assert "network" in failure.value.remedy
    with pytest.raises(SourceError, match="cannot be reached"):
        plan_of(StacSource(quick(gone, attempts=1)))
    _row("connection refused", "exit 4: cannot be reached", source, time.monotonic() - start)


def test_a_collection_that_is_not_there(server: Loopback) -> None:
    source = StacSource(quick(server, collection="sentinel-9"))
    with pytest.raises(CoslideError, match="no collection sentinel-9; it has cop-dem") as failure:
        plan_of(source)
    assert failure.value.code == 3
    _row("unknown collection", "exit 3: no collection", source, 0.0)


def test_a_catalogue_that_is_none(server: Loopback) -> None:
    server.files["/files/page.html"] = b"<html>hello</html>"
    source = StacSource(StacConfig(catalogue=f"{server.url}/files/page.html"))
    with pytest.raises(RequestError, match="is no STAC catalogue"):
        plan_of(source)
    del server.files["/files/page.html"]
    _row("no catalogue", "exit 2: no catalogue", source, 0.0)


def test_killed_at_random_moments(
    server: Loopback, clean: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """SIGKILL, five times; the last call asks only for what is missing and ends with the same
    pixels.
    """
    server.latency_s = 0.03
    path = tmp_path / "stack.zarr"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gee.stac", "gee.stack", "stac.world"])
    chance = random.Random(7)
    start, kills = time.monotonic(), 0
    for _ in range(5):
        child = context.Process(target=_run, args=(str(path), server.url), daemon=True)
        wanted = _marked(path) + chance.randint(0, 1)
        child.start()
        while _marked(path) < wanted and child.is_alive():
            time.sleep(0.005)
        child.join(chance.uniform(0, 0.08))
        if not child.is_alive():
            child.join()
            break
        child.kill()
        child.join()
        kills += 1
    assert kills >= 2
    done = _marked(path)
    server.latency_s = 0.0
    source = StacSource(quick(server))
    plan = plan_of(source)
    pulled: list[int] = []
    assemble(source, plan, BANDS, path, progress=lambda at, _: pulled.append(at))
    assert pulled[0] == done
    _same(clean, tmp_path)
    outcome = f"identical pixels; {done} of {BLOCKS} blocks were there"
    _row(f"SIGKILL × {kills} and resume", outcome, source, time.monotonic() - start)


def _run(path: str, url: str) -> None:
    source = StacSource(
        StacConfig(
            catalogue=url,
            block_px=256,
            workers=1,
            requests=2,
            attempts=4,
            deadline_s=3,
            silence_s=2,
            patience_s=3,
        )
    )
    assemble(source, plan_of(source), BANDS, Path(path))


def _marked(path: Path) -> int:
    """Return how many blocks of a stack are done."""
    return len([marker for marker in markers(path).glob("*") if not marker.name.startswith(".")])


def _same(clean: dict[str, np.ndarray], folder: Path) -> None:
    found = arrays(folder / "stack.zarr")
    assert clean, "run the whole file: the first test makes the clean stack"
    assert found.keys() == clean.keys()
    for name, values in clean.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
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


def _row(name: str, outcome: str, source: StacSource, seconds: float) -> None:
    counted = ("requests", "rate_limited", "tried_again", "signed_again")
    ROWS.append((name, outcome, *(str(source.account[key]) for key in counted), f"{seconds:.1f}"))
