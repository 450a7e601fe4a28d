"""An inventory against a reference: pixels, landslides and boundaries, over what both have looked at.

The wings meet here: `tiles.labels` burns the reference, `inventory.compare` counts, `models.metrics` turns counts into metrics.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from configs.errors import RequestError
from configs.files import write_text
from configs.layout import RunLayout
from configs.run import RunConfig, read_run
from configs.vectors import Layer
from flows.step import Step, plain
from inventory.compare import compare_boundaries, compare_landslides, compare_pixels
from inventory.geopackage import read_inventory
from models.metrics import Confusion
from tiles import labels

logger = logging.getLogger(__name__)


def evaluate(
    revisions: list[str],
    reference: str,
    extent: str | None = None,
    ignore: str | None = None,
    out: Path | None = None,
    step: Step = plain,
) -> dict[str, Any]:
    """Return the scores of revisions against a reference.

    Args:
        revisions: folders of published revisions.
        reference: ``FILE[:LAYER]`` of polygons, or ``simulated``: the simulated Earth's own truth.
        extent: ``FILE[:LAYER]`` of what the reference's author has looked at; everything where None.
        ignore: ``FILE[:LAYER]`` of what counts neither way.
        out: folder for ``evaluation.json`` and the false and missed landslides as layers; beside the event where None.

    Raises:
        RequestError: no such revision or reference, or one that lies elsewhere.
    """
    rows = [step(evaluate_one, name="evaluate")(Path(folder), reference, extent, ignore, out) for folder in revisions]
    return {"status": "ok", "reference": reference, "evaluations": rows}


def evaluate_one(
    folder: Path, reference: str, extent: str | None, ignore: str | None, out: Path | None
) -> dict[str, Any]:
    """Return one revision's scores, written to `out` too."""
    layout = RunLayout(folder)
    if not (folder / "landslides.tif").exists():
        raise RequestError(f"{folder} is no revision: it has no landslides.tif", "Name a folder like runs/EVENT/r001.")
    run = read_run(layout.config)
    predicted, geobox = read_mask(folder / "landslides.tif")
    truth, slides = truth_of(run, geobox, reference, extent, ignore)
    found = read_inventory(folder / "landslides.gpkg")
    objects = compare_landslides(found.landslides, slides, predicted, truth, geobox)
    scores: dict[str, Any] = {
        "revision": str(folder),
        "simulated": run.source.kind == "simulated",
        "reference": reference,
        "pixels_observed": _pixels(predicted, truth, unobserved_as_none=False),
        "pixels_imaged_unobserved_as_none": _pixels(predicted, truth, unobserved_as_none=True),
        "landslides": objects.as_plain(),
        "boundaries": {str(px): asdict(score) for px, score in compare_boundaries(predicted, truth).items()},
    }
    target = out or folder.parent / f"evaluation-{folder.name}"
    target.mkdir(parents=True, exist_ok=True)
    write_text(target / "evaluation.json", json.dumps(scores, indent=1, default=float) + "\n")
    _layers(target / "evaluation.gpkg", {"missed": objects.missed, "false": objects.false})
    return {**scores, "files": str(target)}


def _pixels(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], *, unobserved_as_none: bool) -> dict[str, float]:
    counts = compare_pixels(predicted, truth, unobserved_as_none=unobserved_as_none)
    confusion = Confusion(tp=counts.tp, fp=counts.fp, fn=counts.fn, tn=counts.tn)
    return {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "tn": counts.tn, **confusion.as_dict()}


def read_mask(path: Path) -> tuple[NDArray[np.uint8], GeoBox]:
    """Return a landslide mask and its grid.

    Raises:
        RequestError: unreadable.
    """
    try:
        with rasterio.open(path, driver="GTiff") as file:
            return file.read(1), GeoBox(file.shape, file.transform, file.crs.to_wkt())
    except rasterio.errors.RasterioError as error:
        raise RequestError(f"cannot read {path}: {error}", "Run `coslide respond` again.") from error


def truth_of(
    run: RunConfig, geobox: GeoBox, reference: str, extent: str | None, ignore: str | None
) -> tuple[NDArray[np.uint8], gpd.GeoDataFrame]:
    """Return the reference as labels `(y, x)` and as polygons, both on the run's grid and CRS."""
    if reference == "simulated":
        from flows.truth import simulated_mask, simulated_polygons

        return simulated_mask(run, geobox), simulated_polygons(run, geobox)
    inside = Layer.parse(extent) if extent else None
    left_out = [Layer.parse(ignore)] if ignore else []
    truth = labels.truth(geobox, [Layer.parse(reference)], inside=inside, ignore=left_out)
    truth[~run.place.mask(geobox)] = labels.IGNORED
    return truth, labels.read_layer(Layer.parse(reference), geobox.crs)


def _layers(path: Path, frames: dict[str, gpd.GeoDataFrame]) -> None:
    path.unlink(missing_ok=True)
    for name, frame in frames.items():
        if len(frame):
            frame.to_file(path, layer=name, driver="GPKG", engine="pyogrio")


def words(result: dict[str, Any]) -> str:
    """Return the scores in words."""
    lines = []
    for scores in result["evaluations"]:
        kind = "simulated truth" if scores["simulated"] else scores["reference"]
        pixels, everything, objects = (
            scores["pixels_observed"],
            scores["pixels_imaged_unobserved_as_none"],
            scores["landslides"],
        )
        lines += [
            f"{scores['revision']} against {kind}",
            f"  pixels observed      F1 {pixels['f1']:.3f}  precision {pixels['precision']:.3f}  recall {pixels['recall']:.3f}  "
            f"IoU {pixels['iou']:.3f}",
            f"  unobserved as none   F1 {everything['f1']:.3f}",
            f"  landslides           recall {objects['recall']:.3f}  precision {objects['precision']:.3f}",
            f"  {scores['files']}/",
        ]
    return "\n".join(lines)
