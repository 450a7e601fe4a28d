"""A kit's samples of a published inventory through the real Earth Engine client: the event, windows
and polygons of the catalogue's entry, from the loopback.
"""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import yaml
from shapely import box

from configs.kit import read_kit
from configs.published import published
from earthengine.loopback import Loopback
from flows.learning.inventories import check
from flows.learning.samples import make_samples
from flows.study.kit import sampling_of


def test_an_inventory_becomes_a_sample_set(loopback: Loopback, tmp_path: Path) -> None:
    squares = [
        box(x, y, x + 0.0012, y + 0.0008)
        for x, y in ((141.925 + 0.003 * i, 42.695 + 0.003 * j) for i in range(6) for j in range(6))
    ]
    gpd.GeoDataFrame(geometry=squares, crs="EPSG:4326").to_file(tmp_path / "iburi-2018.gpkg")
    inventory = published("iburi-2018")
    kit = read_kit("yang2024").model_copy(update={"positive_share": None, "chip_px": 48})
    kit = kit.model_copy(update={"split": kit.split.model_copy(update={"block_px": 64})})
    content = sampling_of(kit, check(str(tmp_path / "iburi-2018.gpkg"), inventory), tmp_path)
    content["run"]["source"]["earthengine"] = {"block_px": 256, "workers": 8}
    recipe = tmp_path / "iburi-2018.yaml"
    recipe.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    card = make_samples(recipe, tmp_path / "samples").card
    assert loopback.requests("image:computePixels")
    assert card.origin.name == "iburi-2018"
    assert not card.origin.simulated
    assert card.bands == kit.bands
    assert 0.01 < card.positive_fraction < 0.5
    assert any("Chiiki" in words for words in card.origin.attribution)
