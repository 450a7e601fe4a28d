"""The sheets of a revision, from what it is made of."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd

from configs.product import AffectedConfig, MapConfig
from configs.stack import Stack
from inventory.about import About
from inventory.formats.layers import Layer
from inventory.mapsheet.chart import Shown
from inventory.mapsheet.paper import FILES
from inventory.mapsheet.sheet import Sheet, write_sheet
from inventory.mapsheet.user_files import read
from inventory.outline.outline import Inventory, code_of
from inventory.summary import Summary


def write_maps(
    folder: Path,
    about: About,
    inventory: Inventory,
    summary: Summary,
    stack: Stack,
    unseen: Layer,
    config: MapConfig,
    concern: AffectedConfig,
) -> dict[str, Path]:
    """Return the maps asked for, by file name.

    Args:
        folder: the revision.
        about: the run in the words of its products.
        inventory: what was found.
        summary: its headline.
        stack: for the relief.
        unseen: the layer of what was not observed.
        config: which sheets, in which language, whose they are.
        concern: the user's layers of what may be affected; its roads are drawn where the map has
            none of its own.

    Raises:
        RequestError: a file of the user's cannot be read.
    """
    if not config.sheets:
        return {}
    crs = code_of(inventory.geobox.crs)

    def own(text: str | None, what: str, geometry: str, field: str = "") -> gpd.GeoDataFrame | None:
        return read(text, what, geometry, crs, field) if text else None

    shown = Shown(
        about,
        stack,
        inventory.landslides,
        unseen.frame,
        about.area.projected(crs),
        own(config.roads or concern.roads, "product.map.roads", "Line"),
        own(config.shaking, "product.map.shaking", "Line", "value"),
        own(config.places, "product.map.places", "Point", "name"),
    )
    sheet = Sheet(shown, summary, config)
    return {FILES[size]: write_sheet(folder / FILES[size], sheet, size) for size in config.sheets}
