"""The training loop, plain: draw, forward, loss, backward, step; now and then validate and save.
Read `train` first.

Deterministic: what a step sees and draws depends on (seed, step) alone, so on a CPU the same recipe
gives the same loss curve twice, and a training killed at any moment and started again gives the
same weights as one that was not.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from configs.checkpoint import Normalisation
from configs.errors import RequestError
from configs.records import Advance, silent
from configs.training import ScheduleConfig, TrainingConfig
from models.architectures import build
from models.inference import normalise
from models.inference.predict import (
    Precision,
    channels_last,
    machine_failures,
    pick_device,
    pick_precision,
)
from models.metrics import Sweep
from models.nets.partial import channels
from models.training import curves, state
from models.training.batches import Augment, Batches, Chips, Order, arrays, stacked, with_landslides
from models.training.board import Board
from models.training.finetune import Start, freeze
from models.training.held import held
from models.training.losses import Objective, Sums
from models.training.state import Progress

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def _cpu_computes_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 itself; elsewhere oneDNN emulates it,
    several times slower than float32.
    """
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in _INSTRUCTIONS)


def pick_training_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type convolutions are trained in (docs/results.md); a named precision is taken
    at its word.

    Weights and optimiser are float32 throughout. Maps are made by `pick_precision`: float32
    unless another is named.
    """
    if precision == "auto" and device.type == "cpu" and _cpu_computes_bfloat16():
        return torch.bfloat16
    if precision == "auto" and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return pick_precision(precision)


@dataclass(frozen=True)
class Trained:
    """What came out of a training."""

    config: TrainingConfig
    bands: tuple[str, ...]
    normalisation: Normalisation
    module: nn.Module
    """The network with the kept weights, float32, on the CPU, in evaluation mode."""
    progress: Progress
    device: str
    chips: int


def train(
    config: TrainingConfig,
    training: Chips,
    validation: Chips | None,
    bands: tuple[str, ...],
    folder: Path,
    *,
    augment: Augment | None = None,
    normalisation: Normalisation | None = None,
    start: Start | None = None,
    advance: Advance = silent,
) -> Trained:
    """Return the network that a recipe makes of samples, going on where an earlier call in `folder`
    was cut off.

    `folder` receives the state, ``curves.jsonl`` and ``curves.png``. With a `start` weights and
    normalisation are that checkpoint's to begin with; otherwise weights are drawn, and
    `normalisation` is fitted to the training samples where none is given.

    Raises:
        RequestError: no samples, a recipe that does not fit them or an unfinished one, or a loss
            that is not finite.
        MachineError: out of memory, or the GPU was lost: the same call goes on.
    """
    if len(training) == 0:
        raise RequestError(
            "there is no training sample",
            "Check `samples` in the recipe and the split of the sample sets.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    normalisation = normalisation or (start.normalisation if start else None)
    normalisation = normalisation or normalise.fit(_each(training), bands, config.normalisation)
    seeded = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    with torch.random.fork_rng(seeded), machine_failures():
        inputs = channels(len(bands) - len(config.optional), len(config.optional))
        loop = _Loop.begin(config, inputs, len(training), folder, start)
        batches = _batches(config, training, bands, normalisation, augment)
        there = held(config, batches, loop.device)
        total = config.length(len(training))
        every = config.validate_every or max(1, math.ceil(len(training) / config.batch))
        while loop.progress.step < total:
            step = loop.progress.step
            loop.learn(
                *there.at(step),
                learning_rate(config.schedule, config.optimiser.learning_rate, step, total),
            )
            if (
                validation is not None
                and len(validation)
                and ((step + 1) % every == 0 or step + 1 == total)
            ):
                loop.validate(validation, batches)
            if (step + 1) % config.save_every == 0 or step + 1 == total:
                loop.save()
            advance(step + 1, total)
        if loop.board is not None:
            loop.board.close()
        curves.draw(folder, config.name)
        return Trained(
            config,
            bands,
            normalisation,
            loop.kept(),
            loop.progress,
            str(loop.device),
            len(training),
        )


def _each(chips: Chips) -> Any:
    return (chips[i] for i in range(len(chips)))


def _batches(
    config: TrainingConfig,
    chips: Chips,
    bands: tuple[str, ...],
    normalisation: Normalisation,
    augment: Augment | None,
) -> Batches:
    positive = with_landslides(chips) if config.balance is not None else None
    order = Order(len(chips), config.batch, config.seed, config.balance, positive)
    normaliser = normalise.Normaliser.of(normalisation, bands)
    variation, optional = config.augmentation, config.optional
    return Batches(chips, bands, order, normaliser, variation, config.crop_px, augment, optional)


def learning_rate(schedule: ScheduleConfig, peak: float, step: int, total: int) -> float:
    """Return the learning rate of a step, 0-based: a pure function, so that nothing has to be
    saved.
    """
    name, warmup = schedule.name, schedule.warmup * total
    if name == "onecycle":
        warmup = warmup or 0.3 * total
        if step < warmup:
            return peak * (
                1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * (step + 1) / warmup))
            )
    elif step < warmup:
        return peak * min(1.0, (step + 1) / warmup)
    done = (step - warmup) / max(1.0, total - warmup)
    if name in ("cosine", "onecycle"):
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    return peak * (1 - done) ** schedule.power if name == "poly" else peak


def _make_optimiser(config: TrainingConfig, module: nn.Module) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over all weights that learn."""
    o, learning = (
        config.optimiser,
        [parameter for parameter in module.parameters() if parameter.requires_grad],
    )
    if o.name == "sgd":
        return torch.optim.SGD(
            learning,
            o.learning_rate,
            o.momentum,
            weight_decay=o.weight_decay,
            nesterov=o.momentum > 0,
        )
    kind = torch.optim.AdamW if o.name == "adamw" else torch.optim.Adam
    return kind(learning, o.learning_rate, weight_decay=o.weight_decay)


@dataclass
class _Loop:
    """A training under way: network, optimiser, average, and how far it is."""

    config: TrainingConfig
    folder: Path
    module: nn.Module
    optimiser: torch.optim.Optimizer
    objective: Objective
    device: torch.device
    dtype: torch.dtype
    scaler: torch.amp.GradScaler
    progress: Progress
    average: dict[str, Tensor]
    """Running average of the weights; empty where the recipe wants none."""
    best: dict[str, Tensor]
    """Weights of the lowest validation loss so far."""
    records: list[dict[str, Any]]
    """Curve records not yet on disk."""
    since: float
    frozen: tuple[nn.Module, ...] = ()
    """Layers that stay in evaluation mode."""
    board: Board | None = None

    @classmethod
    def begin(
        cls,
        config: TrainingConfig,
        channels: int,
        chips: int,
        folder: Path,
        start: Start | None = None,
    ) -> _Loop:
        """Return a training at its first step, or where the state in `folder` left it."""
        torch.manual_seed(config.seed)
        device = pick_device(config.device)
        dtype = pick_training_precision(config.precision, device)
        network = build(config.architecture, channels, **config.arguments)
        if start is not None:
            network.load_state_dict(dict(start.weights))
        frozen, module = freeze(network, config.freeze), channels_last(network.to(device))
        loss = Objective(
            config.loss.dice, config.loss.bce, config.loss.epsilon, config.loss.smoothing
        )
        scaler = torch.amp.GradScaler(
            device.type, enabled=dtype == torch.float16 and device.type == "cuda"
        )
        identity = f"{config.identity}-{channels}-{chips}" + (
            f"-{start.card.weights_sha256[:8]}" if start else ""
        )
        optimiser, now, at = _make_optimiser(config, module), time.monotonic(), Progress(identity)
        loop = cls(
            config, folder, module, optimiser, loss, device, dtype, scaler, at, {}, {}, [], now,
            frozen,
        )  # fmt: skip
        if config.average:
            loop.average = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        found = state.load(folder, identity)
        if found is not None:
            loop._restore(*found)
        curves.rewind(folder, loop.progress.step)
        loop.board = Board(folder, loop.progress.step) if config.tensorboard else None
        return loop

    def learn(self, x: Tensor, y: Tensor, rate: float) -> None:
        """Do one optimiser step on a batch, `(B, C, H, W)` and `(B, H, W)`."""
        self.module.train()
        for layer in self.frozen:
            layer.eval()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self.objective(self._forward(x), y.to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.config.optimiser.clip is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.config.optimiser.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self._follow()
        self.progress = self.progress.after(step=self.progress.step + 1)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RequestError(
                f"the training diverged: the loss of step {self.progress.step} is {value}",
                "Lower `optimiser.learning_rate`, or set `optimiser.clip: 1.0`.",
            )
        self.records.append({"step": self.progress.step, "loss": value, "learning_rate": rate})

    def _forward(self, x: Tensor) -> Tensor:
        x = x.to(self.device).contiguous(memory_format=torch.channels_last)
        half = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype if half else torch.bfloat16, enabled=half):
            logits: Tensor = self.module(x)
        return logits

    def _follow(self) -> None:
        """Move the running average towards the weights; faster at first, when it has little to
        remember.
        """
        done = self.progress.step
        decay = min(self.config.average, (done + 1) / (done + 10))
        for name, tensor in self.module.state_dict().items() if self.average else ():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    @torch.no_grad()
    def validate(self, chips: Chips, batches: Batches) -> None:
        """Measure loss and best F1 on whole validation chips with the weights that would be kept;
        remember the best.
        """
        plain = (
            {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
            if self.average
            else None
        )
        if self.average:
            self.module.load_state_dict(self.average)
        loss, sweep = self._measure(chips, batches)
        threshold, counts = sweep.best()
        if self.progress.best_loss is None or loss < self.progress.best_loss:
            self.progress = self.progress.after(best_loss=loss, best_step=self.progress.step)
            self.best = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        if plain is not None:
            self.module.load_state_dict(plain)
        found = {"validation_loss": loss, "validation_f1": counts.f1, "threshold": threshold}
        self.records.append({"step": self.progress.step} | found)

    def _measure(self, chips: Chips, batches: Batches) -> tuple[float, Sweep]:
        self.module.eval()
        sums, sweep = Sums.zero(), Sweep.empty()
        for first in range(0, len(chips), self.config.batch):
            numbers = range(first, min(first + self.config.batch, len(chips)))
            pairs = [arrays(chips, i, len(batches.bands)) for i in numbers]
            x, y = stacked([(batches.inputs(one), label) for one, label in pairs])
            logits = self._forward(x)
            sums = sums + self.objective.sums(logits, y.to(self.device)).detached()
            sweep = sweep + Sweep.of(torch.sigmoid(logits[:, 0].float()).cpu().numpy(), y.numpy())
        return float(self.objective.of(sums)), sweep

    def save(self) -> None:
        """Put state and curves on disk."""
        now = time.monotonic()
        self.progress = self.progress.after(
            seconds=self.progress.seconds + now - self.since,
            scaler=json.dumps(self.scaler.state_dict()),
        )
        self.since = now
        curves.append(self.folder, self.records)
        if self.board is not None:
            self.board.add(self.records)
        self.records = []
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state()
        groups = {
            "model": self.module.state_dict(),
            "average": self.average,
            "best": self.best,
            "optimiser": state.optimiser_tensors(self.optimiser),
            "generator": generators,
        }
        state.save(self.folder, self.progress, groups)

    def _restore(self, progress: Progress, groups: dict[str, dict[str, Tensor]]) -> None:
        self.progress = progress
        self.module.load_state_dict(groups["model"])
        for mine, name in ((self.average, "average"), (self.best, "best")):
            mine.update({k: t.to(self.device) for k, t in groups.get(name, {}).items()})
        state.restore_optimiser(self.optimiser, groups.get("optimiser", {}))
        self.scaler.load_state_dict(json.loads(progress.scaler))
        torch.set_rng_state(groups["generator"]["cpu"])
        if self.device.type == "cuda" and "cuda" in groups["generator"]:
            torch.cuda.set_rng_state(groups["generator"]["cuda"])

    def kept(self) -> nn.Module:
        """Return the network with the weights the recipe keeps, float32 on the CPU."""
        weights = self.best if self.config.keep == "best" and self.best else self.average
        if weights:
            self.module.load_state_dict(weights)
        return self.module.to("cpu", dtype=torch.float32).eval()
