"""Small cards for tests: a network with random weights and a card that fits it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from configs.checkpoint import (
    BandStatistics,
    CardTiles,
    CheckpointCard,
    Normalisation,
    TrainingDomain,
)
from configs.records import Level
from models.architectures import build

BANDS = ("post_B4", "post_B3", "slope")
STATISTICS = {
    "B2": BandStatistics(minimum=0.0, maximum=0.3, mean=0.1, std=0.04),
    "B3": BandStatistics(minimum=0.0, maximum=0.3, mean=0.1, std=0.04),
    "B4": BandStatistics(minimum=0.0, maximum=0.4, mean=0.12, std=0.05),
    "VV": BandStatistics(minimum=-30.0, maximum=5.0, mean=-9.0, std=3.0),
    "VH": BandStatistics(minimum=-35.0, maximum=0.0, mean=-15.0, std=3.0),
    "slope": BandStatistics(minimum=0.0, maximum=60.0, mean=20.0, std=10.0),
    "hillshade": BandStatistics(minimum=0.0, maximum=255.0, mean=180.0, std=40.0),
    "aspect_sin": BandStatistics(minimum=-1.0, maximum=1.0, mean=0.0, std=0.7),
    "aspect_cos": BandStatistics(minimum=-1.0, maximum=1.0, mean=0.0, std=0.7),
}


def statistics(bands: tuple[str, ...]) -> dict[str, BandStatistics]:
    """Return plausible statistics of some bands."""
    return {name: STATISTICS[name.removeprefix("pre_").removeprefix("post_")] for name in bands}


def make_card(bands: tuple[str, ...] = BANDS, **changes: Any) -> CheckpointCard:
    """Return a valid card; `changes` replace its fields."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "a network for tests",
        "architecture": "resu_net",
        "arguments": {"width": 4},
        "bands": bands,
        "sensor": "sentinel-2",
        "level": Level.TOA,
        "resolution_m": 10,
        "tiles": CardTiles(size=64, mode="core", halo=56),
        "normalisation": Normalisation(method="zscore", statistics=statistics(bands)),
        "threshold": 0.5,
        "domains": (TrainingDomain(name="here", simulated=False, samples=10),),
        "licence": "Apache-2.0",
        "weights_sha256": "0" * 64,
        "reference_sha256": "0" * 64,
    }
    return CheckpointCard(**(fields | changes))


def make_network(card: CheckpointCard, seed: int = 0) -> nn.Module:
    """Return the card's network with random weights that make its answers vary."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build(card.architecture, len(card.bands), **card.arguments)
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                if name.endswith("running_mean"):
                    tensor.normal_(0, 0.1)
                elif name.endswith("running_var"):
                    tensor.uniform_(0.5, 1.5)
            for parameter in list(module.parameters())[-2:]:
                parameter.normal_(0, 0.3)
    return module.eval()


def save_card(
    card: CheckpointCard, folder: Path, seed: int = 0, reference: Any = None
) -> CheckpointCard:
    """Return the card as written to `folder` with its weights and, where given, its reference
    sample.
    """
    import yaml

    from configs.checkpoint import CARD, REFERENCE, WEIGHTS
    from models import weights

    folder.mkdir(parents=True)
    changes = {"weights_sha256": weights.save(make_network(card, seed), folder / WEIGHTS)}
    if reference is not None:
        changes["reference_sha256"] = reference.save(folder / REFERENCE)
    card = card.model_copy(update=changes)
    (folder / CARD).write_text(
        yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
    )
    return card
