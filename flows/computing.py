"""What of this machine computes a map: whether it can as the run wants it, and the checkpoint at
work on it.
"""

from __future__ import annotations

from configs.run import ModelConfig, RunConfig
from models.inference import runtime
from models.inference.predict import Device, Predictor, pick_device
from models.registry import Checkpoint


def computable(run: RunConfig) -> None:
    """Make sure that this machine can compute as a run wants it, before anything is pulled.

    Raises:
        RequestError: there is no such device, or the runtime is not installed.
    """
    wanted = run.model.runtime
    here = run.engine == "plain"  # the workers' devices are the cluster's to tell
    device = pick_device(run.model.device if here else "cpu")
    runtime.check("torch" if wanted == "auto" else wanted, device)


def ready(
    found: Checkpoint, model: ModelConfig, device: Device, tiles: int, *, here: bool = True
) -> Predictor:
    """Return a checkpoint at work as the run wants it, for so many tiles; where workers compute on
    a GPU, its stand-in on this processor, by the same runtime.
    """
    runtime = "torch" if model.runtime == "auto" else model.runtime
    if not here and device == "cuda":
        return found.load("cpu", model.precision, runtime)
    predictor = found.load(device, model.precision, runtime)
    return predictor.fastest(tiles) if model.runtime == "auto" else predictor
