"""A checkpoint as ONNX, for programs without torch: physical values in, landslide probability
out.

Normalisation, the fill of what was not seen, flips and calibration are part of the graph;
threshold, bands and everything else of the card stand in the file's metadata. What depends on the
scene (`Normalisation.adapt`) cannot be in a graph of one tile: such a file reads adapted values,
and says how they are made. Needs ``coslide[onnx]``.
"""

from __future__ import annotations

import io
import json
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from configs.bands import parse_band
from configs.checkpoint import Calibration, CheckpointCard
from configs.errors import RequestError
from configs.files import format_of, replacing
from models.inference.adaptation import Adaptation
from models.inference.normalise import Normaliser
from models.inference.predict import FLIPS, Predictor, mirrored

INPUT, OUTPUT = "pixels", "probability"
TOLERANCE: Final = 1e-4
"""Largest difference of a probability: other libraries add up in another order."""
_OPSET: Final = 17
"""Read by every onnxruntime since 2022."""
_TRIED = np.random.SeedSequence(0)


class _Graph(nn.Module):
    """What the file computes of `(B, C, H, W)`: probability `(B, 1, H, W)`."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        card = predictor.card
        self._network, self._bands = predictor.module, card.bands
        self._flips = FLIPS if card.tiles.flips else FLIPS[:1]
        normaliser = Normaliser.of(card.normalisation, card.bands)
        self._fill, self._calibration = normaliser.fill, card.calibration
        self.register_buffer("offset", torch.from_numpy(normaliser.offset))
        self.register_buffer("scale", torch.from_numpy(normaliser.scale))

    def forward(self, pixels: Tensor) -> Tensor:
        total: Tensor | None = None
        for axes in self._flips:
            x = mirrored(pixels, self._bands, axes)
            z = (x - self.get_buffer("offset")) / self.get_buffer("scale")
            known = ~(torch.isnan(z) | torch.isinf(z))
            logit = self._network(torch.where(known, z, torch.full_like(z, self._fill)))
            logit = logit.flip(axes) if axes else logit
            total = logit if total is None else total + logit
        assert total is not None
        return _calibrated(total / len(self._flips), self._calibration)


def _calibrated(logit: Tensor, calibration: Calibration) -> Tensor:
    if calibration.method != "isotonic":
        return torch.sigmoid(calibration.scale * logit + calibration.shift)
    points = calibration.points
    probability = torch.full_like(logit, points[0][1])
    # Straight lines between points, as a sum of ramps: ONNX has no interpolation by a table.
    for (left, low), (right, high) in pairwise(points):
        if right > left:
            ramp = logit.clamp(left, right) - left
            probability = probability + ramp * ((high - low) / (right - left))
    return probability


def write_onnx(predictor: Predictor, path: Path) -> dict[str, Any]:
    """Return what was written to `path`: a checkpoint as ONNX, compared with itself.

    Height and width are free, in multiples of the network's stride, where the network answers other
    sizes alike; else they are the checkpoint's tile.

    Args:
        predictor: the checkpoint, loaded on the CPU in float32.
        path: the file; replaced.

    Raises:
        RequestError: onnx or onnxruntime is not installed, or the network cannot be told in ONNX.
    """
    onnx, runtime = _packages()
    stride = int(getattr(predictor.module, "stride", 1))
    side = -(-predictor.card.tiles.size // stride) * stride
    for free in (True, False):
        content = _exported(predictor, side, free)
        sides = ((side, side), (side + stride, max(stride, side - stride)))[: 2 if free else 1]
        difference = max(_difference(runtime, content, predictor, *size) for size in sides)
        if difference <= TOLERANCE:
            break
    else:
        raise RequestError(
            f"checkpoint `{predictor.card.name}` gives another probability as ONNX "
            f"(by up to {difference:.2g})",
            "Its network does what ONNX cannot tell; use it from Python.",
        )
    facts = metadata(predictor.card, stride, None if free else side)
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return {"file": str(path), "difference": difference, "metadata": facts}


def metadata(card: CheckpointCard, stride: int, side: int | None) -> dict[str, str]:
    """Return what a file says of itself, text by text: enough to use it without coslide.

    Args:
        card: the checkpoint's.
        stride: multiple that height and width must be of, pixels.
        side: the one height and width it reads; None where they are free.
    """
    read = {
        "card": "physical values in the units of the bands; NaN where a pixel was not seen",
        "scene": "physical values, each band of imagery brought by the scene's own mean and "
        "standard deviation to those in `toward`; NaN where a pixel was not seen",
        "match": "physical values, each band of imagery brought to the distribution in `toward` "
        "(quantiles); NaN where a pixel was not seen",
    }
    plain = card.model_dump(mode="json")
    facts: dict[str, Any] = {
        "format": format_of("onnx"),
        "name": card.name,
        "title": card.title,
        "bands": ",".join(card.bands),
        "units": ",".join(parse_band(name).band.unit for name in card.bands),
        "sensor": card.sensor,
        "level": str(card.level),
        "resolution_m": f"{card.resolution_m:g}",
        INPUT: f"(B, {len(card.bands)}, H, W) float32: {read[card.normalisation.adapt]}",
        OUTPUT: "(B, 1, H, W) float32, calibrated, 0 to 1",
        "threshold": f"{card.threshold!r}",
        "size": f"multiples of {stride} px" if side is None else f"{side} px",
        "tiles": plain["tiles"],
        "normalisation": {**plain["normalisation"], "in_graph": True},
        "adapt": card.normalisation.adapt,
        "toward": plain["normalisation"]["toward"],
        "calibration": {**plain["calibration"], "in_graph": True},
        "trained_on": [domain.called for domain in card.domains],
        "simulated": card.simulated,
        "licence": card.licence,
        "attribution": list(card.attribution),
        "weights_sha256": card.weights_sha256,
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in facts.items()
    }


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise RequestError(
            f"ONNX files need a package that is not installed: {error.name}",
            "Install it: `pip install 'coslide[onnx]'`.",
        ) from error
    return onnx, onnxruntime


def _exported(predictor: Predictor, side: int, free: bool) -> bytes:
    """Return the file without metadata; the batch is free in any case."""
    graph = _Graph(predictor).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # stub lacks it
    axes = {0: "batch", **({2: "height", 3: "width"} if free else {})}
    content = io.BytesIO()
    tile = torch.from_numpy(_tile(len(predictor.bands), side, side))
    with warnings.catch_warnings(), torch.inference_mode():
        # The exporter that torch prefers by now needs one more package (onnxscript) and no less
        # time; that sizes are traced is checked below by other sizes.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                graph,
                (tile,),
                content,  # type: ignore[arg-type]  # only the newer exporter wants a path
                dynamo=False,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: axes, OUTPUT: axes},
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            detail = " ".join(str(error).split())[:200]
            raise RequestError(
                f"checkpoint `{predictor.card.name}` cannot be told in ONNX: {detail}",
                "Its network does what ONNX has no word for; use it from Python.",
            ) from error
    return content.getvalue()


def _tile(bands: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a tile to try a file with, `(1, bands, height, width)`, some pixels not seen."""
    rng = np.random.default_rng(_TRIED)
    tile = rng.random((1, bands, height, width), np.float32)
    tile[:, :, : height // 8, : width // 8] = np.nan
    return tile


def _difference(
    runtime: Any, content: bytes, predictor: Predictor, height: int, width: int
) -> float:
    """Return the largest difference of probability between a file and the checkpoint, infinite
    where the file does not run.
    """
    bands, normaliser = predictor.bands, predictor.card.normalisation
    tile = _tile(len(bands), height, width)
    spread = Normaliser.of(normaliser, bands)
    pixels = ((tile - 0.5) * 2 * spread.scale + spread.offset).astype(np.float32)
    plain = Predictor(predictor.card, predictor.module, "cpu", "float32", adaptation=Adaptation())
    try:
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        found = session.run([OUTPUT], {INPUT: pixels})[0][:, 0]
    except Exception:  # onnxruntime has no common class of errors
        return float("inf")
    return float(np.abs(found - plain(pixels)).max())
