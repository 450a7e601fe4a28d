"""Pre-trained encoder weights from a file. There is no hub: the user names a safetensors state
dict, or starts afresh.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from configs.errors import RequestError

_IMAGE_CLASSIFIER = ("fc.", "classifier.", "features.18.")
"""Layers of the ImageNet classifiers beyond the trunk (ResNet, VGG and MobileNetV2 in their
customary names).
"""


def load_trunk(trunk: nn.Module, path: str | None) -> None:
    """Fill `trunk` with the state dict at `path`; nothing happens for None. The classifier's own
    layers are skipped.

    Raises:
        RequestError: the file cannot be read, or a name or shape differs from the trunk's.
    """
    if path is None:
        return
    remedy = (
        "Give `encoder_weights` a safetensors state dict of that trunk (customary layer "
        "names), or leave it out."
    )
    if not Path(path).is_file():
        raise RequestError(f"there are no encoder weights at {path}", remedy)
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RequestError(f"{path} is not a readable safetensors file: {error}", remedy) from error
    own = trunk.state_dict()
    state = {
        name: t
        for name, t in state.items()
        if name in own or not name.startswith(_IMAGE_CLASSIFIER)
    }
    counters = {
        name for name in own if name.endswith("num_batches_tracked")
    }  # absent from older files, no weights
    missing = sorted(own.keys() - state.keys() - counters)
    foreign = sorted(state.keys() - own.keys())
    misshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if state[name].shape != own[name].shape
    ]
    if missing or foreign or misshaped:
        raise RequestError(
            f"{path} does not fit {type(trunk).__name__}: "
            f"{_first('missing', missing)}{_first('unknown', foreign)}"
            f"{_first('misshaped', sorted(misshaped))}".rstrip("; "),
            remedy + " The first convolution must have as many input channels as the checkpoint "
            "has bands.",
        )
    trunk.load_state_dict(
        state, strict=False
    )  # completeness was checked above, but for the counters


def _first(what: str, names: list[str]) -> str:
    if not names:
        return ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}); "
