"""Any source with factor files beside it: they are local, so Earth Engine, archives and the
simulated Earth have them alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from configs.area import Area
from configs.bands import inputs_of
from configs.event import Event, Windows
from configs.factors import FactorsConfig
from configs.records import Offer
from gee.factors.layers import Factors
from gee.previous import FACTORS
from gee.source import Elevation, Plan, Pulled, Source


class FactoredSource:
    """A source that has further static bands from files; where both have a band, the file is
    taken.
    """

    def __init__(self, inner: Source, config: FactorsConfig, folder: Path | None = None) -> None:
        """Put files beside a source.

        Args:
            inner: where the imagery comes from.
            config: the files.
            folder: where their names must resolve inside; None for paths as they are.
        """
        self.inner = inner
        self.factors = Factors(config, folder)

    @property
    def name(self) -> str:
        """Return the name of the source of the imagery."""
        return self.inner.name

    @property
    def block_px(self) -> int:
        """Return what the source of the imagery likes."""
        return self.inner.block_px

    @property
    def workers(self) -> int:
        """Return what the source of the imagery likes."""
        return self.inner.workers

    def offer(self) -> Offer:
        """Return what the source of the imagery has, and the factors."""
        offer = self.inner.offer()
        return replace(offer, bands=offer.bands | frozenset(self.factors.bands))

    def extent(self) -> BaseGeometry | None:
        """Return what the imagery covers."""
        return self.inner.extent()

    def plan(
        self, area: Area, geobox: GeoBox, event: Event, windows: Windows, bands: tuple[str, ...]
    ) -> Plan:
        """Return the plan of the imagery, the factors among its bands; every factor file is opened
        and checked.

        Raises:
            RequestError: a factor file that cannot be used here.
            CoslideError: whatever the source of the imagery raises.
        """
        own = tuple(name for name in self.factors.bands if name in bands)
        rest = tuple(name for name in bands if name not in own)
        if not own:
            return self.inner.plan(area, geobox, event, windows, bands)
        details = self.factors.details(own)
        for name in own:
            self.factors.open(name, geobox)
        plan = self.inner.plan(area, geobox, event, windows, rest)
        order = {name: number for number, name in enumerate(inputs_of(bands))}
        measured = tuple(sorted((*plan.bands, *own), key=lambda name: order.get(name, len(order))))
        return replace(plan, bands=measured, details={**plan.details, FACTORS: details})

    def pull(self, plan: Plan, block: GeoBox) -> Pulled:
        """Return the imagery's block, and the factors on it."""
        own = tuple(name for name in plan.bands if name in plan.details.get(FACTORS, {}))
        rest = replace(plan, bands=tuple(name for name in plan.bands if name not in own))
        pulled = self.inner.pull(rest, block) if rest.bands else Pulled({}, {}, {})
        factors = {name: self.factors.open(name, plan.geobox).on(block) for name in own}
        return replace(pulled, bands={**pulled.bands, **factors})

    def usage(self) -> dict[str, Any]:
        """Return what the source of the imagery has been asked for."""
        return self.inner.usage()

    def add_usage(self, counts: Mapping[str, int]) -> None:
        """Add what a worker elsewhere has asked for."""
        self.inner.add_usage(counts)

    def elevation(self, plan: Plan, block: GeoBox, margin_px: int) -> Elevation:
        """Return the elevation that the source of the imagery has."""
        return self.inner.elevation(plan, block, margin_px)


_: type[Source] = FactoredSource
