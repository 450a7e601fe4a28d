"""What the simulated Earth's added fields look like, and what they tell of slides. Writes a section
of docs/simulated-earth.md.

    python -m benchmarks.simulated_added            # prints
    python -m benchmarks.simulated_added --write    # and writes the table and
    docs/images/simulated-added.jpg

The real column needs ../shared/real/sar and is left out without it.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import numpy as np
import rasterio
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.results import DOCS, machine
from benchmarks.simulated_difficulty import PLACES, REAL, SUMMER
from configs.area import around
from configs.event import Event, Windows
from configs.files import write_text
from configs.records import ObservationClass
from gee.simulated import LANDSCAPES, SimulatedSource
from gee.simulated.fingerprint import added_fingerprint
from gee.simulated.truth import truth_mask

SIDE_PX = 512
SEED = 1
BANDS = (
    "pre_VV",
    "post_VV",
    "pre_VH",
    "post_VH",
    "post_B4",
    "post_B5",
    "post_B7",
    "river_distance",
    "fault_distance",
    "lithology",
)
RANK = {1: 0, 5: 1, 4: 2, 3: 3, 2: 4}
"""Lithology code -> place in the order from alluvium and hard to weak rock, where slides are
thought likelier.
"""
PAGE = DOCS / "simulated-earth.md"
PICTURE = DOCS / "images" / "simulated-added.jpg"
START, END = "<!-- added -->\n", "<!-- end of added -->"


def scene(
    landscape: str,
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (bands, truth, where the optical image after the event is clear) of a simulated M 6.6
    quake, `(y, x)` each.
    """
    latitude, longitude = PLACES[landscape]
    moment = datetime(2019, 9, 5, 18, 8, tzinfo=UTC)
    event = Event(
        name="added",
        time=moment,
        latitude=latitude,
        longitude=longitude,
        magnitude=6.6,
        depth_km=10,
    )
    area = around(latitude, longitude, 3.2)
    grid = area.geobox(10)[:SIDE_PX, :SIDE_PX]
    source = SimulatedSource(landscape, seed=SEED)
    windows = Windows(pre=SUMMER[0], post=SUMMER[1], as_of=datetime(2020, 6, 1, tzinfo=UTC))
    plan = source.plan(area, grid, event, windows, BANDS)
    pulled = source.pull(plan, grid)
    clear = next(iter(pulled.observation.values())) == ObservationClass.CLEAR
    return dict(pulled.bands), truth_mask(landscape, SEED, event, grid) == 1, clear


def figures(bands: dict[str, NDArray[np.float32]], slide: NDArray[np.bool_]) -> dict[str, float]:
    """Return what one scene says."""
    seen = np.isfinite(bands["post_VV"])
    found: dict[str, float] = {"unseen": float(1 - seen.mean()), "share": float(slide.mean())}
    for name in ("VV", "VH"):
        change = (bands[f"post_{name}"] - bands[f"pre_{name}"])[seen]
        there = slide[seen]
        found |= {
            name: float(np.median(bands[f"post_{name}"][seen])),
            f"{name}_slide": float(change[there].mean()),
            f"{name}_spread": float(change[there].std()),
            f"{name}_mean_rest": float(change[~there].mean()),
            f"{name}_rest": float(change[~there].std()),
            f"{name}_auc": float(roc_auc_score(there, np.abs(change))),
        }
    rock = np.vectorize(RANK.__getitem__)(bands["lithology"].astype(int))
    for name, values in (
        ("river", -bands["river_distance"]),
        ("fault", -bands["fault_distance"]),
        ("rock", rock),
    ):
        found[f"{name}_auc"] = float(roc_auc_score(slide.ravel(), values.ravel()))
    return found


def table(state: dict[str, dict[str, float]]) -> str:
    """Return the figures as Markdown."""
    lines = [
        f"Added fields `{added_fingerprint()}`; M 6.6, {SIDE_PX} x {SIDE_PX} px at 10 m, "
        f"one scene a landscape, seed {SEED}; {machine()}.",
        "",
        "| simulated landscape | unseen by radar | VV, VH median (dB) | VV change: slides, "
        "elsewhere (dB) | VH change: slides, elsewhere (dB) "
        "| AUC of abs. VV, VH change | AUC of nearness to rivers, faults | AUC of lithology |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in state.items():
        change = " | ".join(
            f"{one[f'{band}_slide']:+.1f} ± {one[f'{band}_spread']:.1f}, "
            f"{one[f'{band}_mean_rest']:+.1f} ± {one[f'{band}_rest']:.1f}"
            for band in ("VV", "VH")
        )
        lines.append(
            f"| {name} | {one['unseen']:.1%} | {one['VV']:.1f}, {one['VH']:.1f} | {change} "
            f"| {one['VV_auc']:.2f}, {one['VH_auc']:.2f} "
            f"| {one['river_auc']:.2f}, {one['fault_auc']:.2f} | {one['rock_auc']:.2f} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            _real(),
            "",
            f"![simulated: radar, red edge, distances and rock](images/{PICTURE.name})",
        ]
    )


def _real() -> str:
    files = {band: sorted((REAL / "sar").glob(f"*_{band}_tv.tif")) for band in ("VV", "VH")}
    if not all(files.values()):
        return "The real radar crops were not at hand."
    levels = {}
    for band, paths in files.items():
        power = np.concatenate([rasterio.open(path).read(1).ravel() for path in paths])
        levels[band] = float(np.median(10 * np.log10(power[np.isfinite(power)])))
    return (
        "Beside it real gamma0 of forested mountains (Papua New Guinea, "
        f"{len(files['VV'])} dates): median VV {levels['VV']:.1f} dB, "
        f"VH {levels['VH']:.1f} dB; gamma0 lies about 1 dB above sigma0 at 39 degrees."
    )


def picture(scenes: dict[str, Any]) -> None:
    """Write the added fields of some scenes side by side."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    columns = (
        "pre_VV",
        "post_VV",
        "change of VH",
        "post_B7",
        "river_distance",
        "fault_distance",
        "lithology",
    )
    figure, axes = plt.subplots(
        len(scenes), len(columns), figsize=(2.3 * len(columns), 2.45 * len(scenes)), squeeze=False
    )
    for row, (landscape, (bands, slide, _)) in zip(axes, scenes.items(), strict=True):
        shown = bands | {"change of VH": bands["post_VH"] - bands["pre_VH"]}
        for axis, name in zip(row, columns, strict=True):
            low, high = np.nanpercentile(shown[name], (2, 98)) if name != "lithology" else (0, 9)
            grey = name.startswith(("pre", "post", "change"))
            axis.imshow(
                shown[name],
                cmap="gray" if grey else "tab10" if name == "lithology" else "viridis",
                vmin=low,
                vmax=high,
            )
            if name in ("change of VH", "lithology"):
                axis.contour(slide, [0.5], colors="red" if grey else "black", linewidths=0.3)
            axis.set_title(f"simulated {landscape}: {name}", fontsize=6)
            axis.axis("off")
    figure.tight_layout()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=100)
    plt.close(figure)


def main() -> None:
    """Measure, print, and write the section where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the section of docs/simulated-earth.md and the picture",
    )
    arguments = parser.parse_args()
    scenes = {name: scene(name) for name in LANDSCAPES}
    text = table({name: figures(bands, slide) for name, (bands, slide, _) in scenes.items()})
    print(text)
    if arguments.write:
        picture({name: scenes[name] for name in ("tephra-hills", "deep-gorge", "loess-basin")})
        head, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
        _, _, tail = rest.partition(END)
        write_text(PAGE, f"{head}{START}{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
