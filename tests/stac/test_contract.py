"""A catalogue keeps the contract of all sources: the real client, a loopback API, real files by
ranges.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_source_contract import SourceContract

from configs.area import around
from configs.stac import StacConfig
from gee.source import Source
from gee.stac import StacSource
from stac import world
from stac.loopback import Loopback


class TestStac(SourceContract):
    bands = ("pre_B4", "post_B4", "post_B11", "slope", "hillshade")
    event, area, windows = world.EVENT, around(*world.CENTRE, 2.6), world.WINDOWS
    lacking = "water"

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
        with Loopback() as server:
            world.fill(server)
            yield StacSource(StacConfig(catalogue=server.url, workers=4, requests=8))
