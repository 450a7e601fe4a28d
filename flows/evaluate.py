"""An inventory against a reference: pixels, landslides and boundaries, over what both have looked
at.

The wings meet here: `tiles.labels` burns the reference, `inventory.compare` counts,
`models.metrics` turns counts into metrics.
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
from configs.files import sweep_dead, write_text
from configs.layout import RunLayout
from configs.records import IGNORED
from configs.run import RunConfig, read_run
from configs.vectors import Layer
from flows.run.journal import Step, plain
from inventory.compare import compare_boundaries, compare_landslides, compare_pixels
from inventory.formats import stac
from inventory.formats.geopackage import read_inventory
from inventory.outline.words import words_of
from inventory.report.charts import sizes_compared
from inventory.report.statistics import area_density, compare_sizes
from inventory.revisions.review import read_review
from inventory.revisions.take_up import as_reviewed
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
    review: Path | None = None,
) -> dict[str, Any]:
    """Return the scores of revisions against a reference.

    Args:
        revisions: folders of published revisions.
        reference: ``FILE[:LAYER]`` of polygons, or ``simulated``: the simulated Earth's own truth.
        extent: ``FILE[:LAYER]`` of what the reference's author has looked at; everything where
            None.
        ignore: ``FILE[:LAYER]`` of what counts neither way.
        out: folder for ``evaluation.json``, the false and missed landslides as layers and the
            size-frequency plot; beside the revision where None. With several revisions a folder
            each inside it.
        step: how a step is called.
        review: a GeoPackage that an analyst has edited; the inventory is scored as it would be with
            that taken up.

    Raises:
        RequestError: no such revision or reference, or one that lies elsewhere.
    """
    several = len(revisions) > 1
    if several and review is not None:
        raise RequestError("--review goes with one revision", "Evaluate the revisions one by one.")
    rows = []
    for folder in map(Path, revisions):
        target = out / f"{folder.resolve().parent.name}-{folder.name}" if out and several else out
        rows.append(
            step(_evaluate_one, name="evaluate")(folder, reference, extent, ignore, target, review)
        )
    return {"status": "ok", "reference": reference, "evaluations": rows}


def _evaluate_one(
    folder: Path,
    reference: str,
    extent: str | None,
    ignore: str | None,
    out: Path | None,
    review: Path | None = None,
) -> dict[str, Any]:
    """Return one revision's scores, written to `out` too."""
    layout = RunLayout(folder)
    if not (folder / "landslides.tif").exists():
        raise RequestError(
            f"{folder} is no revision: it has no landslides.tif",
            "Name a folder like runs/EVENT/r001.",
        )
    _check_whole(folder)
    run = read_run(layout.config)
    predicted, geobox = _read_mask(folder / "landslides.tif")
    truth, landslides = _truth_of(run, geobox, reference, extent, ignore)
    found = read_inventory(folder / "landslides.gpkg")
    if review is not None:
        found, predicted = as_reviewed(found, predicted, read_review(review))
    objects = compare_landslides(found.landslides, landslides, predicted, truth, geobox)
    scores: dict[str, Any] = {
        "revision": str(folder),
        "simulated": run.source.kind == "simulated",
        "reference": reference,
        "review": str(review) if review else None,
        "pixels_observed": _pixels(predicted, truth, unobserved_as_none=False),
        "pixels_imaged_unobserved_as_none": _pixels(predicted, truth, unobserved_as_none=True),
        "landslides": objects.as_plain(),
        "boundaries": {
            str(px): asdict(score) for px, score in compare_boundaries(predicted, truth).items()
        },
        "sizes": compare_sizes(objects.reference_areas_m2, objects.predicted_areas_m2).as_plain(),
    }
    target = out or folder.parent / f"evaluation-{folder.name}"
    target.mkdir(parents=True, exist_ok=True)
    sweep_dead(target)
    write_text(target / "evaluation.json", json.dumps(_finite(scores), indent=1) + "\n")
    _layers(target / "evaluation.gpkg", {"missed": objects.missed, "false": objects.false})
    ours, theirs = (
        area_density(objects.predicted_areas_m2),
        area_density(objects.reference_areas_m2),
    )
    chart = sizes_compared(ours, theirs, words_of())
    if chart is not None:
        write_text(target / "size-frequency.svg", str(chart) + "\n")
    return {**scores, "files": str(target)}


def _check_whole(folder: Path) -> None:
    """Refuse to score what is not what was published; a GeoPackage that was edited is said.

    Raises:
        RequestError: a file that is scored, or the run's own, was changed.
    """
    for fault in stac.faults(folder):
        if fault.startswith(("landslides.tif ", "run.yaml ")):
            raise RequestError(
                f"{folder}: {fault} since it was published",
                "Restore it from a copy, or map the event again.",
            )
        logger.warning("%s: %s since it was published", folder, fault)


def _finite(value: Any) -> Any:
    """Return scores as JSON knows them: what cannot be said (a ratio of nothing) is null."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _pixels(
    predicted: NDArray[np.uint8], truth: NDArray[np.uint8], *, unobserved_as_none: bool
) -> dict[str, float]:
    counts = compare_pixels(predicted, truth, unobserved_as_none=unobserved_as_none)
    confusion = Confusion(tp=counts.tp, fp=counts.fp, fn=counts.fn, tn=counts.tn)
    return {
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "tn": counts.tn,
        **confusion.as_dict(),
    }


def _read_mask(path: Path) -> tuple[NDArray[np.uint8], GeoBox]:
    """Return a landslide mask and its grid.

    Raises:
        RequestError: unreadable.
    """
    try:
        with rasterio.open(path, driver="GTiff") as file:
            return file.read(1), GeoBox(file.shape, file.transform, file.crs.to_wkt())
    except rasterio.errors.RasterioError as error:
        raise RequestError(
            f"cannot read {path}: {error}", "Run `coslide respond` again."
        ) from error


def _truth_of(
    run: RunConfig, geobox: GeoBox, reference: str, extent: str | None, ignore: str | None
) -> tuple[NDArray[np.uint8], gpd.GeoDataFrame]:
    """Return the reference as labels `(y, x)` and as polygons, both on the run's grid and CRS."""
    if reference == "simulated":
        from gee.simulated.truth import simulated_mask, simulated_polygons

        return simulated_mask(run, geobox), simulated_polygons(run, geobox)
    inside = Layer.parse(extent) if extent else None
    left_out = [Layer.parse(ignore)] if ignore else []
    truth = labels.truth(geobox, [Layer.parse(reference)], inside=inside, ignore=left_out)
    truth[~run.place.mask(geobox)] = IGNORED
    return truth, labels.read_layer(Layer.parse(reference), geobox.crs)


def _layers(path: Path, frames: dict[str, gpd.GeoDataFrame]) -> None:
    """Write the layers, empty ones too: a layer without a feature says that nothing was false, or
    missed.
    """
    path.unlink(missing_ok=True)
    for name, frame in frames.items():
        options = {
            "geometry_type": "MultiPolygon",
            "promote_to_multi": True,
            "dataset_options": {"VERSION": "1.3"},
        }
        _named_apart(frame).to_file(path, layer=name, driver="GPKG", engine="pyogrio", **options)


def _named_apart(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return a frame whose fields a GeoPackage can hold: people's layers have a `FID` of their own,
    a `geom`, or names that differ in case only.
    """
    taken = {"fid", "geom", frame.geometry.name.casefold()}
    names: dict[str, str] = {}
    for column in map(str, frame.columns.drop(frame.geometry.name)):
        name, number = column, 1
        while name.casefold() in taken:
            number += 1
            name = f"{column}_{number}"
        taken.add(name.casefold())
        names[column] = name
    return frame.rename(columns=names)


def _share(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"


def words(result: dict[str, Any]) -> str:
    """Return the scores in words."""
    return "\n".join(line for scores in result["evaluations"] for line in _score_lines(scores))


def _score_lines(scores: dict[str, Any]) -> list[str]:
    kind = "simulated truth" if scores["simulated"] else scores["reference"]
    pixels, everything = scores["pixels_observed"], scores["pixels_imaged_unobserved_as_none"]
    objects, sizes = scores["landslides"], scores["sizes"]
    rims = ", ".join(
        f"{_share(score['f1'])} within {px} px" for px, score in scores["boundaries"].items()
    )
    lines = [
        f"{scores['revision']} against {kind}",
        f"  pixels observed      F1 {_share(pixels['f1'])}  precision "
        f"{_share(pixels['precision'])}  "
        f"recall {_share(pixels['recall'])}  IoU {_share(pixels['iou'])}",
        f"  unobserved as none   F1 {_share(everything['f1'])}",
        f"  boundaries           F1 {rims}",
        f"  landslides           recall {_share(objects['recall'])} of "
        f"{objects['reference_count']:,}  "
        f"precision {_share(objects['precision'])} of {objects['predicted_count']:,}",
        f"  one to one           F1 {_share(objects['one_to_one_f1'])}; the reference "
        "itself on this grid: "
        f"{_share(objects['ceiling_f1'])}",
    ]
    for row in objects["by_size"]:
        lines.append(
            f"    {row['size']:<15}  recall {_share(row['recall'])} of {row['reference']:,}  "
            f"precision {_share(row['precision'])} of {row['predicted']:,}"
        )
    tails = [(side, sizes[side]["tail"]) for side in ("reference", "predicted")]
    exponents = [
        f"{side} {tail['alpha']:.2f} ± {tail['standard_error']:.2f}" for side, tail in tails if tail
    ]
    gap = f"  sizes                largest gap of the distributions {_share(sizes['ks_distance'])}"
    lines.append(f"{gap}; tail exponents: {', '.join(exponents)}" if exponents else gap)
    return [*lines, f"  {scores['files']}/"]
