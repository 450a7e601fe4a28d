"""Can every network learn at all? Each one is shown eight chips of the real Iburi scene until it
knows them by heart.

    python -m benchmarks.overfit [--only NETWORK] [--write]     # resumable:
    runs/verify/overfit.json

A network that cannot is wired wrongly. Writes docs/results.md; needs the real data beside the
repository.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.budget import rate_for
from benchmarks.results import fill
from configs.files import write_text
from flows.learning.samples import make_samples
from models.architectures import ARCHITECTURES, build
from models.inference.predict import channels_last
from models.metrics import Confusion
from models.nets.blocks import upsample
from models.training.loop import pick_training_precision
from models.training.losses import Objective
from tiles.samples import SampleSet

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "runs" / "verify"
BANDS = ("post_B2", "post_B3", "post_B4", "slope", "hillshade")
GROUPS = [[0, 1, 2], [3, 4]]
"""Image and terrain: the two branches of the multi-input network."""
CHIPS, SIDE_PX = 8, 64
STEPS, CHECK_EVERY = 300, 10
WANTED_IOU = 0.9
SEED = 0
INTERPOLATED = {
    "fcn8s": 8,
    "cgnet": 8,
    "lanet": 4,
    "deeplabv3plus_resnet50": 4,
    "deeplabv3plus_mobilenetv2": 4,
}
"""Output strides of the networks whose logits are interpolated ×4 or more; SCDnn learns its own ×4
kernel in 256 channels.
"""


@dataclass(frozen=True)
class Overfitted:
    """How far one network came."""

    network: str
    parameters: int
    iou: float
    wanted: float
    """IoU that shows the network is wired rightly."""
    steps: int
    """Optimiser steps until `iou`, at most 300."""
    cpu_seconds: float

    @property
    def passed(self) -> bool:
        """Return whether the network learnt the chips."""
        return self.iou >= self.wanted


def iburi_chips(samples: SampleSet) -> tuple[Tensor, Tensor]:
    """Return `CHIPS` chips `(B, C, H, W)`, z-scored by their own statistics, and their labels `(B,
    H, W)`.

    Fully observed and labelled, disjoint, a tenth to a half of their pixels landslide; the draw is
    the seed's.
    """
    pixels = np.stack([samples.read(band) for band in BANDS])  # (band, y, x)
    label = samples.label(tuple(samples.card.split_names))
    usable = np.isfinite(pixels).all(axis=0) & (label != 255)
    corners = [
        (y, x)
        for y in range(0, label.shape[0] - SIDE_PX, SIDE_PX)
        for x in range(0, label.shape[1] - SIDE_PX, SIDE_PX)
        if usable[y : y + SIDE_PX, x : x + SIDE_PX].all()
        and 0.1 <= float((label[y : y + SIDE_PX, x : x + SIDE_PX] == 1).mean()) <= 0.5
    ]
    drawn = np.random.default_rng(SEED).choice(len(corners), CHIPS, replace=False)
    windows = [
        (slice(y, y + SIDE_PX), slice(x, x + SIDE_PX))
        for y, x in (corners[i] for i in sorted(drawn))
    ]
    x = np.stack([pixels[:, *window] for window in windows])
    x = (x - x.mean(axis=(0, 2, 3), keepdims=True)) / x.std(axis=(0, 2, 3), keepdims=True)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(
        np.stack([label[window] for window in windows])
    )


def bound(labels: Tensor, stride: int) -> float:
    """Return the IoU that free logits on a lattice of `stride` px reach after bilinear
    interpolation to full size.

    The lattice starts at the labels' means and is then fitted like a network's last layer, with
    nothing before it.
    """
    truth = labels.float()[:, None]  # (B, 1, H, W)
    coarse = torch.logit(nn.functional.avg_pool2d(truth, stride), eps=0.02).requires_grad_()
    optimiser, objective, best = torch.optim.Adam([coarse], 0.1), Objective(1.0, 1.0), 0.0
    for _ in range(STEPS):
        logits = upsample(coarse, truth)
        best = max(best, _iou(logits, labels))
        optimiser.zero_grad()
        objective(logits, labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return best


def overfit(name: str, x: Tensor, labels: Tensor, **arguments: object) -> Overfitted:
    """Return how well a network learns chips `(B, C, H, W)` with labels `(B, H, W)`: Adam, BCE +
    Dice, all chips a step.

    It stops as soon as it knows enough. IoU is measured in evaluation mode, as the network would be
    used.
    """
    torch.manual_seed(SEED)
    if ARCHITECTURES[name].multi_input:
        arguments = {"groups": GROUPS, **arguments}
    network = channels_last(build(name, x.shape[1], **arguments))
    optimiser, objective = (
        torch.optim.Adam(network.parameters(), rate_for(network), fused=True),
        Objective(1.0, 1.0),
    )
    wanted = WANTED_IOU * (bound(labels, INTERPOLATED[name]) if name in INTERPOLATED else 1.0)
    x, best, at, since = (
        x.contiguous(memory_format=torch.channels_last),
        0.0,
        0,
        time.process_time(),
    )
    for step in range(1, STEPS + 1):
        network.train()
        loss = objective(_forward(network, x), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                iou = _iou(_forward(network.eval(), x), labels)
            best, at = max((best, at), (iou, step))
            if best >= wanted:
                break
    parameters = sum(p.numel() for p in network.parameters())
    return Overfitted(name, parameters, best, wanted, at, time.process_time() - since)


def _forward(network: nn.Module, x: Tensor) -> Tensor:
    dtype = pick_training_precision("auto", torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is not torch.float32):
        logits: Tensor = network(x)
    return logits


def _iou(logits: Tensor, labels: Tensor) -> float:
    predicted: NDArray[np.bool_] = (logits.detach()[:, 0] > 0).numpy()
    return Confusion.from_masks(predicted, labels.numpy()).iou


def samples_of_iburi() -> SampleSet:
    """Return the sample set of the real scene, cut where it is not there yet."""
    folder = WORK / "iburi" / "samples" / "iburi-post"
    recipe = ROOT / "configs" / "samples" / "iburi-post.yaml"
    return SampleSet.open(folder) if folder.exists() else make_samples(recipe, folder)


def table(rows: list[Overfitted], labels: Tensor) -> str:
    """Return the document's table."""
    lines = [
        "| network | parameters | output | IoU wanted | IoU reached | after steps | CPU "
        "seconds | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stride = INTERPOLATED.get(row.network)
        output = f"×{stride}, bound {bound(labels, stride):.3f}" if stride else "full size"
        verdict = "learns" if row.passed else "**does not**"
        lines.append(
            f"| {ARCHITECTURES[row.network].title} | {row.parameters:,} | {output} | "
            f"{row.wanted:.3f} | {row.iou:.3f} "
            f"| {row.steps} | {row.cpu_seconds:.0f} | {verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Overfit whatever is not yet on record; with --write, put the table into docs/results.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=list(ARCHITECTURES),
        help="This network; may be repeated.",
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-training", action="store_true", help="Only what is on record.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    path = WORK / "overfit.json"
    done = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    x, labels = iburi_chips(samples_of_iburi())
    for name in () if given.no_training else given.only or list(ARCHITECTURES):
        if name not in done:
            done[name] = asdict(overfit(name, x, labels))
            write_text(path, json.dumps(done, indent=1))
            print(Overfitted(**done[name]), flush=True)
    made = table([Overfitted(**done[name]) for name in ARCHITECTURES if name in done], labels)
    print(made)
    if given.write:
        share = float((labels == 1).float().mean())
        absent = ", ".join(ARCHITECTURES[name].title for name in ARCHITECTURES if name not in done)
        missing = (
            f"Not measured yet: {absent}; the same command goes on."
            if absent
            else "All networks are there."
        )
        fill("overfit", table=made, missing=missing, share=f"{share:.1%}", seed=str(SEED))


if __name__ == "__main__":
    main()
