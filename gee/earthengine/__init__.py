"""The live source: Earth Engine through the real client."""

from gee.earthengine.doctor import examine
from gee.earthengine.session import connect, disconnect
from gee.earthengine.source import EarthEngineSource

__all__ = ["EarthEngineSource", "connect", "disconnect", "examine"]
