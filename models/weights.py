"""Weights on disk: float16 safetensors with a checksum, never pickle; in memory always float32.

Parameters are rounded to float16 (half the size; the scores in a checkpoint are measured after that
rounding). Buffers, which are the running statistics of batch norm, stay float32: a variance of a
quiet channel lies below the smallest float16 (6e-8) and that of an unscaled band above the largest
(65 504), and they are under 1 % of the bytes. The same goes for a parameter that float16 cannot
hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from configs.checkpoint import WEIGHTS, CheckpointCard
from configs.errors import RequestError
from configs.files import follow_umask, format_of, replacing, sha256

_FLOAT16_MAX = 65504.0


def _compact(tensors: Mapping[str, Tensor], parameters: set[str]) -> dict[str, Tensor]:
    small = {}
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        fits = (
            name in parameters
            and tensor.dtype == torch.float32
            and bool((tensor.abs() <= _FLOAT16_MAX).all())
        )
        small[name] = tensor.half() if fits else tensor.clone()
    return small


def save(module: nn.Module, path: Path) -> str:
    """Return the SHA-256 of the file that `module`'s weights are written to, whole or not at all.

    Raises:
        RequestError: a weight is not finite (the training diverged).
    """
    state = module.state_dict()
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise RequestError(
            f"the weights are not finite: {broken[0]}",
            "Train again with a smaller `learning_rate`.",
        )
    compact = _compact(state, {name for name, _ in module.named_parameters()})
    with replacing(path) as temporary:
        save_file(compact, temporary, metadata={"format": format_of("weights")})
        follow_umask(temporary)  # safetensors makes files that only their owner can read
    return sha256(path)


def load(module: nn.Module, path: Path, expected_sha256: str, card: str) -> nn.Module:
    """Return `module` with the stored weights as float32, in evaluation mode.

    Raises:
        RequestError: the file is missing, is not the one the checkpoint was made with, or does not
            fit the network.
    """
    verify_file(path, expected_sha256, card, "weights")
    try:
        stored = load_file(path)
        module.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in stored.items()}, strict=True
        )
    except (SafetensorError, RuntimeError, OSError) as error:
        detail = " ".join(str(error).split())[:300]
        raise RequestError(
            f"the weights of checkpoint `{card}` do not fit its network: {detail}", _remedy(card)
        ) from error
    return module.eval()


def verify(folder: Path, card: CheckpointCard) -> None:
    """Check that the weights in a checkpoint's folder are those it was made with.

    Raises:
        RequestError: they are missing or others.
    """
    verify_file(folder / WEIGHTS, card.weights_sha256, card.name, "weights")


def verify_file(path: Path, expected_sha256: str, card: str, what: str) -> None:
    """Check one file of a checkpoint (`what` names it in the message) against the checksum in the
    card.
    """
    if not path.is_file():
        raise RequestError(f"card `{card}` has no {what}: {path} does not exist", _remedy(card))
    found = sha256(path)
    if found != expected_sha256:
        raise RequestError(
            f"the {what} of checkpoint `{card}` are not those it was made with ({path}: sha256 "
            f"{found[:12]}…, "
            f"the checkpoint says {expected_sha256[:12]}…)",
            _remedy(card),
        )


def _remedy(card: str) -> str:
    return (
        f"Get the folder of checkpoint `{card}` again (`git checkout` or copy it anew), or train "
        "it with `coslide train`."
    )
