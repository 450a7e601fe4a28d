"""A run's layers on a geemap map, to be looked at in a notebook over Earth Engine's own: needs
``coslide[notebook]``.

    import geemap
    from flows.notebook import add_run

    board = geemap.Map(ee_initialize=False)
    add_run(board, "runs/iburi/r001")
    board

Nothing of coslide imports this step.
"""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.warp import Resampling, calculate_default_transform, reproject, transform_bounds

from configs.errors import RequestError
from configs.layout import RunLayout
from configs.run import RunConfig, read_run
from configs.stack import Stack
from gee.freeze import plan_of

_WEB: Final = "EPSG:3857"
_TRUE_COLOUR: Final = ("post_B4", "post_B3", "post_B2")
_BRIGHT: Final = 0.3
"""Reflectance that is shown as white."""
_LONGEST_PX: Final = 2048
"""Side of an overlay; larger products are thinned."""
_FAINT: Final = 0.05
"""Probability below which nothing is drawn."""
SHOWN: Final = ("id", "area_m2", "probability_mean", "confidence", "slope_mean_deg")


def add_run(board: Any, revision: Path | str) -> list[str]:
    """Add a run's layers to a map and return their names: post-event image, observation,
    probability, landslides.

    The image of a live run is Earth Engine's own, asked for tile by tile with the run's scenes;
    those of other runs come from the stack, where the revision has kept it.

    Args:
        board: a `geemap.Map`.
        revision: folder of a revision, e.g. ``runs/EVENT/r001``.

    Raises:
        RequestError: no revision there.
        SourceError: a live run, and Earth Engine cannot be had.
    """
    layout = RunLayout(Path(revision))
    if not (layout.config.exists() and (layout.folder / "probability.tif").exists()):
        raise RequestError(f"{revision} is no revision", "Give a folder like runs/EVENT/r001.")
    run = read_run(layout.config)
    before = len(board.layers)
    title = (
        f"{run.event.name} "
        f"{layout.folder.name}{', simulated' if run.source.kind == 'simulated' else ''}"
    )
    if layout.stack.exists():
        _add_image(board, run, Stack(layout.stack), f"{title}: after the event")
    for name, painted in (("observation", _observed), ("probability", _likely)):
        with rasterio.open(layout.folder / f"{name}.tif", driver="GTiff") as file:
            step = max(1, -(-max(file.shape) // _LONGEST_PX))
            values = file.read(1, out_shape=(-(-file.height // step), -(-file.width // step)))
            scale = Affine.scale(file.width / values.shape[1], file.height / values.shape[0])
            _overlay(
                board,
                painted(file, values),
                file.transform @ scale,
                str(file.crs),
                f"{title}: {name}",
            )
    landslides = gpd.read_file(
        layout.folder / "landslides.gpkg", layer="landslides", columns=list(SHOWN)
    ).to_crs(4326)
    if len(landslides):
        style = {"color": "#e4002b", "weight": 2, "fillOpacity": 0.1}
        board.add_gdf(
            landslides, layer_name=f"{title}: landslides", style=style, zoom_to_layer=False
        )
    board.set_center(run.event.longitude, run.event.latitude, 12)
    return [layer.name for layer in board.layers[before:]]


def _add_image(board: Any, run: RunConfig, stack: Stack, name: str) -> None:
    plan = plan_of(stack)
    if not set(_TRUE_COLOUR) <= set(plan.bands):
        return
    if run.source.kind == "earthengine":
        from gee.earthengine import EarthEngineSource
        from gee.earthengine.layers import REFLECTANCE

        shown = replace(plan, bands=_TRUE_COLOUR, needs_elevation=False)
        image = EarthEngineSource(run.source.earthengine).image(shown)
        board.add_layer(
            image, {"bands": list(_TRUE_COLOUR), "min": 0, "max": _BRIGHT / REFLECTANCE.scale}, name
        )
        return
    step = max(1, -(-max(stack.shape) // _LONGEST_PX))
    every = slice(None, None, step)
    colours = np.stack([stack.read(band, every, every) for band in _TRUE_COLOUR])
    known = np.isfinite(colours).all(axis=0)
    bytes_ = (np.clip(np.nan_to_num(colours) / _BRIGHT, 0, 1) * 255).astype(np.uint8)
    rgba = np.concatenate([bytes_, np.where(known, 255, 0).astype(np.uint8)[None]])
    _overlay(board, rgba, stack.geobox.affine @ Affine.scale(step), str(stack.geobox.crs), name)


def _observed(file: Any, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the classes in the product's own colours, clear ground left open, `(rgba, y, x)`."""
    table = np.zeros((256, 4), np.uint8)
    for value, colour in file.colormap(1).items():
        table[value] = (*colour[:3], 160)
    table[[1, 255]] = 0
    return np.moveaxis(table[classes], -1, 0)


def _likely(file: Any, probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return probability as colours, `(rgba, y, x)`; nothing where it is faint or not known."""
    del file
    known = np.isfinite(probability) & (probability >= _FAINT)
    colours = mpl.colormaps["plasma"](np.where(known, probability, 0.0), bytes=True)
    colours[..., 3] = np.where(known, 200, 0)
    return np.moveaxis(colours, -1, 0)


def _overlay(board: Any, rgba: NDArray[np.uint8], affine: Affine, crs: str, name: str) -> None:
    """Lay a picture over the map, warped to the map's own projection so that it lies where it
    belongs.
    """
    from ipyleaflet import ImageOverlay

    height, width = rgba.shape[1:]
    bounds = rasterio.transform.array_bounds(height, width, affine)
    there, columns, rows = calculate_default_transform(crs, _WEB, width, height, *bounds)
    warped = np.zeros((4, rows, columns), np.uint8)
    grids = {"src_transform": affine, "src_crs": crs, "dst_transform": there, "dst_crs": _WEB}
    reproject(rgba, warped, **grids, resampling=Resampling.nearest)
    west, south, east, north = transform_bounds(
        _WEB, "EPSG:4326", *rasterio.transform.array_bounds(rows, columns, there)
    )
    with io.BytesIO() as file:
        Image.fromarray(np.moveaxis(warped, 0, -1)).save(file, "PNG")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    board.add(ImageOverlay(url=url, bounds=((south, west), (north, east)), name=name))
