"""From a request to a plan: what bands it takes, which of the scenes found are used, and how many
requests that will be, all before the first pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from odc.geo.geobox import GeoBox

from configs.area import Area
from configs.bands import BANDS, When, parse_band
from configs.earthengine import EarthEngineConfig
from configs.errors import NothingToSeeError, RequestError
from configs.event import Event, Windows
from configs.records import Offer, Scene
from gee.backscatter import around_px
from gee.earthengine import assets, landsat, radar
from gee.earthengine.pixel_codes import CODE_BITS
from gee.earthengine.pixels import REQUEST_BYTES
from gee.earthengine.scenes import Checkpoint
from gee.native import shortest_side_m
from gee.previous import FINGERPRINTS
from gee.ranking import best_first, few_per_tile, usable
from gee.shadow import widest_margin_px
from gee.source import DOUBTS, Plan

RECIPE: Final = "coslide/recipe/3"
"""Goes into the plan, and so into the resume key: changed whenever the same scenes would give other
pixels.
"""
RADAR_RECIPE: Final = "radar/2"
"""The same for radar, where it takes part."""
_NATIVE_MARGIN_PX: Final = 8
SIDES_PX: Final = (768, 512, 256)
"""Sides a request may have: whole chunks, and at most 768 px (ten bands of a larger one come near
the service's limits).
"""
COMPUTED_BYTES: Final = 80 * 2**20
"""What one request may compute: "Output of image computation is too large (… > 80.0 MiB)", where
every layer counts as doubles, whatever type it travels in.
"""
USUAL_WAIT_S, USUAL_BYTES_PER_S = 1.0, 10e6
"""What a request waits and a connection carries, as the benchmark's loopback has it; only their
ratio matters here.
"""


@dataclass(frozen=True)
class Wanted:
    """What a run asks for, taken apart."""

    optical: Mapping[When, tuple[str, ...]]
    radar: Mapping[When, tuple[str, ...]]
    water: bool
    elevation: bool

    @property
    def windows(self) -> dict[str, When]:
        """Return the listings needed: key of the answer -> window."""
        return {
            **{f"optical_{when}": when for when in self.optical},
            **{f"radar_{when}": when for when in self.radar},
        }


def wanted(bands: Iterable[str], offer: Offer) -> Wanted:
    """Return stack bands by instrument and window.

    Raises:
        RequestError: a band that this source does not have.
    """
    parts: dict[str, dict[When, tuple[str, ...]]] = {"optical": {}, "radar": {}}
    still = set()
    for name in bands:
        parsed = parse_band(name)
        if name not in offer.bands:
            raise RequestError(
                f"Earth Engine ({offer.sensor}) has no band `{name}` here",
                f"It has {', '.join(sorted(offer.bands))}. See `source.earthengine.sensor`.",
            )
        if parsed.when is None:
            still.add(name)
            continue
        group = parts["radar" if parsed.band.name in radar.BANDS else "optical"]
        group[parsed.when] = (*group.get(parsed.when, ()), parsed.band.name)
    return Wanted(parts["optical"], parts["radar"], "water" in still, "dem" in still)


@dataclass(frozen=True)
class Chosen:
    """The scenes a run uses, best first per window, and what was left."""

    found: tuple[Checkpoint, ...]
    left_out: Mapping[str, int]
    """Reason -> number of scenes."""
    on_offer: tuple[str, ...] = ()
    """Ids of all scenes that could have been used."""


def choose(
    found: Iterable[Checkpoint],
    want: Wanted,
    config: EarthEngineConfig,
    area: Area,
    event: Event,
    windows: Windows,
) -> Chosen:
    """Return the scenes to use.

    Raises:
        NothingToSeeError: a window that bands need has none.
    """
    held = usable(found, area, event, windows)
    radars = [one for one in held if one.scene.product == assets.S1_POWER]
    images = [one for one in held if one.scene.product != assets.S1_POWER]
    if want.radar:
        radars = radar.one_orbit(radars, want.radar, area)
    chosen: list[Checkpoint] = []
    for group, whens, instrument in (
        (images, want.optical, config.sensor),
        (radars, want.radar, "sentinel-1"),
    ):
        for when in whens:
            ordered = best_first((one for one in group if one.scene.when is when), event, config)
            if not ordered:
                raise _nothing(instrument, when, windows, area)
            chosen += few_per_tile(ordered, config.scenes_per_tile)
    rest = len(held) - len(chosen)
    ids = tuple(sorted({one.scene.id for one in held}))
    return Chosen(tuple(chosen), {"other orbit, or better ones of the tile": rest}, ids)


def _nothing(instrument: str, when: When, windows: Windows, area: Area) -> NothingToSeeError:
    days = windows.pre if when is When.PRE else windows.post
    return NothingToSeeError(
        f"Earth Engine has no {instrument} scene of the area ({area.origin}) in the {when} "
        f"window {days}"
        f" as of {windows.as_of:%Y-%m-%d}",
        f"Give a longer --{when} window, or wait: `coslide refresh` looks again.",
    )


def blocks_of(geobox: GeoBox, area: Area, block_px: int) -> list[GeoBox]:
    """Return the blocks of a grid that touch the area or its context."""
    outline = area.pulled(str(geobox.crs))
    blocks = []
    height, width = (int(side) for side in geobox.shape)
    for top in range(0, height, block_px):
        for left in range(0, width, block_px):
            block = geobox[top : min(top + block_px, height), left : min(left + block_px, width)]
            if block.extent.geom.intersects(outline):
                blocks.append(block)
    return blocks


def choose_side(geobox: GeoBox, area: Area, want: Wanted, config: EarthEngineConfig) -> int:
    """Return the side of the blocks: the configured one, or that whose rounds of `workers` requests
    take the fewest seconds.

    Small areas are cut finer, so that every connection has something to carry; large ones into the
    largest blocks.
    """
    if config.block_px:
        return config.block_px

    def seconds(side: int) -> float:
        rounds = math.ceil(len(blocks_of(geobox, area, side)) / config.workers)
        pixels = min(side, int(geobox.shape[0])) * min(side, int(geobox.shape[1]))
        return rounds * (USUAL_WAIT_S + pixels * _bytes_per_px(want) / USUAL_BYTES_PER_S)

    fitting = [side for side in SIDES_PX if side**2 * 8 * _layers(want) <= COMPUTED_BYTES]
    return min(fitting or SIDES_PX[-1:], key=seconds)


def _layers(want: Wanted) -> int:
    bands = sum(len(some) for group in (want.optical, want.radar) for some in group.values())
    return bands + _code_bytes(want)


def _bytes_per_px(want: Wanted) -> int:
    return sum(
        2 * len(bands) for group in (want.optical, want.radar) for bands in group.values()
    ) + _code_bytes(want)


def _code_bytes(want: Wanted) -> int:
    """Return the bytes a pixel of codes and water: none where eight reflectances carry the code."""
    return (
        sum(len(bands) < CODE_BITS for bands in want.optical.values())
        + len(want.radar)
        + want.water
    )


def flattens(want: Wanted, config: EarthEngineConfig) -> bool:
    """Return whether heights are needed for backscatter."""
    return bool(want.radar) and config.radar == "flattened"


def _orbit(one: Checkpoint, config: EarthEngineConfig) -> dict[str, Any]:
    seen_from = {"to_sensor_deg": radar.to_sensor_deg(one)} if config.radar == "flattened" else {}
    return {"orbit": one.tile, **seen_from}


def estimate(
    blocks: Iterable[GeoBox],
    want: Wanted,
    shade_px: int = 0,
    step_m: float = BANDS["dem"].resolution_m,
) -> tuple[int, float]:
    """Return (requests, megabytes) that a pull of these blocks will take at most, elevation of
    pixels of `step_m` included, with `shade_px` of them around each block where shadows are cast.
    """
    around = shade_px or _NATIVE_MARGIN_PX
    per_px, layers = _bytes_per_px(want), _layers(want)
    requests, total = 1, 0.0
    for block in blocks:
        pixels = int(block.shape[0]) * int(block.shape[1])
        if per_px:
            requests += max(
                1, 4 ** math.ceil(math.log(max(1.0, pixels * (per_px + layers) / REQUEST_BYTES), 4))
            )
            total += pixels * per_px
        if want.elevation or shade_px:
            side = [n * block.resolution.x / step_m + 2 * around for n in block.shape]
            requests += 1
            total += side[0] * side[1] * 3
    return requests, total / 1e6


def plan_of(
    chosen: Chosen,
    want: Wanted,
    bands: tuple[str, ...],
    geobox: GeoBox,
    area: Area,
    event: Event,
    windows: Windows,
    config: EarthEngineConfig,
    native: Mapping[str, Any] | None,
) -> Plan:
    """Return the plan that a choice of scenes amounts to."""
    side = choose_side(geobox, area, want, config)
    scenes: tuple[Scene, ...] = tuple(one.scene for one in chosen.found)
    step_m = shortest_side_m(native, geobox) if native is not None else 0.0
    margin = widest_margin_px(scenes, step_m)
    if flattens(want, config) and step_m:
        margin = max(margin, around_px(step_m))
    requests, megabytes = estimate(blocks_of(geobox, area, side), want, margin, step_m)
    details = _details(chosen, want, config, scenes, native)
    measured = tuple(name for name in bands if name != "dem")
    return Plan(
        measured,
        want.elevation,
        geobox,
        area,
        event,
        windows,
        scenes,
        requests,
        megabytes,
        side,
        details,
        elevation_step_m=step_m,
    )


def _details(
    chosen: Chosen,
    want: Wanted,
    config: EarthEngineConfig,
    scenes: tuple[Scene, ...],
    native: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what a stack of the plan depends on beyond its scenes, and what is to be said of
    them.
    """
    details: dict[str, Any] = {
        "recipe": f"{RECIPE} {RADAR_RECIPE}" if want.radar else RECIPE,
        "settings": config.model_dump(
            mode="json",
            include={
                "sensor",
                "level",
                "clear_score",
                "cloud_probability",
                "water_percent",
                "radar",
            },
        ),
        "collections": sorted({scene.product for scene in scenes}),
        "scenes": {
            one.scene.id: {
                "bounds": [round(value, 4) for value in one.bounds],
                **{name: one.facts[name] for name in ("clouds", "scl") if name in one.facts},
                **(_orbit(one, config) if one.scene.product == assets.S1_POWER else {}),
            }
            for one in chosen.found
        },
        "left_out": dict(chosen.left_out),
    }
    if config.sensor == "landsat-8":
        # Pixels of a scene that is not there any more, a real-time one, are not kept.
        details[FINGERPRINTS] = dict.fromkeys(chosen.on_offer, "there")
        if early := landsat.doubts(scenes):
            details[DOUBTS] = early
    if native is not None:
        details["elevation"] = dict(native)
    return details
