"""The type a training computes in: half precision where the machine has instructions for it, float32 where it would be emulated."""

from __future__ import annotations

import torch

from models.predict import Precision, pick_precision

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def cpu_computes_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 itself; elsewhere oneDNN emulates it, several times slower than float32."""
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in _INSTRUCTIONS)


def pick_training_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type convolutions are trained in (docs/precision.md); a named precision is taken at its word.

    Weights and optimiser are float32 throughout. Maps are made by `pick_precision`: float32 on every CPU.
    """
    if precision == "auto" and device.type == "cpu" and cpu_computes_bfloat16():
        return torch.bfloat16
    return pick_precision(precision, device)
