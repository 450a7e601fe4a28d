"""Looking inside: where a checkpoint looked on some chips, which bands spoke, and which factors
separate landslides at all.

Pictures and tables in a folder: ``chip-01.png`` …, ``bands.csv``, ``factors.csv``, ``factors.png``.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import RequestError
from configs.files import write_text
from configs.records import IGNORED
from flows.learning.adapting import on
from flows.learning.evaluate_cards import card_named
from flows.run.journal import progress
from models.explain import gradcam, heatmaps
from models.explain.importance import gini_importance
from models.inference.predict import Predictor
from models.nets.blocks import Segmenter
from tiles.samples import SampleSet

logger = logging.getLogger(__name__)

PIXELS = 20_000
"""Pixels that rank the factors, half of them landslide where there are enough. Chosen: the ranking
no longer changes.
"""


def explain(
    samples: Path,
    out: Path,
    checkpoint: str | None = None,
    splits: Sequence[str] = (),
    chips: int = 4,
    seed: int = 0,
    card_dirs: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what was written to `out`, with the shares of bands and the importance of factors.

    Args:
        samples: folder of a sample set.
        out: folder, made where missing.
        checkpoint: name or folder of a checkpoint; without one only the factors are ranked.
        splits: splits whose chips and pixels are looked at; all where none is named.
        chips: how many chips, those with the largest share of landslide.
        seed: of the forest and its pixels.
        card_dirs: further folders of cards.

    Raises:
        RequestError: no such checkpoint, sample set or split, or a set without the checkpoint's
            bands.
    """
    opened = SampleSet.open(samples)
    numbers = opened.numbers(splits or tuple(opened.card.split_names.values()))
    found = card_named(checkpoint, card_dirs).fed(opened.card.bands) if checkpoint else None
    bands = found.card.bands if found else opened.card.bands
    if missing := [band for band in bands if band not in opened.card.bands]:
        raise RequestError(
            f"sample set `{opened.name}` has no {', '.join(missing)}, which `{checkpoint}` reads",
            "Cut it with these bands: `coslide samples`.",
        )
    out.mkdir(parents=True, exist_ok=True)
    ranked = dict(zip(bands, _factors(opened, bands, numbers, seed), strict=True))
    title = (
        f"Gini importance, {opened.name}{' (simulated)' if opened.card.origin.simulated else ''}"
    )
    heatmaps.draw_shares(
        ranked, out / "factors.png", title, "mean decrease in impurity (random forest on pixels)"
    )
    write_text(
        out / "factors.csv",
        _csv(["factor", "gini_importance"], [[n, f"{v:.6f}"] for n, v in ranked.items()]),
    )
    result: dict[str, Any] = {
        "status": "ok",
        "folder": str(out),
        "gini_importance": ranked,
        "pictures": ["factors.png"],
    }
    if found is None:
        return result
    shares, pictures = _look(on(found.load(), opened), opened, numbers, chips, out)
    return result | {
        "checkpoint": found.card.name,
        "bands": shares,
        "pictures": [*pictures, "factors.png"],
    }


def _factors(
    samples: SampleSet, bands: Sequence[str], numbers: tuple[int, ...], seed: int
) -> list[float]:
    """Return each band's Gini importance on labelled, fully observed pixels of some splits."""
    label = samples.label(numbers).ravel()
    values = np.stack([samples.read(band).ravel() for band in bands], axis=1)
    known = (label != IGNORED) & np.isfinite(values).all(axis=1)
    rng = np.random.default_rng(seed)
    drawn = []
    for kind in (1, 0):
        pool = np.flatnonzero(known & (label == kind))
        drawn.append(rng.choice(pool, min(PIXELS // 2, len(pool)), replace=False))
    chosen = np.concatenate(drawn)
    return [float(v) for v in gini_importance(values[chosen], label[chosen] == 1, seed)]


def _look(
    predictor: Predictor, samples: SampleSet, numbers: tuple[int, ...], count: int, out: Path
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return each band's share of the attribution by two methods, and the names of the pictures
    written.
    """
    table, side = samples.chips, samples.card.chip_px
    inside = np.flatnonzero(np.isin(table.splits, numbers) & (table.positive > 0))
    best = inside[np.argsort(-table.positive[inside], kind="stable")][:count]
    if not len(best):
        raise RequestError(
            "no chip of these splits holds a landslide", "Choose other splits (--split)."
        )
    pictures, occlusion, gradient = [], [], []
    with progress(f"looking into {predictor.card.name}", "chip") as advance:
        for number, chip in enumerate(best, start=1):
            rows, columns = (
                slice(int(at[chip]), int(at[chip]) + side) for at in (table.rows, table.columns)
            )
            look, gradients = look_at(predictor, samples, numbers, rows, columns)
            occlusion.append(gradcam.shares(look.occlusion))
            gradient.append(gradcam.shares(gradients))
            pictures.append(f"chip-{number:02d}.png")
            kind = " (simulated)" if samples.card.origin.simulated else ""
            heatmaps.draw(
                look,
                out / pictures[-1],
                f"{predictor.card.name} on {samples.name}{kind}, chip {chip}",
            )
            advance(number, len(best))
    shares = {
        band: {"occlusion": float(o), "gradient_x_input": float(g)}
        for band, o, g in zip(
            predictor.bands, np.mean(occlusion, axis=0), np.mean(gradient, axis=0), strict=True
        )
    }
    lines = [[band, *(f"{value:.6f}" for value in of.values())] for band, of in shares.items()]
    write_text(
        out / "bands.csv", _csv(["band", "occlusion_share", "gradient_x_input_share"], lines)
    )
    return shares, pictures


def look_at(
    predictor: Predictor, samples: SampleSet, numbers: tuple[int, ...], rows: slice, columns: slice
) -> tuple[heatmaps.Look, gradcam.Image]:
    """Return a chip as the network sees it, and gradient × input `(C, H, W)`.

    Grad-CAM explains the landslide logits inside the true landslide where there is one, else of the
    whole chip.
    """
    network, bands = predictor.module, predictor.bands
    assert isinstance(network, Segmenter)  # all of `models.architectures` are
    pixels = np.stack([samples.read(band, rows, columns) for band in bands])  # (C, h, w)
    truth = samples.label(numbers, rows, columns)
    image = predictor.inputs(pixels[None])[0]
    mask = truth == 1 if (truth == 1).any() else None
    groups = getattr(network, "groups", ())
    look = heatmaps.Look(
        bands=bands,
        pixels=pixels,
        truth=truth,
        probability=predictor(pixels[None])[0],
        cam=gradcam.class_map(network, image, mask),
        branch_cams=gradcam.branch_maps(network, image, mask)
        if groups
        else np.zeros((0, *truth.shape), np.float32),
        branch_names=tuple(
            f"branch {chr(65 + i)}: {_short(bands, group)}" for i, group in enumerate(groups)
        ),
        occlusion=gradcam.occlusion_maps(network, image),
    )
    return look, gradcam.gradient_maps(network, image, mask)


def _short(bands: Sequence[str], group: Sequence[int]) -> str:
    names = [bands[i] for i in group]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} … {names[-1]}"


def _csv(head: list[str], lines: list[list[str]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    return text.getvalue()


def words(result: dict[str, Any]) -> str:
    """Return the shares in words, the largest first."""
    lines = ["Gini importance of the factors:"]
    ranked = sorted(result["gini_importance"].items(), key=lambda item: -item[1])
    lines += [f"  {name:<16} {value:.3f}" for name, value in ranked]
    if "bands" in result:
        lines.append(
            f"share of each band in what `{result['checkpoint']}` says (occlusion, "
            "gradient × input):"
        )
        spoken = sorted(result["bands"].items(), key=lambda item: -item[1]["occlusion"])
        lines += [
            f"  {name:<16} {of['occlusion']:.3f}  {of['gradient_x_input']:.3f}"
            for name, of in spoken
        ]
    return "\n".join([*lines, f"  {result['folder']}/"])
