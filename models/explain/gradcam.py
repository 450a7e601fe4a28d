"""Looking inside a network: where it looked (Grad-CAM), and which bands spoke (occlusion, gradient
× input).

Grad-CAM (Selvaraju et al. 2017; Yang et al. 2024, Fig. 13) gives one map per layer, not per band.
The per-band heat maps of Chen et al. 2023, Fig. 15, are therefore read as attribution to the input,
or, for networks with branches, as a Grad-CAM on each branch before they are joined. All functions
take one normalised image `(C, H, W)` as the network reads it, run in eval mode and leave the
network as it was. Scores are logits, never probabilities, whose gradients fade where the network is
sure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from configs.errors import RequestError
from models.nets.blocks import Segmenter, upsample

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def class_map(
    network: Segmenter, image: Image, mask: Mask | None = None, layer: str | None = None
) -> Image:
    """Return the Grad-CAM `(H, W)`, 0..1, of the landslide logits summed over `mask` (default: the
    whole image).

    With channel weights α_k = mean over pixels of ∂y/∂A_k, the map is ReLU(Σ α_k A_k), resized
    bilinearly and divided by its maximum; all zero where nothing speaks for landslide. `layer` is a
    dotted module name; by default the last decoder block before the head.

    Raises:
        RequestError: the image, mask or layer does not fit the network.
    """
    name = layer or network.cam_layer
    (cam,) = _cams(network, image, mask, [_layer(network, name)])
    return _unit_scale(cam)


def branch_maps(network: Segmenter, image: Image, mask: Mask | None = None) -> Image:
    """Return one Grad-CAM per input branch `(branch, H, W)`, taken before the branches join, on one
    scale 0..1.

    Raises:
        RequestError: the network has no branches, or the image or mask does not fit it.
    """
    branches = getattr(network, "branches", None)
    if not isinstance(branches, nn.ModuleList):
        raise RequestError(
            f"{type(network).__name__} has no input branches",
            "Use `occlusion_maps` or `gradient_maps` for its bands.",
        )
    return _unit_scale(np.stack(_cams(network, image, mask, list(branches))))


def occlusion_maps(
    network: Segmenter, image: Image, groups: Sequence[Sequence[int]] | None = None
) -> Image:
    """Return `(group, H, W)`: how much the landslide logit falls when a group of bands is flattened
    to its mean.

    Positive where the group speaks for landslide. `groups` lists band indices; by default each band
    is its own group.

    Raises:
        RequestError: a group names a band that is not there, or the image does not fit the network.
    """
    groups = [[band] for band in range(network.in_channels)] if groups is None else groups
    for group in groups:
        if not group or not all(0 <= band < network.in_channels for band in group):
            raise RequestError(
                f"band group {list(group)} does not fit {network.in_channels} bands",
                f"Name at least one of the bands 0..{network.in_channels - 1} in each group.",
            )
    with _looking(network), torch.no_grad():
        whole = _tensor(network, image)
        logits = network(whole)
        falls = []
        for group in groups:
            flat = whole.clone()
            flat[:, list(group)] = whole[:, list(group)].mean(dim=(2, 3), keepdim=True)
            falls.append((logits - network(flat))[0, 0])
    return _array(torch.stack(falls))


def gradient_maps(network: Segmenter, image: Image, mask: Mask | None = None) -> Image:
    """Return gradient × input `(C, H, W)` of the landslide logits summed over `mask` (default: the
    whole image).

    Raises:
        RequestError: the image or mask does not fit the network.
    """
    with _looking(network), torch.enable_grad():
        whole = _tensor(network, image).requires_grad_()
        (gradient,) = torch.autograd.grad(_score(network(whole), mask), whole)
        return _array((gradient * whole)[0])


def shares(maps: Image) -> NDArray[np.float64]:
    """Return each map's share of the total absolute attribution `(group,)`, adding up to 1 (all 0
    where there is none).
    """
    sums: NDArray[np.float64] = np.abs(maps).sum(axis=(1, 2), dtype=np.float64)
    total = float(sums.sum())
    return sums / total if total > 0 else sums


def _cams(
    network: Segmenter, image: Image, mask: Mask | None, layers: Sequence[nn.Module]
) -> list[Image]:
    """Return the unscaled Grad-CAM `(H, W)` of each layer."""
    seen: dict[int, Tensor] = {}

    def remember(place: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            seen[place] = output

        return hook

    with _looking(network), torch.enable_grad():
        handles = [
            layer.register_forward_hook(remember(place)) for place, layer in enumerate(layers)
        ]
        try:
            whole = _tensor(
                network, image
            ).requires_grad_()  # so that frozen networks have gradients too
            score = _score(network(whole), mask)
        finally:
            for handle in handles:
                handle.remove()
        features = [seen[place] for place in range(len(layers))]
        gradients = torch.autograd.grad(score, features)
    height, width = image.shape[-2:]
    padded = (height + -height % network.stride, width + -width % network.stride)
    cams = []
    for feature, gradient in zip(features, gradients, strict=True):
        weights = gradient.mean(dim=(2, 3), keepdim=True)  # α_k, (1, K, 1, 1)
        cam = upsample(
            torch.relu((weights * feature).sum(dim=1, keepdim=True)), padded
        )  # (1, 1, H', W')
        cams.append(_array(cam[0, 0, :height, :width]))
    return cams


def _layer(network: Segmenter, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(network.named_modules())
    if not name or name not in modules:
        raise RequestError(
            f"{type(network).__name__} has no layer {name!r}",
            f"Leave it out, or name one such as {network.cam_layer!r}.",
        )
    return modules[name]


def _score(logits: Tensor, mask: Mask | None) -> Tensor:
    if mask is None:
        return logits.sum()
    if mask.shape != tuple(logits.shape[-2:]) or not mask.any():
        raise RequestError(
            f"the mask {mask.shape} with {int(mask.sum())} pixels does not fit the image "
            f"{tuple(logits.shape[-2:])}",
            "Give a mask of the image's height and width with at least one pixel, or none.",
        )
    return logits[0, 0][torch.from_numpy(mask.astype(bool)).to(logits.device)].sum()


def _tensor(network: Segmenter, image: Image) -> Tensor:
    if image.ndim != 3:
        raise RequestError(
            f"the image has shape {image.shape}, not (C, H, W)", "Give one image, bands first."
        )
    weight = next(network.parameters())
    return torch.from_numpy(np.ascontiguousarray(image)).to(
        device=weight.device, dtype=weight.dtype
    )[None]


def _array(values: Tensor) -> Image:
    return np.asarray(values.detach().float().cpu().numpy(), dtype=np.float32)


def _unit_scale(maps: Image) -> Image:
    top = float(maps.max())
    return maps / np.float32(top) if top > 0 else maps


@contextmanager
def _looking(network: Segmenter) -> Iterator[None]:
    """Hold the network in eval mode, then give it back its own."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
