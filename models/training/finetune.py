"""Going on from another checkpoint's weights: what is taken over from it, and which layers stand
still (Xu et al. (preprint), fine-tuning).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from configs.checkpoint import CheckpointCard, Normalisation
from configs.errors import RequestError


@dataclass(frozen=True)
class Start:
    """The checkpoint that a training goes on from, and its weights."""

    card: CheckpointCard
    weights: Mapping[str, Tensor]
    """State dict of its network, float32."""

    @property
    def normalisation(self) -> Normalisation:
        """Return the checkpoint's normalisation: its weights have only ever seen inputs made with
        it.
        """
        return self.card.normalisation


def freeze(network: nn.Module, names: Sequence[str]) -> tuple[nn.Module, ...]:
    """Stop the named layers or weights from learning, and return the layers that must also be kept
    in evaluation mode.

    A batch norm in training mode moves its statistics without any gradient, hence the second half.

    Raises:
        RequestError: a name that the network does not have, or nothing is left to learn.
    """
    layers, weights = dict(network.named_modules()), dict(network.named_parameters())
    for name in names:
        if not name or (name not in layers and name not in weights):
            raise RequestError(
                f"{type(network).__name__} has no layer {name!r} to freeze",
                f"Its layers are: {', '.join(child for child, _ in network.named_children())}.",
            )
        for parameter in layers[name].parameters() if name in layers else (weights[name],):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise RequestError("`freeze` leaves nothing to learn", "Name fewer layers.")
    return tuple(layers[name] for name in names if name in layers)
