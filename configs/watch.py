"""Which earthquakes are mapped without anybody asking: where the watch looks, what qualifies, and
how patient it is.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from configs.event import Frozen

Alert = Literal["green", "yellow", "orange", "red"]
ALERTS: tuple[Alert, ...] = ("green", "yellow", "orange", "red")
"""USGS alert colours, the mildest first (https://earthquake.usgs.gov/data/pager/,
.../ground-failure/).
"""
USGS = "https://earthquake.usgs.gov"
_HTTPS = r"^https://[^\s]+$"


class Rule(Frozen):
    """What an earthquake in a region must be to be mapped. The first rule whose region holds the
    epicentre decides.
    """

    name: str = Field(min_length=1, max_length=40)
    """What to call the rule in logs and verdicts."""
    region: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees; W > E crosses the antimeridian. The whole Earth where
    null.
    """
    min_magnitude: float = Field(default=5.5, ge=0, le=10)
    """Weaker ones are left alone. Keefer (1984): disrupted slides begin near M 4, inventories worth
    mapping near M 5.5.
    """
    max_depth_km: float = Field(default=70, gt=0, le=800)
    """Deeper ones are left alone: the USGS calls earthquakes shallower than 70 km shallow."""
    min_pager: Alert | None = None
    """Ask for at least this PAGER alert (losses); not asked where null."""
    min_landslide_alert: Alert | None = None
    """Ask for at least this landslide alert of the USGS ground-failure product; not asked where
    null.
    """

    @model_validator(mode="after")
    def _on_earth(self) -> Rule:
        if self.region is not None:
            west, south, east, north = self.region
            if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
                raise ValueError(f"region {self.region} is no west, south, east, north in degrees")
        return self

    def holds(self, latitude: float, longitude: float) -> bool:
        """Return whether a point lies in the rule's region."""
        if self.region is None:
            return True
        west, south, east, north = self.region
        inside = (
            west <= longitude <= east if west <= east else longitude >= west or longitude <= east
        )
        return inside and south <= latitude <= north


class WatchConfig(Frozen):
    """The watch: where it looks, its rules, and its patience."""

    feed: str = Field(
        default=f"{USGS}/earthquakes/feed/v1.0/summary/4.5_month.geojson", pattern=_HTTPS
    )
    """GeoJSON summary feed. A month's feed also brings late ShakeMaps; it is renewed every few
    minutes.
    """
    detail: str = Field(
        default=f"{USGS}/fdsnws/event/1/query?eventid={{id}}&format=geojson", pattern=_HTTPS
    )
    """Where an event's detail is asked for; `{id}` is its id. Links inside a feed are never
    followed.
    """
    catalogue: str = Field(default=f"{USGS}/fdsnws/event/1/query?format=geojson", pattern=_HTTPS)
    """FDSN event service that is asked for what the feed has forgotten, after the watch stood still
    for longer.
    """
    feed_days: float = Field(default=30, gt=0, le=365)
    """How far the feed reaches back; after a longer pause the catalogue is asked."""
    rules: tuple[Rule, ...] = (Rule(name="everywhere"),)
    """Put regions before the whole Earth: the first rule whose region holds the epicentre
    decides.
    """
    publish_unknown: bool = False
    """Publish a map although nothing is known of how its checkpoint does on such imagery. By
    default the watch's own runs refuse it, unless the preset sets `model.out_of_domain`.
    """
    min_land: float = Field(default=0.01, ge=0, le=1)
    """Share of the shaken area that must be land (cells of 0.05 degrees)."""
    min_steep: float = Field(default=0.05, ge=0, le=1)
    """Share of the shaken land that must be steep: slope above about 3 degrees, read from the Vs30
    of the ShakeMap, which stands for slope (Wald & Allen 2007). Without a ShakeMap the rule counts
    as met."""
    steep_vs30: float = Field(default=490, gt=0, le=2000)
    """Vs30 in m/s from which ground counts as steep: 490 m/s is a slope of 5 % (Wald & Allen 2007,
    table 2, active regions).
    """
    oldest_days: float = Field(default=30, gt=0, le=3650)
    """Older earthquakes are not begun; updates of those that were begun still count."""
    same_area: float = Field(default=0.75, ge=0, le=1)
    """An update is mapped again where new and old area overlap (intersection / union) by less than
    this.
    """
    settle_minutes: float = Field(default=30, ge=0, le=10_080)
    """Wait so long between two runs of one event: the first hours bring many ShakeMaps, and the
    newest is mapped.
    """
    retry_hours: float = Field(default=12, gt=0, le=720)
    """Where no image exists yet, ask again after so long."""
    give_up_days: float = Field(default=60, gt=0, le=3650)
    """Stop asking for a first image so long after the earthquake."""
    poll_minutes: float = Field(default=5, gt=0, le=1440)
    """How often the feed is asked."""
    longest_pause_minutes: float = Field(default=60, gt=0, le=1440)
    """While the feed is down the pause doubles from `poll_minutes` up to this."""

    @model_validator(mode="after")
    def _template(self) -> WatchConfig:
        if "{id}" not in self.detail:
            raise ValueError("detail holds no {id}")
        return self
