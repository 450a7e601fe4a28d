"""A loopback catalogue with a small Earth on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from configs.stac import StacConfig
from stac import world
from stac.loopback import Loopback


@pytest.fixture(scope="session")
def _loopback() -> Iterator[Loopback]:
    with Loopback() as server:
        world.fill(server)
        yield server


@pytest.fixture
def loopback(_loopback: Loopback) -> Loopback:
    """Return the server, without faults."""
    _loopback.reset()
    return _loopback


@pytest.fixture
def config(loopback: Loopback) -> StacConfig:
    """Return settings with waits short enough for tests."""
    return StacConfig(
        catalogue=loopback.url, block_px=256, workers=4, requests=8, deadline_s=20, silence_s=2
    )
