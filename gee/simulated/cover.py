"""What grows and lies on the ground, day by day: forest, grass, fields, rock, rivers, roads, cuts,
scars, snow.

`place` gathers what does not change with the date on a window; `surface` lays it out for a day. The
look-alikes of landslides (old scars, bars, clear-cuts, roads, ploughed fields, burns, snow patches)
live here, and none of them is truth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
from scipy.special import ndtri

from gee.simulated import spectra
from gee.simulated.drawing import Scars, draw
from gee.simulated.lattice import F32, TERRAIN_M, Grid, fractal, ramp, spread, white
from gee.simulated.patches import blob, parcels, rectangle, strewn
from gee.simulated.relief import gradient, ground
from gee.simulated.season import dryness, leaves, season_day, snow_line_m
from gee.simulated.slides import Shaken, cells, old_scars, slides
from gee.simulated.world import World

_ONE = np.float32(1)
_CLEARING_DAYS = 330.0
"""Clearings are bare for some months and green again: one cycle."""


@dataclass(frozen=True)
class Place:
    """All of a native window that does not depend on the date, `(y, x)`."""

    world: World
    grid: Grid
    height: F32
    gx: F32
    gy: F32
    slope_deg: F32
    river_m: F32
    patches: F32
    """Large-scale noise of the cover, standard normal, as the next three."""
    variety: F32
    open_noise: F32
    detail: F32
    texture: F32
    """Relative brightness from pixel to pixel, mean 1."""
    forest: F32
    """Share of the ground under trees."""
    rocky: F32
    farmed: F32
    old: Scars
    new: Scars | None
    """The event's slides, if any was asked for."""


def place(world: World, grid: Grid) -> Place:
    """Return the unchanging part of a window, as it was before the event."""
    cover = world.landscape.cover
    lattice = Grid(TERRAIN_M, 0, 0, 1, 1).around(grid, TERRAIN_M)
    terrain = ground(world, lattice)
    gx, gy = (spread(part, lattice, grid) for part in gradient(world, lattice))
    height, river = spread(terrain.height, lattice, grid), spread(terrain.river_m, lattice, grid)
    slope = np.degrees(np.arctan(np.sqrt(gx * gx + gy * gy))).astype(np.float32)
    patches = fractal(grid, 2600.0, 5, world.key("patches"))
    variety = fractal(grid, 800.0, 4, world.key("variety"))
    detail = fractal(grid, 60.0, 2, world.key("detail"), 0.8)
    crowns = np.float32(0.55) * white(grid, world.key("crowns")) + np.float32(0.6) * detail
    steep = slope - np.float32(cover.rock_slope_deg)
    rocky = ramp(steep + np.float32(4) * variety + np.float32(2) * detail, -3, 5)
    farmed = _farmed(world, river, slope, patches, variety)
    forest = (
        _forest(world, grid, height, patches, detail)
        * (_ONE - np.float32(0.85) * rocky)
        * (_ONE - farmed)
    )
    return Place(
        world,
        grid,
        height,
        gx,
        gy,
        slope,
        river,
        patches,
        variety,
        fractal(grid, 420.0, 4, world.key("open")),
        detail,
        np.exp(np.float32(cover.texture) * crowns),
        forest,
        rocky,
        farmed,
        draw(world, [old_scars(world, r, c) for r, c in cells(grid)], grid),
        None,
    )


def struck(ground: Place, quake: Shaken) -> Place:
    """Return a place after an event: the same ground with its slides."""
    drawn = draw(ground.world, [slides(quake, r, c) for r, c in cells(ground.grid)], ground.grid)
    return replace(ground, new=drawn)


def cut_out(ground: Place, grid: Grid) -> Place:
    """Return a smaller window of a place, bit for bit."""
    part = grid.inside(ground.grid)

    def scars(whole: Scars) -> Scars:
        return Scars(whole.depth_m[part], whole.down[part], whole.traits[(slice(None), *part)])

    layers = {one.name: getattr(ground, one.name) for one in fields(ground)}
    cut: dict[str, Any] = {
        name: np.ascontiguousarray(layer[part])
        for name, layer in layers.items()
        if isinstance(layer, np.ndarray)
    }
    new = None if ground.new is None else scars(ground.new)
    return replace(ground, grid=grid, old=scars(ground.old), new=new, **cut)


def _forest(world: World, grid: Grid, height: F32, patches: F32, detail: F32) -> F32:
    cover = world.landscape.cover
    moisture = fractal(grid, 15_000.0, 2, world.key("moisture"))
    bias = np.float32(ndtri(cover.forest)) + np.float32(0.7) * moisture
    bias = bias - np.clip((height - np.float32(cover.treeline_m)) / np.float32(130), -1, 8)
    return ramp(np.float32(0.85) * patches + np.float32(0.25) * detail + bias, -0.45, 0.35)


def _farmed(world: World, river: F32, slope: F32, patches: F32, variety: F32) -> F32:
    """Return the share under the plough: valley floors, and terraces on gentle slopes."""
    cover, floor_m = world.landscape.cover, world.landscape.relief.floor_m
    floor = ramp(-river, -floor_m * 1.08, -floor_m * 0.92)
    floor = floor * ramp(patches + np.float32(ndtri(cover.fields)), -0.1, 0.1)
    if cover.terraces <= 0:
        return floor
    wanted = np.float32(ndtri(cover.terraces)) + variety - np.float32(0.6) * patches
    return np.asarray(np.maximum(floor, ramp(-slope, -24, -17) * ramp(wanted, -0.1, 0.1)))


def surface(ground: Place, day: date) -> F32:
    """Return surface reflectance on a day, `(band, y, x)`, without sun, sky or noise."""
    season = season_day(day, ground.world.southern)
    laid = _open_ground(ground, season)
    spectra.paint(laid, ground.forest, _trees(ground, season))
    _stress(ground, laid, day)
    _fields(ground, laid, day, season)
    _cuts(ground, laid, day)
    _river(ground, laid, day)
    _roads(ground, laid, day)
    laid *= ground.texture[None]
    _scars(ground, ground.old, laid, old=True)
    if ground.new is not None:
        _scars(ground, ground.new, laid, old=False)
    spectra.paint(laid, snow_share(ground, season), spectra.SNOW)
    return laid


def _stress(ground: Place, laid: F32, day: date) -> None:
    """Paint patches where plants thrive less than elsewhere: dry, cut, bitten or turned early;
    other patches every month.
    """
    month = (day.year * 12 + day.month) + (day.day - 1) / 31 - 0.5
    share = np.float32(month % 1)
    older, newer = (
        fractal(ground.grid, 330.0, 4, ground.world.key("stress", int(month // 1) + k), 0.8)
        for k in (0, 1)
    )
    form = (older + (newer - older) * share) * np.float32(1.25) + np.float32(
        0.6
    ) * ground.open_noise
    amount = np.float32(ground.world.landscape.cover.stress) * np.clip(
        form + np.float32(0.6), 0, 2.2
    )
    pale = spectra.between(spectra.STRAW * np.float32(0.85), spectra.LEAFLESS, ground.forest)
    spectra.paint(laid, amount * (_ONE - np.float32(0.7) * ground.rocky), pale)


def _trees(ground: Place, season: float) -> F32:
    landscape = ground.world.landscape
    on, turned = leaves(landscape.weather, season, ground.height, ground.variety)
    green = spectra.between(spectra.FOREST, spectra.AUTUMN, turned)
    spectra.paint(green, _ONE - on, spectra.LEAFLESS)
    always = spectra.EVERGREEN if landscape.cover.broadleaf_evergreen else spectra.CONIFER
    share = np.clip(landscape.cover.deciduous, 1e-4, 1 - 1e-4)
    evergreen = _ONE - ramp(ground.variety + np.float32(ndtri(share)), -0.35, 0.35)
    spectra.paint(green, evergreen, always)
    return green


def _open_ground(ground: Place, season: float) -> F32:
    landscape = ground.world.landscape
    dry = landscape.cover.grass_dryness * (0.35 + 0.65 * dryness(landscape.weather, season))
    share = np.clip(np.float32(dry) + np.float32(0.16) * ground.open_noise, 0, 1)
    laid = spectra.between(spectra.GRASS, spectra.STRAW, share)
    soil = np.array(landscape.ground.soil, np.float32)
    bare = ramp(
        ground.open_noise
        + np.float32(0.35) * ground.detail
        + np.float32(ndtri(landscape.cover.bare)),
        -0.5,
        0.5,
    )
    spectra.paint(laid, bare * (_ONE - np.float32(0.9) * ground.forest), soil * np.float32(0.92))
    spectra.paint(
        laid, ground.rocky, np.array(landscape.ground.rock, np.float32) * np.float32(0.95)
    )
    return laid


def _fields(ground: Place, laid: F32, day: date, season: float) -> None:
    """Paint parcels on valley floors and terraces: green, ripe or ploughed by their own
    calendar.
    """
    landscape, grid = ground.world.landscape, ground.grid
    block = strewn(grid, 1300.0, ground.world.key("blocks"), 0.0)
    first, second, edge = parcels(block, 118.0, 64.0, ground.world.key("parcels", (day.year)))
    phase = np.mod(np.float32(season) - np.float32(100) - first * np.float32(110), np.float32(365))
    green = ramp(phase, 15, 55) * (_ONE - ramp(phase, 110, 140))
    ploughed = (second < np.float32(0.5)) * (
        ramp(phase, 140, 150) * (_ONE - ramp(phase, 230, 260)) + (phase < 15)
    )
    crop = spectra.between(spectra.STRAW, spectra.CROP, green)
    tone = np.float32(0.8) + np.float32(0.45) * second
    spectra.paint(
        crop,
        np.clip(ploughed, 0, 1),
        np.array(landscape.ground.soil, np.float32)[:, None, None] * tone[None],
    )
    spectra.paint(crop, edge * np.float32(0.5), spectra.GRASS)
    spectra.paint(laid, ground.farmed, crop)


def _cuts(ground: Place, laid: F32, day: date) -> None:
    """Paint clear-cuts, quarries and burns, each fresh for a while after its own day."""
    world, grid = ground.world, ground.grid
    cover, soil = world.landscape.cover, np.array(world.landscape.ground.soil, np.float32)
    today = np.float32((day - date(2000, 1, 1)).days)
    for layer, (cell, chance) in enumerate(
        ((430.0, cover.clear_cuts), (610.0, cover.clear_cuts), (370.0, cover.clear_cuts - 0.5))
    ):
        if chance <= 0:
            continue
        cut = strewn(grid, cell, world.key("cuts", layer), 0.35)
        age = np.mod(today - cut.second * np.float32(_CLEARING_DAYS), np.float32(_CLEARING_DAYS))
        long, wide = (
            np.float32(cell * 0.08) + np.float32(cell * reach) * u
            for reach, u in ((0.22, cut.third), (0.12, cut.fourth))
        )
        fresh = (_ONE - np.float32(0.9) * ramp(age, 100, 210)) * (
            np.float32(0.3) + np.float32(0.6) * cut.third
        )
        share = (
            rectangle(cut, long, wide)
            * fresh
            * (cut.chance < chance)
            * (_ONE - ground.rocky)
            * (_ONE - ground.farmed)
        )
        spectra.paint(
            laid,
            share,
            soil[:, None, None] * (np.float32(0.6) + np.float32(0.55) * cut.fourth)[None],
        )
    pit = strewn(grid, 2900.0, world.key("quarries"))
    open_pit = blob(pit, 30 + np.float32(90) * pit.third, ground.detail) * (pit.chance < 0.3)
    spectra.paint(
        laid,
        open_pit * ramp(ground.slope_deg, 2, 6),
        np.array(world.landscape.ground.rock, np.float32) * np.float32(1.1),
    )
    burn = strewn(grid, 4300.0, world.key("burns"))
    age = np.mod(today - burn.second * np.float32(1800), np.float32(1800))
    black = blob(burn, 200 + np.float32(600) * burn.third, ground.open_noise, 25) * (
        burn.chance < cover.burns * 3
    )
    spectra.paint(laid, black * (_ONE - ramp(age, 100, 500)) * np.float32(0.85), spectra.BURNT)


def _river(ground: Place, laid: F32, day: date) -> None:
    """Paint gravel bars, which move every year, and the water between them."""
    width = np.float32(ground.world.landscape.cover.bar_m)
    moved = fractal(
        ground.grid,
        260.0,
        3,
        ground.world.key("bars", day.year if day.month >= 7 else day.year - 1),
    )
    bank = width * (_ONE + np.float32(0.55) * moved)
    spectra.paint(
        laid,
        np.clip((bank - ground.river_m) / np.float32(12) + np.float32(0.5), 0, 1),
        spectra.GRAVEL,
    )
    spectra.paint(laid, water_share(ground), spectra.WATER)


def water_share(ground: Place) -> F32:
    """Return the share of permanent water, `(y, x)`."""
    half = np.float32(8.0 + 0.22 * ground.world.landscape.cover.bar_m)
    return np.asarray(np.clip((half - ground.river_m) / np.float32(12) + np.float32(0.5), 0, 1))


def _roads(ground: Place, laid: F32, day: date) -> None:
    """Paint roads that follow contour lines, with cut slopes above them where they are new."""
    world, cover = ground.world, ground.world.landscape.cover
    if cover.roads <= 0:
        return
    region = strewn(ground.grid, 2300.0, world.key("roads"), 0.0)
    spacing = np.float32(160) + np.float32(240) * region.second
    grade = (region.along + region.across) * np.float32(0.03)
    level = np.mod(ground.height + grade + region.third * spacing, spacing) - spacing / 2
    away = np.abs(level) / np.maximum(np.sqrt(ground.gx**2 + ground.gy**2), np.float32(0.05))
    built = (region.chance < cover.roads) & (ground.slope_deg > 4)
    age = np.mod(
        np.float32((day - date(2000, 1, 1)).days) - region.fourth * np.float32(1500),
        np.float32(1500),
    )
    cut = np.float32(3.5) + np.clip(ground.open_noise, 0, 2) * np.float32(9) * (
        _ONE - ramp(age, 200, 700)
    )
    share = np.clip((cut - away) / np.float32(10) + np.float32(0.5), 0, 1) * built
    spectra.paint(
        laid,
        share * np.float32(0.8),
        np.array(world.landscape.ground.soil, np.float32) * np.float32(0.95),
    )


def bareness(ground: Place, scars: Scars, old: bool) -> F32:
    """Return how much of each pixel shows the material of a scar, `(y, x)`: mixed at edges, under
    rafts and regrowth.
    """
    soil = ground.world.landscape.ground
    share = np.clip(scars.depth_m / np.float32(13) + np.float32(0.5), 0, 1)
    rafts = (
        ground.detail * np.float32(0.75)
        + np.float32(ndtri(soil.remnant))
        + np.float32(0.5) * scars.down
    )
    share = share * (_ONE - np.float32(0.8) * ramp(rafts, -0.5, 1.0))
    shown = np.float32(soil.faintest) + np.float32(0.95 - soil.faintest) * scars.traits[3]
    return np.asarray(
        share * (np.float32(0.85) - np.float32(0.75) * scars.traits[2]) if old else share * shown
    )


def _scars(ground: Place, scars: Scars, laid: F32, old: bool) -> None:
    """Paint scars: soil and rock in the slide's own mixture, darker where moist."""
    soil = ground.world.landscape.ground
    rocky = np.clip(
        np.float32(soil.rockiness) + (scars.traits[1] - np.float32(0.5)) * np.float32(0.7), 0, 1
    )
    moist = _ONE - np.float32(0.38) * scars.traits[2] * (
        np.float32(0.5) + np.float32(0.5) * scars.down
    )
    tone = np.float32(soil.darkest) + np.float32(1.2 - soil.darkest) * scars.traits[0]
    tone = tone * moist * (_ONE + np.float32(0.1) * ground.detail)
    material = spectra.between(
        np.array(soil.soil, np.float32), np.array(soil.rock, np.float32), rocky
    )
    spectra.paint(laid, bareness(ground, scars, old), material * tone[None])


def snow_share(ground: Place, season: float) -> F32:
    """Return the share of snow, `(y, x)`: patchy near the snow line, longer on northern slopes and
    in hollows.
    """
    line = snow_line_m(ground.world.landscape.weather, season)
    poleward = -ground.gy if ground.world.southern else ground.gy
    above = (
        ground.height
        - np.float32(line)
        + np.float32(120) * ground.open_noise
        + np.float32(60) * ground.detail
    )
    above = above - np.float32(260) * np.clip(poleward, -1, 1)
    steep = _ONE - np.float32(0.7) * ramp(ground.slope_deg, 42, 58)
    return np.asarray(ramp(above, -20, 160) * steep * (_ONE - np.float32(0.55) * ground.forest))
