"""The user's own layers on the map: places, roads, contours of the shaking."""

from __future__ import annotations

import geopandas as gpd
import pyogrio

from configs.errors import RequestError
from configs.vectors import UNREADABLE, Layer, layer_name


def read(text: str, what: str, geometry: str, crs: str, field: str = "") -> gpd.GeoDataFrame:
    """Return the features of ``FILE[:LAYER]`` in a CRS.

    Args:
        text: the file.
        what: its setting in the run file, for messages.
        geometry: ``Point`` or ``Line``, what is kept of it.
        crs: of the map.
        field: an attribute it must have.

    Raises:
        RequestError: unreadable, without a CRS, or without that attribute.
    """
    layer = Layer.parse(text)
    try:
        frame = pyogrio.read_dataframe(layer.file, layer=layer_name(layer))
    except RequestError as error:
        raise RequestError(f"{what}: {error.message}", error.remedy) from error
    except UNREADABLE as error:
        raise RequestError(f"{what}: cannot read {layer}: {error}", "Export it again.") from error
    if frame.crs is None:
        raise RequestError(
            f"{what}: {layer} does not say its coordinate system", "Assign one and save it again."
        )
    if field and field not in frame.columns:
        raise RequestError(
            f"{what}: {layer} has no field `{field}`",
            f"Name the field `{field}`, or give another layer, FILE:LAYER.",
        )
    kept = frame[frame.geometry.notna() & frame.geom_type.str.contains(geometry)]
    return kept.to_crs(crs)
