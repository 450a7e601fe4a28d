"""The list of collections is what the recipes read: compared with the graphs that they send, and
with the page that shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import ee
import pytest

from benchmarks.collections import PAGE, renewed
from configs.earthengine import EarthEngineConfig
from earthengine import world
from earthengine.loopback import Loopback
from gee.earthengine import EarthEngineSource, assets, collections, terrain

OPTICAL = ("post_B1", "post_B2", "post_B3", "post_B4", "post_B8", "post_B11", "post_B12")
SENTINEL = (*OPTICAL, "post_B5", "post_B6", "post_B7", "post_B8A", "post_B9")
RADAR = ("post_VV", "post_VH")
IMAGES = {one.asset for one in collections.every(EarthEngineConfig()) if not one.is_collection}


def read_by(image: Any) -> dict[str, set[str]]:
    """Return the collections an expression loads, each with the bands that are taken of it."""
    graph = ee.serializer.encode(image, for_cloud_api=True)
    nodes = graph["values"]
    taken: dict[str, set[str]] = defaultdict(set)

    def call(node: Any) -> Mapping[str, Any]:
        while "valueReference" in node:
            node = nodes[node["valueReference"]]
        found: Mapping[str, Any] = node.get("functionInvocationValue", {})
        return found

    def constant(node: Any) -> Any:
        while "valueReference" in node:
            node = nodes[node["valueReference"]]
        if "arrayValue" in node:
            return [constant(one) for one in node["arrayValue"]["values"]]
        return node["constantValue"]

    def asset_of(node: Any) -> str | None:
        here = call(node)
        name, given = here.get("functionName"), here.get("arguments", {})
        if name == "Image.load":
            whole = str(constant(given["id"]))
            return whole if whole in IMAGES else whole.rpartition("/")[0]
        if name == "ImageCollection.load":
            return str(constant(given["id"]))
        if name == "reduce.mosaic" or name == "ImageCollection.mosaic":
            return asset_of(given["collection"])
        return None

    def look(node: Any) -> None:
        if isinstance(node, dict):
            here = node.get("functionInvocationValue", {})
            if here.get("functionName") == "Image.select":
                given = here["arguments"]
                if asset := asset_of(given["input"]):
                    names = constant(given["bandSelectors"])
                    taken[asset] |= {names} if isinstance(names, str) else set(names)
            elif here.get("functionName") == "Image.load":
                taken[str(asset_of(node))] |= set()
            for one in node.values():
                look(one)
        elif isinstance(node, list):
            for one in node:
                look(one)

    look(nodes)
    return dict(taken)


@pytest.mark.parametrize(
    ("sensor", "level", "convention", "bands"),
    [
        ("sentinel-2", "L1C", "sigma0", SENTINEL),
        ("sentinel-2", "L2A", "gamma0", SENTINEL),
        ("landsat-8", "L1C", "gamma0", OPTICAL),
    ],
)
def test_the_list_is_what_the_graphs_read(
    loopback: Loopback, sensor: str, level: str, convention: str, bands: tuple[str, ...]
) -> None:
    config = EarthEngineConfig.model_validate(
        {"sensor": sensor, "level": level, "radar": convention, "scenes_per_tile": 100}
    )
    source = EarthEngineSource(config)
    grid = world.AREA.geobox(10)
    plan = source.plan(
        world.AREA, grid, world.EVENT, world.WINDOWS, (*bands, *RADAR, "water", "dem")
    )
    facts = plan.details["scenes"]
    for place, one in enumerate(f for f in facts.values() if "clouds" in f):
        one["clouds"] = ("cloud-score-plus", "s2cloudless", "l1c-masks")[place % 3]
    read = read_by(source.image(plan))
    for name in assets.AUTOMATIC:
        read |= read_by(terrain.image(name)[0])
    assert read == {one.asset: set(one.bands) for one in collections.used(config)}


def test_every_choice_is_in_the_table() -> None:
    rows = collections.every(EarthEngineConfig())
    names = [one.asset for one in rows]
    assert len(names) == len(set(names))
    assert {model.asset for model in assets.DEMS.values()} <= set(names)
    for level in ("L1C", "L2A"):
        for one in collections.used(EarthEngineConfig.model_validate({"level": level})):
            kept = next(row for row in rows if row.asset == one.asset)
            assert set(one.bands) <= set(kept.bands)


def test_the_page_shows_the_list_of_today() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert renewed(text) == text, "give `make collections`"
    assert renewed(text.replace("GlobalSurfaceWater", "elsewhere")) == text
