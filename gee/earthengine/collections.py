"""Every collection that the recipes read, with the bands they take: what the table in
`docs/earth-engine.md` is made of and what `coslide doctor` checks one by one.

A test compares it with the expression graphs that the recipes really send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from configs.bands import BANDS
from configs.earthengine import EarthEngineConfig
from gee.earthengine import assets, landsat, optical, radar, terrain

CATALOGUE: Final = "https://developers.google.com/earth-engine/datasets/catalog/"


@dataclass(frozen=True)
class Used:
    """One collection, as the recipes use it."""

    asset: str
    purpose: str
    bands: tuple[str, ...]
    pixel_m: tuple[float, ...]
    """Sides of its pixels, metres."""
    unit: str
    """What its numbers mean."""
    mask: str
    """What of it is taken, or what it takes away."""
    is_collection: bool = True
    """False where it is a single image."""

    @property
    def page(self) -> str:
        """Return the address of its page in the public catalogue."""
        return CATALOGUE + self.asset.replace("/", "_")


def used(config: EarthEngineConfig) -> tuple[Used, ...]:
    """Return all collections of a configuration's sensor, level and elevation model, radar and
    water beside them, in the order in which a run meets them.
    """
    sentinel = config.sensor == "sentinel-2"
    imagery = _sentinel2(config) if sentinel else _landsat(config)
    # `auto` is decided by the latitude of the area: either model may be asked for.
    models = assets.AUTOMATIC if config.dem == "auto" else (config.dem,)
    return (*imagery, *_radar(config), *(_elevation(name) for name in models), _water(config))


def every(config: EarthEngineConfig) -> tuple[Used, ...]:
    """Return what any choice of sensor, level and elevation model could read, each once."""
    choices: Iterable[EarthEngineConfig] = (
        config.model_copy(update={"sensor": sensor, "level": level, "dem": dem})
        for sensor, level in (("sentinel-2", "L1C"), ("sentinel-2", "L2A"), ("landsat-8", "L1C"))
        for dem in assets.DEMS
    )
    found: dict[str, Used] = {}
    for one in (one for choice in choices for one in used(choice)):
        known = found.get(one.asset)
        # Sentinel-2 of either level lends the other its masks: the fuller entry stands.
        if known is None or len(one.bands) > len(known.bands):
            found[one.asset] = one
    return tuple(found.values())


def _sentinel2(config: EarthEngineConfig) -> Iterator[Used]:
    sides = tuple(sorted({BANDS[name].resolution_m for name in optical.BANDS}))
    counts = f"reflectance × {1 / assets.DN_SCALE:g}"
    takes = "pixels with every band; the code says what was seen"
    classes = "3 shadow, 11 snow; 8 to 10 cloud where a scene has no other mask"
    own = "cloud, cirrus and snow in the first hours, where a scene has no other mask"
    of_toa = f"{takes}; {own}" if config.level == "L1C" else own
    of_surface = f"{takes}; {classes}" if config.level == "L2A" else classes
    yield Used(
        assets.S2_TOA,
        "Sentinel-2 L1C",
        (*(optical.BANDS if config.level == "L1C" else ()), *optical.OWN_BANDS),
        sides if config.level == "L1C" else (60.0,),
        counts if config.level == "L1C" else "flags",
        of_toa,
    )
    yield Used(
        assets.S2_SURFACE,
        "Sentinel-2 L2A, scene classification",
        (*(optical.BANDS if config.level == "L2A" else ()), "SCL"),
        sides if config.level == "L2A" else (20.0,),
        counts if config.level == "L2A" else "class",
        of_surface,
    )
    yield Used(
        assets.CLOUD_SCORE,
        "clouds",
        (optical.SCORE,),
        (10.0,),
        "0 to 1",
        f"clear from {config.clear_score:g} (`clear_score`)",
    )
    yield Used(
        assets.CLOUD_PROBABILITY,
        "clouds where a scene has no Cloud Score+",
        ("probability",),
        (10.0,),
        "percent",
        f"cloud from {config.cloud_probability} (`cloud_probability`)",
    )


def _landsat(config: EarthEngineConfig) -> Iterator[Used]:
    del config
    bands = (*landsat.NAMES.values(), landsat.PAN, landsat.QUALITY)
    mask = "QA_PIXEL bits 1 to 3 cloud, 4 shadow, 5 snow"
    purposes = {
        assets.LANDSAT_FINAL[0]: "Landsat-8 top of atmosphere",
        assets.LANDSAT_FINAL[1]: "Landsat-9 top of atmosphere",
        assets.LANDSAT_REAL_TIME: "Landsat-8, real-time scenes until the final ones are there",
    }
    for asset, purpose in purposes.items():
        yield Used(asset, purpose, bands, (30.0, 15.0), "reflectance", mask)


def _radar(config: EarthEngineConfig) -> Iterator[Used]:
    del config
    yield Used(
        assets.S1_POWER,
        "Sentinel-1 backscatter",
        (*radar.BANDS, radar.ANGLE),
        (10.0,),
        "linear power, degrees",
        "IW with VV and VH, one relative orbit; incidence angles of "
        f"{radar.NEAREST_DEG:g} to {radar.FARTHEST_DEG:g}",
    )


def _elevation(name: str) -> Used:
    model = assets.DEMS[name]
    return Used(
        model.asset,
        f"elevation (`{name}`)",
        (model.band,),
        (30.0,),
        "metres",
        f"{model.south:g} to {model.north:g} degrees of latitude; voids stay unknown",
        model.is_collection,
    )


def _water(config: EarthEngineConfig) -> Used:
    return Used(
        assets.WATER,
        "permanent water",
        (terrain.OCCURRENCE,),
        (30.0,),
        "percent",
        f"water from {config.water_percent:g} (`water_percent`)",
        False,
    )


def table(config: EarthEngineConfig) -> str:
    """Return all collections as a Markdown table, one a line."""
    lines = [
        "| collection | for | bands | pixel, m | numbers | mask |",
        "|---|---|---|---|---|---|",
    ]
    for one in every(config):
        cells = (
            f"[`{one.asset}`]({one.page})",
            one.purpose,
            " ".join(one.bands),
            ", ".join(f"{side:g}" for side in one.pixel_m),
            one.unit,
            one.mask,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
