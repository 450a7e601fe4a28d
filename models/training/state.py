"""The state of an unfinished training: one safetensors file, replaced whole, so that SIGKILL at any
moment loses little.

Tensors and the few numbers beside them (as JSON in the file's header) are one file and one rename:
they cannot differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from configs.errors import RequestError
from configs.files import check_format, format_of, replacing

STATE = "state.safetensors"
KIND = "training-state"


@dataclass(frozen=True)
class Progress:
    """The numbers of a training's state."""

    identity: str
    """`TrainingConfig.identity` and the samples' size: only the same recipe goes on."""
    step: int = 0
    """Optimiser steps done."""
    best_step: int = 0
    best_loss: float | None = None
    seconds: float = 0.0
    """Wall-clock seconds over all sittings."""
    scaler: str = "{}"
    """State of the float16 loss scaler, JSON."""

    def after(self, **changes: Any) -> Progress:
        """Return the same progress with some numbers changed."""
        return replace(self, **changes)


def save(folder: Path, progress: Progress, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a state whole or not at all: groups of tensors (`model`, `optimiser`, ...) and the
    numbers.
    """
    tensors = {
        f"{group}/{name}": t.detach().contiguous()
        for group, part in groups.items()
        for name, t in part.items()
    }
    with replacing(folder / STATE) as temporary:
        # A copy: averaged and plain weights may share memory, which the format refuses.
        save_file(
            {name: tensor.clone() for name, tensor in tensors.items()},
            temporary,
            metadata={"format": format_of(KIND), "progress": json.dumps(asdict(progress))},
        )


def load(folder: Path, identity: str) -> tuple[Progress, dict[str, dict[str, Tensor]]] | None:
    """Return a state on disk, or None where there is none.

    Raises:
        RequestError: it cannot be read, or it belongs to another recipe.
    """
    path = folder / STATE
    if not path.exists():
        return None
    remedy = f"Delete {folder} to start anew, or train into another folder."
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    except (SafetensorError, OSError) as error:
        raise RequestError(
            f"the unfinished training in {path} cannot be read: {error}", remedy
        ) from error
    check_format(header.get("format"), KIND, str(path))
    progress = Progress(**json.loads(header["progress"]))
    if progress.identity != identity:
        raise RequestError(
            f"the unfinished training in {folder} has another recipe or other samples", remedy
        )
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    return progress, groups


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as named tensors, `NUMBER.KEY`."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}.{key}": value for number, part in state.items() for key, value in part.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give a fresh optimiser of the same recipe the state it had."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )


def forget(folder: Path) -> None:
    """Remove the state of a training that has become a checkpoint; its curves stay."""
    (folder / STATE).unlink(missing_ok=True)
