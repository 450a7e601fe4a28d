"""The live source keeps the contract of all sources: the real client, the loopback Earth Engine, a
small Earth of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_source_contract import SourceContract

from configs.area import around
from configs.earthengine import EarthEngineConfig
from earthengine import world
from earthengine.conftest import write_key
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from earthengine.pictures import Raster, asset
from gee.earthengine import EarthEngineSource, disconnect
from gee.earthengine.assets import DEMS
from gee.source import Source

SRTM = DEMS["srtm"].asset


class TestEarthEngine(SourceContract):
    bands = ("pre_B4", "post_B4", "post_B2", "slope", "hillshade")
    event, area, windows = world.EVENT, around(*world.CENTRE, 2.6), world.WINDOWS
    lacking = "river_distance"

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory, private_key: str) -> Iterator[Source]:
        key = tmp_path_factory.mktemp("key") / "key.json"
        hill = world.heights(world.CENTRE[1], world.CENTRE[0])
        whole = asset(
            SRTM, {"elevation": Raster(hill.values, hill.crs, hill.affine)}
        )  # the small Earth's own has a void
        earth = [whole, *(image for image in world.catalogue() if image.id != SRTM)]
        with Loopback(Evaluator(earth)) as server, pytest.MonkeyPatch.context() as patch:
            write_key(key, private_key, server.url)
            patch.setenv("COSLIDE_EE_URL", server.url)
            patch.setenv("EE_SERVICE_ACCOUNT_KEY", str(key))
            yield EarthEngineSource(EarthEngineConfig(deadline_s=60, workers=4))
            disconnect()
