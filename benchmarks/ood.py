"""The out-of-domain warning on scenes made wrong in eight ways, and on scenes that are right.
Simulated throughout.

    python -m benchmarks.ood [--scenes 20] [--wrong 8] [--write]

Fresh epicentres in the landscapes that shipped simulated checkpoints were trained in; the choice is
that of a run. The limits come from the leave-one-domain-out study (configs/selection.yaml), which
never saw any of these kinds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.results import fill
from configs.bands import When, parse_band
from configs.records import IGNORED, ObservationClass, Ranked
from configs.selection import SelectionConfig, read_selection
from configs.stack import CHUNK_PX, FORMAT, Stack, encode, grid_attributes
from configs.studying import read_study
from flows.study.pool import simulated_scenes
from gee.simulated import fingerprint
from models import registry
from models.registry import Checkpoint
from models.selection import choose
from models.selection.ranking import compare, signals_of
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify" / "ood"
FIRST = 100
"""Number of the first epicentre: the study's own are below."""
RADIUS_KM = 2.0

NEAREST = "all/mmd"
"""What the nearest checkpoint is found by, as in the study."""

Floats = NDArray[np.float32]
Image = dict[str, Floats]
"""Reflectance of one date by B2, B3, B4 and B8, `(y, x)`."""


def shared(
    values: tuple[float, ...], shape: tuple[int, int], spread: float, rng: np.random.Generator
) -> Image:
    """Return an image of one material, brighter and darker together in patches of 8 px and pixel by
    pixel.
    """
    coarse = (
        rng.normal(size=(-(-shape[0] // 8), -(-shape[1] // 8)))
        .repeat(8, 0)
        .repeat(8, 1)[: shape[0], : shape[1]]
    )
    light = 1 + spread * (0.7 * coarse + 0.7 * rng.normal(size=shape))
    names = ("B2", "B3", "B4", "B8")
    return {
        n: (v * light + 0.002 * rng.normal(size=shape)).astype(np.float32)
        for n, v in zip(names, values, strict=True)
    }


class Scene:
    """Ten bands of a fresh epicentre, to be made wrong."""

    def __init__(self, samples: SampleSet, number: int) -> None:
        self.samples, self.rng = samples, np.random.default_rng([23, number])
        read = {name: samples.read(name) for name in samples.card.bands}
        self.slope, self.hillshade = read["slope"], read["hillshade"]
        self.seen = samples.stored("label", slice(None), slice(None)) != IGNORED
        self.images = {when: self._image(read, when) for when in When}

    @staticmethod
    def _image(read: dict[str, Floats], when: When) -> Image:
        image = {band: read[f"{when}_{band}"] for band in ("B2", "B3", "B4")}
        ndvi = np.clip(read[f"{when}_NDVI"], -0.99, 0.99)
        return image | {"B8": image["B4"] * (1 + ndvi) / (1 - ndvi)}

    def each(self, change: Callable[[str, Floats], Floats]) -> None:
        """Change every band of both dates."""
        self.images = {
            w: {b: change(b, v) for b, v in image.items()} for w, image in self.images.items()
        }

    def stack(self, folder: Path) -> Stack:
        """Return the scene as a run would have stored it; what was clear stays so, the mask does
        not notice.
        """
        geobox, group = self.samples.geobox, zarr.create_group(folder)
        group.attrs.update(
            {
                "format": FORMAT,
                "grid": grid_attributes(geobox),
                "bands": list(self.samples.card.bands),
            }
        )
        for name in self.samples.card.bands:
            low, high = parse_band(name).band.low, parse_band(name).band.high
            values = np.clip(self._band(name), low, high).astype(np.float32)
            group.create_array(name, data=encode(values, name), chunks=(CHUNK_PX, CHUNK_PX))
        classes = np.where(self.seen, ObservationClass.CLEAR, ObservationClass.CLOUD).astype(
            np.uint8
        )
        for when in When:
            group.create_array(f"{when}_observation", data=classes, chunks=(CHUNK_PX, CHUNK_PX))
        return Stack(folder)

    def _band(self, name: str) -> Floats:
        if name in ("slope", "hillshade"):
            return np.asarray(getattr(self, name))
        when, band = When(name.split("_")[0]), name.split("_")[1]
        image = self.images[when]
        if band != "NDVI":
            return image[band]
        with np.errstate(invalid="ignore", divide="ignore"):
            ndvi = (image["B8"] - image["B4"]) / (image["B8"] + image["B4"])
        return np.where(np.isfinite(ndvi), ndvi, 0).astype(np.float32)

    def ground(self, slope: float, kind: tuple[float, ...], spread: float) -> None:
        """Replace the ground at both dates by one material on slopes of about so many degrees."""
        shape = self.slope.shape
        self.slope = np.abs(slope * self.rng.normal(size=shape)).astype(np.float32)
        self.hillshade = (180 + 2 * slope * self.rng.normal(size=shape)).astype(np.float32)
        self.images = {when: shared(kind, (shape[0], shape[1]), spread, self.rng) for when in When}


def landsat(scene: Scene) -> None:
    """Landsat Collection 2 numbers read with Sentinel-2's scale: 3.64 (r + 0.2)."""
    scene.each(lambda _, v: np.float32(1e-4 / 2.75e-5) * (v + np.float32(0.2)))


def numbers(scene: Scene) -> None:
    """Digital numbers (r * 10000) taken for reflectance."""
    scene.each(lambda _, v: v * np.float32(10_000))


def swapped(scene: Scene) -> None:
    """B2 and B4 in each other's place, NDVI made of what stands there."""
    scene.images = {
        w: image | {"B2": image["B4"], "B4": image["B2"]} for w, image in scene.images.items()
    }


def snow(scene: Scene) -> None:
    """Fresh snow on nine tenths of the later image, lit by the terrain, unnoticed by the mask."""
    lit, after = scene.hillshade / 200, scene.images[When.POST]
    covered = (
        scene.rng.random((scene.slope.shape[0] // 4 + 1, scene.slope.shape[1] // 4 + 1))
        .repeat(4, 0)
        .repeat(4, 1)
    )
    where = covered[: lit.shape[0], : lit.shape[1]] < 0.9
    fresh = {"B2": 0.85, "B3": 0.85, "B4": 0.85, "B8": 0.80}
    scene.images[When.POST] = {
        b: np.where(where, fresh[b] * lit, v).astype(np.float32) for b, v in after.items()
    }


def haze(scene: Scene) -> None:
    """Dense haze over the later image: four tenths of the light lost, path radiance added, most in
    the blue.
    """
    path = {"B2": 0.12, "B3": 0.10, "B4": 0.08, "B8": 0.05}
    after = scene.images[When.POST]
    scene.images[When.POST] = {b: (0.6 * v + path[b]).astype(np.float32) for b, v in after.items()}


def sea(scene: Scene) -> None:
    """Open water at both dates."""
    scene.ground(0.3, (0.09, 0.07, 0.05, 0.03), 0.05)


def city(scene: Scene) -> None:
    """Roofs, roads and concrete at both dates, on nearly level ground."""
    scene.ground(3.0, (0.15, 0.15, 0.16, 0.20), 0.35)


def desert(scene: Scene) -> None:
    """Bright sand on dunes at both dates."""
    scene.ground(8.0, (0.20, 0.27, 0.35, 0.42), 0.08)


KINDS: dict[str, Callable[[Scene], None]] = {
    "another sensor's scaling": landsat,
    "digital numbers": numbers,
    "swapped bands": swapped,
    "snow": snow,
    "haze": haze,
    "sea": sea,
    "city": city,
    "desert": desert,
}


def warned(
    cards: list[Checkpoint], stack: Stack, settings: SelectionConfig
) -> tuple[bool, str, dict[str, float]]:
    """Return whether a run would warn, which checkpoint is the nearest, and that checkpoint's
    signals.
    """
    found = signals_of(compare(cards, stack, None, settings), settings)
    name = min(found, key=lambda one: (found[one][NEAREST], one))
    card = next(one.card for one in cards if one.card.name == name)
    known = settings.calibration(card.bands, card.simulated)
    assert known is not None
    mine = Ranked(name, float("nan"), float("nan"), {}, signals=found[name])
    return bool(choose.beyond_known(mine, known)), name, found[name]


def fresh(count: int, landscapes: set[str]) -> Iterator[SampleSet]:
    """Yield `count` epicentres of each landscape, in its season, never used before."""
    config, _ = read_study("standard")
    for domain in config.domains:
        if domain.name in landscapes and domain.simulated is not None:
            wanted = domain.simulated.model_copy(update={"count": count, "radius_km": RADIUS_KM})
            yield from simulated_scenes(
                domain.name, wanted, tuple(config.recipe["bands"]), WORK, FIRST
            )


def measure(count: int, wrong: int) -> dict[str, list[tuple[bool, dict[str, float]]]]:
    """Return, by kind, whether the warning fired on each scene and the signals; ``in domain`` for
    the scenes as they are.

    Args:
        count: epicentres of each landscape.
        wrong: how many of them are also made wrong.
    """
    settings = read_selection()
    bands = set(read_study("standard")[0].recipe["bands"])
    cards = [
        found
        for found in registry.find()
        if found.card.simulated and set(found.card.bands) == bands
    ]
    names = [d.name for found in cards for d in found.card.domains]
    homes = {n.removeprefix("sim-").rpartition("-")[0] for n in names}
    found: dict[str, list[tuple[bool, dict[str, float]]]] = {
        "in domain": [],
        **{kind: [] for kind in KINDS},
    }
    for number, samples in enumerate(fresh(count, homes)):
        spoilt = number % count < wrong
        for kind, results in found.items():
            if kind in KINDS and not spoilt:
                continue
            scene = Scene(samples, number)
            if kind in KINDS:
                KINDS[kind](scene)
            with tempfile.TemporaryDirectory() as folder:
                fired, _, signals = warned(
                    cards, scene.stack(Path(folder) / "stack.zarr"), settings
                )
            results.append((fired, signals))
    return found


def table(found: dict[str, list[tuple[bool, dict[str, float]]]]) -> str:
    """Return the result as Markdown: how often the warning fired, and the median signals beside
    their limits.
    """
    names = list(found["in domain"][0][1])
    lines = [["scenes (simulated)", "number", "warned", *(f"{name}, median" for name in names)]]
    lines.append(["---"] * len(lines[0]))
    for kind, results in found.items():
        medians = [f"{np.median([signals[name] for _, signals in results]):.2f}" for name in names]
        lines.append([kind, str(len(results)), str(sum(fired for fired, _ in results)), *medians])
    known = read_selection().calibration(
        tuple(read_study("standard")[0].recipe["bands"]), simulated=True
    )
    assert known is not None
    limits = known.limits
    lines.append(["*limit*", "", "", *(f"{limits[name]:.2f}" for name in names)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Print the table; with --write, put it into docs/."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=20, help="epicentres of each landscape")
    parser.add_argument(
        "--wrong", type=int, default=8, help="how many of them are also made wrong in every way"
    )
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    made = table(measure(given.scenes, given.wrong))
    print(made)
    if given.write:
        kinds = "; ".join(
            f"*{name}*: {(change.__doc__ or '').splitlines()[0].rstrip('.')}"
            for name, change in KINDS.items()
        )
        fill("ood", table=made, kinds=kinds + ".", simulator=fingerprint()[:16])


if __name__ == "__main__":
    main()
