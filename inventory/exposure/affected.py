"""Who may be affected: roads, buildings and people within a landslide, or below one within its
reach. Indicative, always.

The layers are the user's own files (`user_layers`); what "below" means is said in `runout`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from configs.product import AffectedConfig
from configs.stack import Stack
from inventory.exposure.runout import reach_angles_deg, zones_below
from inventory.exposure.user_layers import Features, People, UserLayers
from inventory.formats.layers import Field, Layer
from inventory.outline.outline import Inventory, code_of

Shapes = NDArray[Any]

WITHIN, BELOW = "within", "below"
_READ_AT_ONCE_M = 20_000.0
"""Side of the squares of landslides for which the user's features are read together."""

_WHERE = (
    Field("landslide", "text", "Id of the landslide"),
    Field("where", "text", "within it, or below it and within its reach"),
    Field("name", "text", "Name in the user's layer"),
    Field("kind", "text", "Kind in the user's layer"),
)
_ROAD_FIELDS = (*_WHERE, Field("length_m", "real", "Length of this piece in metres; indicative"))
_REACH_FIELDS = (
    Field("landslide", "text", "Id of the landslide"),
    Field("reach_angle_deg", "real", "Least angle from its crown that was followed, degrees"),
    Field("area_m2", "real", "Area below it within its reach in square metres; indicative"),
)


@dataclass(frozen=True)
class Affected:
    """What may be affected by the landslides of an inventory."""

    totals: dict[str, float]
    """Each road, building and person once: ``roads_m``, ``roads_below_m`` and so on, as far as
    layers were given.
    """
    roads: pd.DataFrame
    """A row a road: name, kind, landslides, within_m, below_m; the longest stretch within a
    landslide first.
    """
    layers: tuple[Layer, ...]
    reach_angle_deg: float | None
    """Least angle of reach where the run sets one; None where it follows from the size."""
    warnings: tuple[str, ...]

    def layer(self, name: str) -> Layer | None:
        """Return a layer by its name."""
        return next((each for each in self.layers if each.name == name), None)


def _squares(bounds: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return the positions of the landslides of each square on the ground."""
    centres = np.stack([bounds[:, [0, 2]].mean(axis=1), bounds[:, [1, 3]].mean(axis=1)], axis=1)
    _, member = np.unique(np.floor_divide(centres, _READ_AT_ONCE_M), axis=0, return_inverse=True)
    return [
        np.flatnonzero(member.ravel() == number)
        for number in range(int(member.max(initial=-1)) + 1)
    ]


def _met(features: Features, landslides: gpd.GeoDataFrame, zones: Shapes) -> gpd.GeoDataFrame:
    """Return the user's features that meet a landslide or what lies below it, a row a meeting:
    geometry is their shared part.

    Columns: `landslide` (position), `where`, `fid`, `name`, `kind`.
    """
    shapes, crs = landslides.geometry.to_numpy(), code_of(landslides.crs)
    both = shapely.bounds(shapely.union(shapes, zones))
    found: list[pd.DataFrame] = []
    for members in _squares(both):
        low, high = both[members, :2].min(axis=0), both[members, 2:].max(axis=0)
        near = features.near((low[0], low[1], high[0], high[1]), crs)
        tree = shapely.STRtree(near.geometry.to_numpy())
        for where, side in ((WITHIN, shapes), (BELOW, zones)):
            i, j = tree.query(side[members], predicate="intersects")
            shared = shapely.intersection(near.geometry.to_numpy()[j], side[members][i])
            rows = near.iloc[j][["fid", "name", "kind"]].assign(member=members[i], where=where)
            found.append(gpd.GeoDataFrame(rows, geometry=shared, crs=landslides.crs))
    empty = gpd.GeoDataFrame(
        {name: [] for name in ("fid", "name", "kind", "member", "where")},
        geometry=[],
        crs=landslides.crs,
    )
    full = [each for each in found if len(each)]
    return (
        gpd.GeoDataFrame(pd.concat(full, ignore_index=True), crs=landslides.crs) if full else empty
    )


def _summed(values: pd.Series[Any], landslide: pd.Series[Any], count: int) -> NDArray[np.float64]:
    total = np.bincount(
        landslide.to_numpy(dtype=np.int64), weights=values.to_numpy(dtype=float), minlength=count
    )
    return total.astype(np.float64)


def _lines(geometry: Any) -> Any:
    """Return the lines of a shape as one MultiLineString; touches in a point fall away."""
    parts = [
        part
        for part in shapely.get_parts(geometry, return_index=False)
        if part.geom_type == "LineString"
    ]
    nested = [
        line
        for part in shapely.get_parts(geometry)
        if part.geom_type == "MultiLineString"
        for line in part.geoms
    ]
    return shapely.MultiLineString([*parts, *nested])


def _roads(
    met: gpd.GeoDataFrame, landslides: gpd.GeoDataFrame
) -> tuple[dict[str, Any], pd.DataFrame, Layer]:
    """Return the columns, the list of roads and the layer of their stretches."""
    lines = met.set_geometry([_lines(each) for each in met.geometry]).reset_index(drop=True)
    lines["length_m"] = lines.length.round(1)
    lines = lines[lines["length_m"] > 0]
    lines["landslide"] = landslides["id"].to_numpy()[lines["member"].to_numpy(dtype=np.int64)]
    columns = {
        name: _summed(part["length_m"], part["member"], len(landslides)).round(1)
        for name, where in (("roads_m", WITHIN), ("roads_below_m", BELOW))
        for part in [lines[lines["where"] == where]]
    }
    words = (
        "Stretches of road within a landslide, or below one within its reach: possibly "
        "blocked; indicative"
    )
    layer = Layer(
        "affected_roads", "Roads possibly blocked", words, "MultiLineString", _ROAD_FIELDS, lines
    )
    return columns, _by_road(lines), layer


def _by_road(lines: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return the roads by name (nameless ones by kind), every metre once, what lies within a
    landslide first.
    """
    rows = []
    for (name, kind), group in lines.groupby(["name", "kind"], sort=True):
        inside = shapely.union_all(group.geometry[group["where"] == WITHIN].to_numpy())
        either = shapely.union_all(group.geometry.to_numpy())
        within, total = shapely.length(inside), shapely.length(either)
        count = group["landslide"].nunique()
        rows.append(
            {
                "name": name,
                "kind": kind,
                "landslides": count,
                "within_m": within,
                "below_m": total - within,
            }
        )
    frame = pd.DataFrame(rows, columns=["name", "kind", "landslides", "within_m", "below_m"])
    return frame.sort_values(["within_m", "below_m"], ascending=False, kind="stable").reset_index(
        drop=True
    )


def _buildings(
    met: gpd.GeoDataFrame, landslides: gpd.GeoDataFrame
) -> tuple[dict[str, Any], dict[str, float], Layer]:
    """Return the columns, the totals and the layer of buildings; one within a landslide is not
    below the same one too.
    """
    here = met.sort_values("where", ascending=False, kind="stable").drop_duplicates(
        ["member", "fid"]
    )
    here = here.assign(
        landslide=landslides["id"].to_numpy()[here["member"].to_numpy(dtype=np.int64)]
    )
    once = here.drop_duplicates("fid")["where"]
    columns, totals = {}, {}
    for name, where in (("buildings", WITHIN), ("buildings_below", BELOW)):
        part = here[here["where"] == where]
        columns[name] = _summed(pd.Series(np.ones(len(part))), part["member"], len(landslides))
        totals[name] = float((once == where).sum())
    words = "Buildings within a landslide, or below one within its reach; indicative"
    points = here.set_geometry(here.geometry.representative_point())
    return (
        columns,
        totals,
        Layer("affected_buildings", "Buildings possibly affected", words, "Point", _WHERE, points),
    )


def _people(
    people: People, landslides: gpd.GeoDataFrame, zones: Shapes
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the columns and the totals of people."""
    crs, shapes = code_of(landslides.crs), landslides.geometry.to_numpy()
    columns = {
        "people": people.within(shapes, crs).round(2),
        "people_below": people.within(zones, crs).round(2),
    }
    only_below = shapely.difference(shapely.union_all(zones), shapely.union_all(shapes))
    below = people.within(np.array([only_below], dtype=object), crs)
    return columns, {
        "people": float(np.nansum(columns["people"])),
        "people_below": float(np.nansum(below)),
    }


def _reach(landslides: gpd.GeoDataFrame, zones: Shapes, config: AffectedConfig) -> Layer:
    angles = reach_angles_deg(landslides["area_m2"].to_numpy(dtype=float), config).round(1)
    fields = {
        "landslide": landslides["id"].to_numpy(),
        "reach_angle_deg": angles,
        "area_m2": shapely.area(zones),
    }
    frame = gpd.GeoDataFrame(fields, geometry=zones, crs=landslides.crs)
    words = (
        "Ground below a landslide that debris may still reach, by the angle of reach; indicative"
    )
    return Layer(
        "reach",
        "Possible reach",
        words,
        "MultiPolygon",
        _REACH_FIELDS,
        frame[~frame.geometry.is_empty],
    )


def assess(
    inventory: Inventory, stack: Stack, user_layers: UserLayers, config: AffectedConfig
) -> tuple[Inventory, Affected]:
    """Return the inventory with columns of what may be affected, and the account of it.

    Args:
        inventory: under the ids it is published with.
        stack: for the ground; without elevation only what lies within landslides is told, and a
            warning says so.
        user_layers: the user's layers that reach into the area.
        config: the rule of what lies below a landslide.
    """
    landslides = inventory.landslides.set_crs(inventory.geobox.crs, allow_override=True)
    zones = zones_below(landslides, stack, config)
    columns: dict[str, Any] = {}
    totals: dict[str, float] = {}
    layers = [_reach(landslides, zones, config)]
    roads = _by_road(gpd.GeoDataFrame({"name": [], "kind": []}, geometry=[]))
    if user_layers.roads:
        more, roads, layer = _roads(_met(user_layers.roads, landslides, zones), landslides)
        columns |= more
        layers.append(layer)
        totals |= {
            "roads_m": float(roads["within_m"].sum()),
            "roads_below_m": float(roads["below_m"].sum()),
        }
    if user_layers.buildings:
        more, counted, layer = _buildings(
            _met(user_layers.buildings, landslides, zones), landslides
        )
        columns |= more
        totals |= counted
        layers.append(layer)
    if user_layers.people:
        more, counted = _people(user_layers.people, landslides, zones)
        columns |= more
        totals |= counted
    warnings = (
        ()
        if "dem" in stack.band_names
        else ("no elevation: nothing is said about what lies below a landslide",)
    )
    totals = {name: round(total, 1) for name, total in totals.items()}
    account = Affected(totals, roads, tuple(layers), config.reach_angle_deg, warnings)
    return replace(inventory, landslides=landslides.assign(**columns)), account
