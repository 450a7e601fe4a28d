"""Whether Earth Engine can be used from here: the door to `gee.earthengine.doctor` that needs no client to be imported first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.earthengine import EarthEngineConfig

if TYPE_CHECKING:
    from configs.records import Finding


def findings(config: EarthEngineConfig | None = None) -> Iterator[Finding]:
    """Yield what is there and what is missing between this machine and Earth Engine (`doctor.examine`)."""
    from gee.earthengine.doctor import examine

    yield from examine(config or EarthEngineConfig())
