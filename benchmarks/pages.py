"""What people open and mail: how large report and map sheets of 700 km² are, and how long a browser
takes to show the report and the page of 200 events.

    python -m benchmarks.pages [--write]    # needs the real data beside the repository

The Iburi scene, mapped and then repeated (`benchmarks.product`); the page's events are copies of
it. A headless Chromium opens both from the disk, as somebody who was mailed them does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.product import about_of, enlarge, iburi_run
from benchmarks.results import fill
from benchmarks.ui import CHROMIUM
from configs.clean import CleanConfig
from inventory.formats.geopackage import read_inventory
from inventory.outline.outline import outline
from inventory.publish import write_products
from inventory.report.events_page import write_events_page

EVENTS = 200
OPENINGS = 5
LARGEST_MB = 5.0
"""What the report and each sheet may weigh: most mail servers take ten."""
LONGEST_S = 2.0
"""What the page of all events may take to open."""
PARTS = ("event.yaml", "r001/run.yaml", "r001/item.json", "r001/landslides.gpkg")
FILES = ("report.html", "map.pdf", "map-a3.pdf")


def large_products(scratch: Path) -> tuple[Path, Path, dict[str, str]]:
    """Return the mapped scene's revision, the folder of the repeated one's products, and its size
    in words.
    """
    run, revision = iburi_run(scratch / "out")
    stack, probability, observed = enlarge(revision, scratch)
    about, target = about_of(run, stack), scratch / "r001"
    target.mkdir()
    threshold = read_inventory(revision / "landslides.gpkg").threshold
    found = outline(probability, observed, threshold, stack, CleanConfig(), choice=about.choice)
    done = write_products(target, found, probability, observed, stack, about)
    told = {"km2": f"{done.summary.area_km2:,.0f}", "count": f"{done.summary.landslide_count:,}"}
    return revision, target, told


def many_events(revision: Path, out: Path) -> Path:
    """Return the page of as many copies of an event as were asked for."""
    event = revision.parent
    for number in range(EVENTS):
        for part in PARTS:
            target = out / f"event-{number:03d}" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(event / part, target)
    return write_events_page(out)


def opening_s(page: Path) -> float:
    """Return the seconds until a browser has loaded and drawn a page, the median of several."""
    from playwright.sync_api import sync_playwright

    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(OPENINGS):
            tab = browser.new_page()
            begun = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            tab.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
            taken.append(time.perf_counter() - begun)
            tab.close()
        browser.close()
    return statistics.median(taken)


def measured() -> dict[str, str]:
    """Return what the section says."""
    with tempfile.TemporaryDirectory() as folder:
        revision, target, told = large_products(Path(folder))
        begun = time.perf_counter()
        page = many_events(revision, Path(folder) / "many")
        written = time.perf_counter() - begun
        rows = [
            (f"`{name}`", target / name, opening_s(target / name) if "html" in name else None)
            for name in FILES
        ]
        rows.append((f"`index.html` of {EVENTS} events", page, opening_s(page)))
        lines = [
            f"| {name} | {path.stat().st_size / 1e6:.2f} | {'–' if s is None else f'{s:.2f}'} |"
            for name, path, s in rows
        ]
    head = ["| file | MB | seconds to open |", "|---|---|---|"]
    busy, cores = os.getloadavg()[0], os.cpu_count() or 1
    beside = (
        f" Seconds were taken while other work held the {cores} cores (load {busy:.0f}): expect "
        "less."
        if busy > 2 * cores
        else ""
    )
    return {
        **told,
        "beside": beside,
        "written_s": f"{written:.1f}",
        "table": "\n".join([*head, *lines]),
    }


def main() -> None:
    """Print the table; with --write, put it into docs/results.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    if CHROMIUM is None:
        raise SystemExit("there is no chromium: `apt install chromium`, then again")
    values = measured()
    for name, value in values.items():
        print(f"{name}: {value}")
    if write:
        fill("pages", events=str(EVENTS), openings=str(OPENINGS), **values)


if __name__ == "__main__":
    main()
