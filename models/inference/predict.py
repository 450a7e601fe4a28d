"""A checkpoint at work: physical tiles in, landslide probability out. One object, called like a
function, for `map_tiles`.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from configs.checkpoint import CheckpointCard
from configs.errors import MachineError, RequestError
from configs.stack import Coding
from models.inference.adaptation import Adaptation
from models.inference.calibration import apply
from models.inference.decode import decoded
from models.inference.normalise import Normaliser
from models.inference.runtime import Network, Runtime, agree, prepared, worthwhile
from models.nets.partial import Partial
from models.reference import Reference

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes to flip: none, west-east, north-south, both."""

_EASTWARD, _NORTHWARD = "aspect_sin", "aspect_cos"
"""Components of a direction: the first changes sign in a west-east mirror, the second in a
north-south one.
"""


def pick_device(device: Device, number: int = 0) -> torch.device:
    """Return the device to compute on: `auto` takes a CUDA GPU where there is one, the first unless
    another `number` is given.

    Raises:
        RequestError: `cuda` on a machine without.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RequestError(
            "no CUDA GPU can be used on this machine", "Set `model.device: auto` or `cpu`."
        )
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", number) if number else torch.device("cuda")


def pick_precision(precision: Precision) -> torch.dtype:
    """Return the type convolutions run in: float32 unless another is asked for.

    On an NVIDIA H200 float16 moved the probability of real pixels by up to 0.0028 and bfloat16 by
    up to 0.035; what is mapped on a GPU has to be what a processor maps, within 0.001.
    """
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision, torch.float32)


@contextmanager
def machine_failures() -> Iterator[None]:
    """Turn a lost GPU or exhausted memory into a `MachineError`; everything else passes."""
    remedy = (
        "Lower `batch` or set `device: cpu` in the configuration, then give the same "
        "command again: it goes on."
    )
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise MachineError("this machine ran out of memory while computing", remedy) from error
    except RuntimeError as error:
        text = str(error)
        if "DefaultCPUAllocator" in text or "not enough memory" in text:
            raise MachineError("this machine ran out of memory while computing", remedy) from error
        if (
            isinstance(error, torch.AcceleratorError)
            or "CUDA error" in text
            or "CUDNN_STATUS" in text
        ):
            raise MachineError(f"the GPU failed: {text.splitlines()[0][:200]}", remedy) from error
        raise


@contextmanager
def repeatable() -> Iterator[None]:
    """Let cuDNN choose only algorithms that give the same numbers each time, and none that rounds
    to TF32, whose ten bits moved probability by up to 0.0013. (Its own context also switches it
    off.)
    """
    with torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, deterministic=True, allow_tf32=False
    ):
        yield


class Mapper(Protocol):
    """What `map_tiles` calls: a checkpoint or several, by their bands."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Return the stack bands, in the order of the channels."""
        ...

    def __call__(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return landslide probability `(B, H, W)` of tiles `(B, C, H, W)`."""
        ...


@dataclass
class Predictor:
    """One checkpoint's network, ready to map. Deterministic: the same tiles give the same numbers
    on the same device.
    """

    card: CheckpointCard
    module: nn.Module
    device: Device = "auto"
    precision: Precision = "auto"
    runtime: Runtime = "torch"
    """What runs the network (`models.inference.runtime`)."""
    adaptation: Adaptation | None = None
    """How this scene is adapted to the checkpoint, for a checkpoint that does so
    (`Normalisation.adapt`); see `adapted`.
    """
    coding: Coding | None = None
    """What the integers of tiles mean; None where tiles are physical values. See `of_stored`."""
    number: int = 0
    """Which of this machine's GPUs, where it computes on one."""
    _ready: Network | None = field(default=None, repr=False)
    """The network as its runtime runs it: made once, whatever is made of the predictor."""

    def __post_init__(self) -> None:
        self._device = pick_device(self.device, self.number)
        self._dtype = pick_precision(self.precision)
        self._copying = _stream(self._device)
        self._normaliser = Normaliser.of(self.card.normalisation, self.card.bands)
        # Channels last is how oneDNN and cuDNN compute convolutions; anything else is reordered in
        # every layer.
        self._plain = channels_last(self.module.to(self._device)).eval()
        self._network = self._ready or prepared(self._plain, self.runtime, self._device)
        self._ready = self._network

    @property
    def bands(self) -> tuple[str, ...]:
        """Return the checkpoint's bands, the order of the channels."""
        return self.card.bands

    @property
    def torch_device(self) -> torch.device:
        """Return where the network computes."""
        return self._device

    def adapted(self, scene: Reference) -> Predictor:
        """Return the checkpoint at work on one scene, by the statistics of the scene's pixels;
        itself, where it needs none.
        """
        if self.card.normalisation.adapt == "card" or self.adaptation is not None:
            return self
        return replace(self, adaptation=Adaptation.of(self.card.normalisation, self.bands, scene))

    def fed(self, bands: Collection[str]) -> Predictor:
        """Return the checkpoint as it reads a source of these bands: with the optional ones among
        them.
        """
        card = self.card.fed(bands)
        if card == self.card or not isinstance(self.module, Partial):
            return self
        module = Partial(self.module.network, card.bands, card.optional)
        return replace(self, card=card, module=module, _ready=None)

    def of_stored(self, coding: Coding) -> Predictor:
        """Return the checkpoint at work on tiles of stored integers (`configs.stack.StoredView`),
        which become values on its own device; the same numbers.
        """
        return replace(self, coding=coding)

    def __call__(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return calibrated landslide probability `(B, H, W)`, 0-1, of physical tiles `(B, C, H,
        W)` with NaN, or of stored ones (`of_stored`).

        Raises:
            MachineError: out of memory, or the GPU was lost.
        """
        logits = self.logits(batch)
        if self.card.calibration.method == "isotonic":
            return apply(logits, self.card.calibration).astype(np.float32)
        calibration = self.card.calibration
        scaled = np.clip(calibration.scale * logits + calibration.shift, -80, 80)
        return np.asarray(1 / (1 + np.exp(-scaled)), dtype=np.float32)

    def logits(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return uncalibrated log-odds `(B, H, W)`: what a calibration is fitted to. The mean over
        flips, if any.
        """
        with machine_failures():
            found: NDArray[np.float32] = self.logits_there(batch).cpu().numpy()
            return found

    def logits_there(self, batch: NDArray[Any]) -> Tensor:
        """Return what `logits` does, left on the device; a GPU may still be computing it."""
        with machine_failures(), torch.inference_mode():
            return self.forward(self._values(batch))

    def forward(self, x: Tensor) -> Tensor:
        """Return log-odds `(B, H, W)` of physical tiles on the device: the mean over flips, if
        any.
        """
        with torch.inference_mode(), repeatable():
            flips = FLIPS if self.card.tiles.flips else FLIPS[:1]
            z = sum((self._forward(x, axes) for axes in flips), torch.zeros(())) / len(flips)
            return torch.as_tensor(z)

    def inputs(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the network reads of tiles, both `(B, C, H, W)`: adapted, normalised,
        filled.
        """
        return self._normaliser.array(self._values(batch).cpu().numpy())

    def _values(self, batch: NDArray[Any]) -> Tensor:
        """Return tiles as physical values in the checkpoint's terms, on its device."""
        self._check(batch)
        if self.coding is not None:
            values = decoded(self._there(batch), self.coding)
        else:
            values = self._there(np.ascontiguousarray(batch, dtype=np.float32))
        return values if self.adaptation is None else self.adaptation.tensor(values, self.bands)

    def _there(self, batch: NDArray[Any]) -> Tensor:
        """Return a batch on the device; on a GPU it is copied while what came before is
        computed.
        """
        here = torch.from_numpy(batch)
        if self._copying is None:
            return here.to(self._device)
        with torch.cuda.stream(self._copying):
            there = here.to(self._device, non_blocking=here.is_pinned())
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._copying)
        there.record_stream(computing)
        return there

    def _check(self, batch: NDArray[Any]) -> None:
        if batch.ndim != 4 or batch.shape[1] != len(self.bands):
            raise RequestError(
                f"card `{self.card.name}` reads tiles (B, {len(self.bands)}, H, W), not "
                f"{batch.shape}",
                f"Give its bands in this order: {', '.join(self.bands)}.",
            )
        if self.adaptation is None and self.card.normalisation.adapt != "card":
            raise RequestError(
                f"card `{self.card.name}` puts every scene on the scene's own statistics, "
                "and none were given",
                "Call `Predictor.adapted` with the scene's pixels first.",
            )

    def _forward(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        z = self.run(self._network, self._normaliser.tensor(mirrored(x, self.bands, axes)))
        log_odds: Tensor = z[:, 0].float()  # (B, H, W)
        return log_odds.flip(axes) if axes else log_odds

    def beside(self, number: int) -> Predictor:
        """Return the same checkpoint at work on another of this machine's GPUs, with weights of its
        own; on a processor, a second one there.
        """
        return replace(self, module=copy.deepcopy(self.module), number=number, _ready=None)

    def fastest(self, tiles: int) -> Predictor:
        """Return the checkpoint at work by what was measured to be fastest for so many tiles and
        answers the same here; itself, where that is PyTorch.
        """
        if self.precision != "auto" or not worthwhile(self.card.architecture, self._device, tiles):
            return self
        other = replace(self, runtime="openvino", _ready=None)
        side = self.card.tiles.size + (
            2 * self.card.tiles.halo if self.card.tiles.mode == "core" else 0
        )
        example = torch.randn(
            (1, len(self.bands), side, side), generator=torch.Generator().manual_seed(0)
        )
        return other if agree(self._plain, other.network, example) else self

    @property
    def manner(self) -> dict[str, str]:
        """Return what computes, for provenance: runtime, device and precision."""
        precision = str(self._dtype).removeprefix("torch.")
        return {"runtime": self.runtime, "device": self._device.type, "precision": precision}

    @property
    def network(self) -> Network:
        """Return the network as its runtime runs it."""
        return self._network

    def run(self, network: Network, x: Tensor) -> Tensor:
        """Return a network's logits `(B, 1, H, W)` of inputs `(B, C, H, W)`, in this checkpoint's
        precision.
        """
        half = self._dtype != torch.float32
        x = x.to(self._device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            self._device.type, self._dtype if half else torch.bfloat16, enabled=half
        ):
            z: Tensor = network(x)
            return z


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    """Return a stream of a GPU for copies alone; a processor has none."""
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # missing in PyTorch's types


def channels_last(module: nn.Module) -> nn.Module:
    """Return `module` with its convolutions in channels-last order, in place."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # stub lacks it


def mirrored(x: Tensor, bands: Sequence[str], axes: tuple[int, ...]) -> Tensor:
    """Return physical tiles `(B, C, H, W)` flipped along `axes` (-1 west-east, -2 north-south),
    directions mirrored too.

    Hillshade keeps its values: a mirrored terrain lit from the mirrored side, as the training
    samples were.
    """
    if not axes:
        return x
    signs = [
        -1.0 if (b == _EASTWARD and -1 in axes) or (b == _NORTHWARD and -2 in axes) else 1.0
        for b in bands
    ]
    return x.flip(axes) * torch.tensor(signs, device=x.device)[:, None, None]
