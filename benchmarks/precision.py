"""What mixed precision and channels-last order are worth on this CPU: a training step and a forward
pass of the papers' networks.

    python -m benchmarks.precision [--write]     # resumable per network: runs/verify/precision.json

Each way takes its turn in every round of one process, one thread; figures are medians over rounds
of processor time. A second process forbids oneDNN the bfloat16 instructions, to show what the same
words cost on a CPU without. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.budget import OBJECTIVE
from benchmarks.results import fill
from configs.files import write_text
from models.architectures import ARCHITECTURES, build

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / "runs" / "verify" / "precision.json"
NETWORKS = ("resu_senet", "fc_densenet", "scdnn", "dfpenet", "multi_input_unet", "unet")
"""The five systems and the plain U-Net."""
CHANNELS, BATCH, SIDE_PX, ROUNDS = 10, 2, 64, 5
GROUPS = [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]
OLDER = "AVX2"
"""What oneDNN may use in the second process: the processors without AVX-512, as in most laptops."""
SECONDS = 1.0 / (BATCH * SIDE_PX**2 * 1e-6)
"""From seconds a pass to seconds a megapixel."""


@dataclass(frozen=True)
class Way:
    """One way to compute the same."""

    title: str
    half: bool
    last: bool

    @property
    def order(self) -> torch.memory_format:
        """Return the memory order of weights and activations."""
        return torch.channels_last if self.last else torch.contiguous_format


PLAIN = Way("float32", half=False, last=False)
LAST = Way("float32, channels last", half=False, last=True)
HALF = Way("bfloat16, channels last", half=True, last=True)
WAYS = (PLAIN, LAST, HALF)


@dataclass(frozen=True)
class Cost:
    """Processor seconds per megapixel of each way, in the order they were asked for."""

    training: list[float]
    inference: list[float]


def cost(network: nn.Module, channels: int, ways: tuple[Way, ...], rounds: int) -> Cost:
    """Return what `ways` cost on random chips `(B, C, H, W)`; the first round warms up and is not
    counted.
    """
    torch.manual_seed(0)
    x, y = (
        torch.randn(BATCH, channels, SIDE_PX, SIDE_PX),
        torch.randint(0, 2, (BATCH, SIDE_PX, SIDE_PX)),
    )
    labels = y.to(torch.uint8)
    optimiser = torch.optim.Adam(network.parameters(), 1e-6, fused=True)

    def learn(way: Way) -> None:
        optimiser.zero_grad(set_to_none=True)
        OBJECTIVE(_forward(network.train(), x, way), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    @torch.no_grad()
    def look(way: Way) -> None:
        _forward(network.eval(), x, way)

    return Cost(*(_medians(network, act, ways, rounds) for act in (learn, look)))


def _medians(
    network: nn.Module, act: Callable[[Way], None], ways: tuple[Way, ...], rounds: int
) -> list[float]:
    taken: list[list[float]] = [[] for _ in ways]
    for turn in range(rounds + 1):
        for way, times in zip(ways, taken, strict=True):
            network.to(memory_format=way.order)  # type: ignore[call-overload]  # stub lacks it
            since = time.process_time()
            act(way)
            if turn:
                times.append(time.process_time() - since)
    return [statistics.median(times) * SECONDS for times in taken]


def _forward(network: nn.Module, x: Tensor, way: Way) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=way.half):
        logits: Tensor = network(x.contiguous(memory_format=way.order))
    return logits.float()


def made(name: str) -> nn.Module:
    """Return a network at full width."""
    torch.manual_seed(0)
    return build(name, CHANNELS, **({"groups": GROUPS} if ARCHITECTURES[name].multi_input else {}))


def without_instructions(name: str) -> Cost:
    """Return what float32 and bfloat16 cost where oneDNN may use no more than `OLDER`, in a process
    of its own.
    """
    words = [sys.executable, "-m", "benchmarks.precision", "--older", name]
    scored = {**os.environ, "ONEDNN_MAX_CPU_ISA": OLDER}
    done = subprocess.run(words, env=scored, cwd=ROOT, check=True, capture_output=True, text=True)
    return Cost(**json.loads(done.stdout))


def measure(name: str) -> dict[str, dict[str, list[float]]]:
    """Return one network's row."""
    return {
        "here": asdict(cost(made(name), CHANNELS, WAYS, ROUNDS)),
        "older": asdict(without_instructions(name)),
    }


def table(rows: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Return the document's table, a line a network that is on record."""
    head = ["network", *(f"training, {way.title}" for way in WAYS), "gain"]
    head += [
        *(f"inference, {way.title}" for way in WAYS),
        "gain",
        f"bfloat16 in training with {OLDER} only",
    ]
    lines = [head, ["---"] * len(head)]
    for name in (n for n in NETWORKS if n in rows):
        cells = [ARCHITECTURES[name].title]
        for part in ("training", "inference"):
            spent = rows[name]["here"][part]
            cells += [*(f"{seconds:.1f}" for seconds in spent), f"{spent[0] / spent[-1]:.2f} ×"]
        lines.append([*cells, f"{gains(rows, name)[-1]:.2f} ×"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def gains(
    rows: dict[str, dict[str, dict[str, list[float]]]], name: str
) -> tuple[float, float, float]:
    """Return how many times as fast a training step is by channels last alone, with bfloat16 too,
    and bfloat16 on `OLDER`.
    """
    plain, last, half = rows[name]["here"]["training"]
    single, emulated = rows[name]["older"]["training"]
    return plain / last, plain / half, single / emulated


def verdict(rows: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Return the spread of the gains, in words."""
    if not rows:
        return ""
    alone, both, emulated = (
        sorted(part) for part in zip(*(gains(rows, name) for name in rows), strict=True)
    )
    return (
        f"A training step is {alone[0]:.2f} to {alone[-1]:.2f} times as fast in "
        "channels-last order alone, "
        f"{both[0]:.2f} to {both[-1]:.2f} times with bfloat16 as well; where the processor "
        "lacks the instructions "
        f"bfloat16 is {emulated[0]:.2f} to {emulated[-1]:.2f} times as fast as float32."
    )


def main() -> None:
    """Measure whatever is not yet on record; with --write, put the table into docs/results.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-measuring", action="store_true", help="Only what is on record.")
    parser.add_argument(
        "--older",
        choices=NETWORKS,
        help="Print this network's cost in this process, and nothing else.",
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.older:
        print(json.dumps(asdict(cost(made(given.older), CHANNELS, (LAST, HALF), 2))))
        return
    rows = json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    for name in () if given.no_measuring else NETWORKS:
        if name not in rows:
            rows[name] = measure(name)
            write_text(STATE, json.dumps(rows, indent=1))
    made_table = table(rows)
    print(made_table, verdict(rows), sep="\n")
    if given.write:
        known = "has" if torch.cpu.get_capabilities().get("avx512_bf16") else "lacks"
        size = f"{BATCH} chips of {SIDE_PX} px, {CHANNELS} bands"
        absent = ", ".join(ARCHITECTURES[name].title for name in NETWORKS if name not in rows)
        words = (
            f"{verdict(rows)} Not measured yet: {absent}; the same command goes on."
            if absent
            else verdict(rows)
        )
        fill(
            "precision", table=made_table, verdict=words, size=size, rounds=str(ROUNDS), known=known
        )


if __name__ == "__main__":
    main()
