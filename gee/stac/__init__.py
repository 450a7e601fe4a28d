"""A STAC catalogue as a source: public imagery without an account."""

from gee.stac.source import StacSource

__all__ = ["StacSource"]
