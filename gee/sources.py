"""Which Earth is asked: a source by its configuration, here or on a worker that knows nothing of
the rest of the code.
"""

from __future__ import annotations

from pathlib import Path

from configs.errors import RequestError
from configs.run import SourceConfig
from gee.source import Source


def make_source(config: SourceConfig) -> Source:
    """Return a source by its configuration, factor files beside it; imports only what it needs."""
    source = _imagery(config)
    if not config.factors.named:
        return source
    from gee.factors.source import FactoredSource

    return FactoredSource(source, config.factors)


def _imagery(config: SourceConfig) -> Source:
    if config.kind == "archive":
        from gee.archive import open_archive

        if config.archive is None:
            raise RequestError("source.archive names no folder", "Give --source archive:DIR.")
        return open_archive(Path(config.archive))
    if config.kind == "earthengine":
        from gee.earthengine import EarthEngineSource

        return EarthEngineSource(config.earthengine)
    if config.kind == "stac":
        from gee.stac import StacSource

        return StacSource(config.stac)
    from gee.simulated import LANDSCAPES, SimulatedSource

    return SimulatedSource(
        config.landscape or next(iter(LANDSCAPES)), config.seed, sensor=config.sensor
    )
