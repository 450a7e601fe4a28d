"""What a run hands over beside the inventory, and whom it may concern: further formats, and the
user's own layers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.event import Frozen

Export = Literal["geojson", "kml", "csv", "shapefile", "ems"]


class MapConfig(Frozen):
    """The map to hand over (PDF), and whose it is."""

    sheets: tuple[Literal["a4", "a3"], ...] = ("a4", "a3")
    """map.pdf (A4), map-a3.pdf (A3); none where empty."""
    language: Literal["en", "es"] = "en"
    """Of the map and the report; their words are `inventory/templates/words.LANGUAGE.yaml`.
    Warnings stay in English.
    """
    publisher: str | None = None
    """Who hands the map over."""
    contact: str | None = None
    """Where to ask: an address, a telephone number."""
    licence: str | None = None
    """Terms the map is handed over under."""
    places: str | None = None
    """Points with a field `name`, ``FILE[:LAYER]``, instead of the packaged GeoNames."""
    roads: str | None = None
    """Lines, ``FILE[:LAYER]``; `affected.roads` where null. No roads are packaged."""
    shaking: str | None = None
    """Contours of a ShakeMap, ``FILE[:LAYER]``: lines with a field `value`, as USGS's cont_mi.json
    has them.
    """


class ProductConfig(Frozen):
    """Further formats of the inventory."""

    exports: tuple[Export, ...] = ("geojson", "kml", "csv", "shapefile")
    """geojson (RFC 7946), kml (OGC KML 2.2), csv (a table, UTF-8), shapefile (zipped), ems
    (GeoPackage in the shape of a Copernicus EMS rapid-mapping vector package).
    """
    map: MapConfig = MapConfig()
    """The map to hand over."""


class AffectedConfig(Frozen):
    """The user's layers of what may be affected; what follows from them is indicative, never an
    assessment of damage.
    """

    roads: str | None = None
    """Lines, ``FILE[:LAYER]``; names are read from a field `name` or `ref`, kinds from `highway`,
    `fclass`, `class` or `type`.
    """
    buildings: str | None = None
    """Polygons or points, ``FILE[:LAYER]``."""
    population: str | None = None
    """Raster of people per cell (counts, not densities), e.g. WorldPop or GHS-POP."""
    reach_angle_deg: float | None = Field(default=None, gt=5, lt=60)
    """Least angle from the crown of a landslide to a place below it for that place to count as
    within its reach. By size where null: Corominas (1996), log10 tan = -0.047 - 0.085 log10 V, with
    V = 0.074 A^1.450 (Guzzetti et al. 2009)."""
    reach_limit_m: float = Field(default=2000.0, gt=0, le=5000)
    """Longest path below a landslide that is followed, in metres. Chosen: longer ones are debris
    flows, not slides.
    """

    @property
    def asked(self) -> bool:
        """Return whether the user gave any layer."""
        return any((self.roads, self.buildings, self.population))
