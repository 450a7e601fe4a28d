"""How hard is the simulated Earth, and how like the real tiles? Writes the tables of
docs/simulated-earth.md.

    python -m benchmarks.simulated_difficulty            # prints
    python -m benchmarks.simulated_difficulty --write    # and writes the tables

Each landscape's figures are kept in ``runs/verify/simulated_difficulty.json`` under the simulator's
fingerprint: a call that was interrupted goes on; a changed simulator begins anew. The real columns
need ../shared/real and are left out without it.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from configs.area import around
from configs.bands import When
from configs.event import DateRange, Event, Windows
from configs.files import write_text
from configs.records import ObservationClass
from gee.derive import MARGIN_PX, index, terrain
from gee.simulated import LANDSCAPES, SimulatedSource, fingerprint
from gee.simulated.truth import truth_mask

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "real"
KEPT = ROOT / "runs" / "verify" / "simulated_difficulty.json"
PAGE = ROOT / "docs" / "simulated-earth.md"
SIDE_PX = 512
TRAIN, TEST = (1, 3, 5), (4, 6, 7)
"""Epicentres that trees are trained and tested on."""
OPTICAL = ("B2", "B3", "B4", "B8")
BANDS = (
    "slope",
    "hillshade",
    *(f"{when}_{band}" for band in ("B4", "B3", "B2", "NDVI") for when in ("pre", "post")),
)
"""The ten bands of Yang et al. 2024."""
PLACES = {
    "tephra-hills": (42.7, 141.9),
    "alpine-valley": (33.2, 103.9),
    "tropical-range": (-1.0, 119.9),
    "deep-gorge": (29.6, 102.1),
    "loess-basin": (33.5, 104.9),
    "dry-mountains": (-42.5, 173.0),
}
SUMMER = (
    DateRange(first=date(2019, 7, 1), last=date(2019, 9, 5)),
    DateRange(first=date(2019, 9, 6), last=date(2019, 11, 20)),
)
LEAF_OFF = (
    DateRange(first=date(2019, 4, 10), last=date(2019, 5, 2)),
    DateRange(first=date(2019, 10, 5), last=date(2019, 11, 20)),
)
REAL_IBURI = {"post_B4": 0.57, "difference_B4": 0.65, "slope": 0.78}
"""Single-feature AUCs of the real scene (its README)."""

Bands = dict[str, NDArray[np.float32]]


def scene(
    landscape: str, place: int, spans: tuple[DateRange, DateRange]
) -> tuple[Bands, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (bands, truth, which pixels are clear in both windows) of a simulated M 6.6 quake,
    `(y, x)` each.
    """
    latitude, longitude = (
        PLACES[landscape][0] + 0.31 * place,
        PLACES[landscape][1] + 0.23 * (place % 3),
    )
    moment = datetime(2019, 9, 5, 18, 8, tzinfo=UTC)
    event = Event(
        name="difficulty",
        time=moment,
        latitude=latitude,
        longitude=longitude,
        magnitude=6.6,
        depth_km=10,
    )
    area = around(latitude, longitude, 3.2)
    grid = area.geobox(10)[:SIDE_PX, :SIDE_PX]
    source = SimulatedSource(landscape, seed=1)
    windows = Windows(pre=spans[0], post=spans[1], as_of=datetime(2020, 6, 1, tzinfo=UTC))
    names = (*(f"{when}_{band}" for when in When for band in OPTICAL), "dem")
    plan = source.plan(area, grid, event, windows, names)
    pulled = source.pull(plan, grid)
    bands = dict(pulled.bands)
    for when in When:
        bands[f"{when}_NDVI"] = index("NDVI", {band: bands[f"{when}_{band}"] for band in OPTICAL})
    bands |= terrain(source.elevation(plan, grid, MARGIN_PX), grid, ("slope", "hillshade", "dem"))
    clear = np.all([pulled.observation[when] == ObservationClass.CLEAR for when in When], axis=0)
    return bands, truth_mask(landscape, 1, event, grid) > 0, clear


def best_f1(score: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    """Return the highest F1 that any threshold on a score reaches: more than a threshold chosen
    elsewhere would.
    """
    hits = np.cumsum(truth[np.argsort(-score, kind="stable")])
    return float((2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())).max())


def pixels(
    places: tuple[int, ...], landscape: str, spans: tuple[DateRange, DateRange]
) -> tuple[Bands, NDArray[Any], NDArray[np.bool_]]:
    """Return (bands by name, features `(n, 20)`: the ten bands and their 5 x 5 means, truth) of the
    clear pixels.
    """
    columns: dict[str, list[NDArray[Any]]] = {}
    features, truths = [], []
    for place in places:
        bands, truth, clear = scene(landscape, place, spans)
        for name in bands:
            columns.setdefault(name, []).append(bands[name][clear])
        means = [uniform_filter(np.nan_to_num(bands[name]), 5)[clear] for name in BANDS]
        features.append(np.stack([*(bands[name][clear] for name in BANDS), *means], 1))
        truths.append(truth[clear])
    return (
        {name: np.concatenate(parts) for name, parts in columns.items()},
        np.concatenate(features),
        np.concatenate(truths),
    )


def difficulty(landscape: str, spans: tuple[DateRange, DateRange] = SUMMER) -> dict[str, Any]:
    """Return the figures of one landscape: tested on epicentres that trees were not trained on."""
    bands, seen, truth = pixels(TEST, landscape, spans)
    _, features, labels = pixels(TRAIN, landscape, spans)
    sample = np.random.default_rng(0).permutation(len(labels))[:60_000]
    trees = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(
        features[sample], labels[sample]
    )
    single = {
        name: max(best_f1(bands[name], truth), best_f1(-bands[name], truth)) for name in BANDS
    }
    best = max(single, key=lambda name: single[name])
    difference = bands["post_B4"] - bands["pre_B4"]
    auc = {"post_B4": bands["post_B4"], "difference_B4": difference, "slope": bands["slope"]}
    return {
        "share": float(truth.mean()),
        "best_band": best,
        "best_band_f1": single[best],
        "trees_f1": best_f1(trees.predict_proba(seen)[:, 1], truth),
        "auc": {name: float(roc_auc_score(truth, values)) for name, values in auc.items()},
        "spread": {name: spread(bands[name]) for name in (*BANDS, "dem", "pre_B8", "post_B8")},
    }


def spread(values: NDArray[Any]) -> dict[str, float]:
    """Return mean, standard deviation and the 10th, 50th and 90th percentile of values."""
    finite = values[np.isfinite(values)]
    low, middle, high = np.percentile(finite, [10, 50, 90])
    return {
        "mean": float(finite.mean()),
        "std": float(finite.std()),
        "p10": float(low),
        "p50": float(middle),
        "p90": float(high),
    }


def real_statistics() -> dict[str, dict[str, float]]:
    """Return the same spreads of the real tiles; empty where they are absent."""
    if not REAL.is_dir():
        return {}
    found = {}
    for when in ("pre", "post"):
        for band in ("B2", "B3", "B4"):
            with rasterio.open(REAL / "iburi-2018" / f"s2_{when}_{band}.tif") as file:
                values = file.read(1)
            found[f"Iburi {when}_{band}"] = spread(values[values > 0] * 1e-4)
    tiles = []
    for path in sorted((REAL / "s2-nir").glob("*.tif")):
        with rasterio.open(path) as file:
            tile = file.read().reshape(4, -1) * 1e-4
        tiles.append(tile[:, tile.min(0) > 0])
    red, green, blue, infrared = np.concatenate(tiles, 1)
    near = {
        "B2": blue,
        "B3": green,
        "B4": red,
        "B8": infrared,
        "NDVI": (infrared - red) / (infrared + red),
    }
    found |= {f"Chattogram {name}": spread(values) for name, values in near.items()}
    for name, where, bad in (
        ("Iburi", "iburi-2018/dem.tif", -1),
        ("Jiuzhaigou", "terrain/jiuzhaigou_dem.tif", 0),
    ):
        with rasterio.open(REAL / where) as file:
            height = file.read(1).astype(float)
            oblong = 0.735 if file.crs.is_geographic else 1.0
        height[height <= bad] = np.nan
        down, right = np.gradient(height, 30.0, 30.0 * oblong)
        slope = np.degrees(np.arctan(np.hypot(down, right)))
        found[f"{name} slope"] = spread(np.where(slope < 75, slope, np.nan))
    return found


def measured(fresh: bool) -> dict[str, Any]:
    """Return all figures, each measured once a simulator."""
    state: dict[str, Any] = {"simulator": fingerprint()}
    if KEPT.is_file() and not fresh:
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        state = kept if kept.get("simulator") == fingerprint() else state
    wanted = [(name, name, SUMMER) for name in LANDSCAPES] + [
        ("leaf-off", "tephra-hills", LEAF_OFF)
    ]
    for title, landscape, spans in wanted:
        if title not in state:
            state[title] = difficulty(landscape, spans)
            write_text(KEPT, json.dumps(state, indent=1))
        figures = state[title]
        print(
            f"{title}: simulated trees {figures['trees_f1']:.3f}, {figures['best_band']} "
            f"{figures['best_band_f1']:.3f}"
        )
    return state


def tables(state: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    lines = [
        f"Simulator `{state['simulator']}`; M 6.6, {SIDE_PX} x {SIDE_PX} px at 10 m, "
        f"trained on {len(TRAIN)} simulated epicentres, "
        f"tested on {len(TEST)} others.",
        "",
        "| simulated landscape | landslide share | best single band | its F1 (≤ 0.40) | "
        "boosted trees F1 (≤ 0.55) |",
        "|---|---|---|---|---|",
    ]
    for name in LANDSCAPES:
        one = state[name]
        lines.append(
            f"| {name} | {one['share']:.1%} | {one['best_band']} | "
            f"{one['best_band_f1']:.2f} | {one['trees_f1']:.2f} |"
        )
    lines += [
        "",
        "| AUC of one feature, leaf-off pre image | real Iburi | simulated tephra-hills |",
        "|---|---|---|",
    ]
    auc = state["leaf-off"]["auc"]
    lines += [f"| {name} | {real:.2f} | {auc[name]:.2f} |" for name, real in REAL_IBURI.items()]
    lines += [
        "",
        "| scene | quantity | mean | std | 10 % | median | 90 % |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [(title, values) for title, values in real_statistics().items()]
    rows += [
        (f"simulated tephra-hills (leaf-off) {name}", state["leaf-off"]["spread"][name])
        for name in _IBURI
    ]
    rows += [
        (f"simulated tropical-range {name}", state["tropical-range"]["spread"][name])
        for name in _NEAR
    ]
    rows += [(f"simulated {name} slope", state[name]["spread"]["slope"]) for name in LANDSCAPES]
    for title, values in rows:
        scene_name, _, quantity = title.rpartition(" ")
        numbers = " | ".join(f"{values[key]:.3f}" for key in ("mean", "std", "p10", "p50", "p90"))
        lines.append(f"| {scene_name} | {quantity} | {numbers} |")
    return "\n".join(lines)


_IBURI = ("pre_B2", "pre_B3", "pre_B4", "post_B2", "post_B3", "post_B4")
_NEAR = ("post_B2", "post_B3", "post_B4", "post_B8", "post_NDVI")


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--write", action="store_true", help="write the tables into docs/simulated-earth.md"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again")
    arguments = parser.parse_args()
    text = tables(measured(arguments.fresh))
    print(text)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition("<!-- tables -->\n")
        _, _, tail = rest.partition("<!-- end of tables -->")
        write_text(PAGE, f"{head}<!-- tables -->\n{text}\n<!-- end of tables -->{tail}")


if __name__ == "__main__":
    main()
