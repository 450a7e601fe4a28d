"""The steps of the story: each joins wings that do not know each other, and says what it cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from configs.area import Area, around
from configs.bands import When, parse_band
from configs.errors import NothingNewError, NothingToSeeError
from configs.layout import EventFolder, RunLayout
from configs.records import Choice, ObservationClass, Scene
from configs.run import RunConfig
from configs.stack import Rows, Stack
from flows import difference
from flows.probability import map_card
from flows.run import engine, journal, workspace
from flows.run.journal import progress
from flows.run.shards import by_workers
from gee.observation import Observed
from gee.observation import observe as observe_stack
from gee.source import Plan, Source
from gee.sources import make_source
from gee.stack import assemble, fill_blocks
from gee.store import intact
from inventory.exposure.user_layers import UserLayers
from inventory.outline.outline import Inventory, outline
from models import registry
from models.architectures import tiling_of
from models.registry import Candidates, Checkpoint
from models.selection import threshold as threshold_of_map
from models.selection.adaptation import adaptation_of, all_adapting
from models.selection.choose import choose as choose_checkpoint
from models.selection.choose import write_ranking
from tiles.grid import covering
from tiles.views import Filled, Mean

logger = logging.getLogger(__name__)

_ALWAYS = ("dem", "slope")
"""Bands every inventory needs for its attributes, whatever the checkpoint reads."""
_WISHED = (
    "post_B4",
    "post_B3",
    "post_B2",
    "pre_B4",
    "pre_B3",
    "pre_B2",
    "post_NDVI",
    "pre_NDVI",
    "water",
)
"""Bands the report, the rules and the reader want where the source has them."""


def open_source(run: RunConfig) -> Source:
    """Return the Earth the run asks.

    Raises:
        RequestError: an archive or a landscape that is none.
        SourceError: Earth Engine cannot be had.
    """
    return make_source(run.imagery)


def candidates(run: RunConfig, source: Source) -> Candidates:
    """Return the checkpoints that this source can feed.

    Raises:
        RequestError: the named one does not exist or does not fit, or none fits; this machine
            cannot compute as the run wants it.
    """
    engine.computable(run)
    threshold_of_map.check(run, source.offer().bands)
    found = registry.candidates(
        run.model.checkpoint,
        source.offer(),
        run.model.card_dirs,
        adapts=run.model.adapt is not None,
    )
    found = difference.subtractable(found) if run.model.subtract_pre else found
    found = all_adapting(found, run.model.adapt) if run.model.adapt else found
    logger.info("%d checkpoints fit: %s", len(found), ", ".join(one.card.name for one in found))
    return found


def _card_bands(run: RunConfig, cards: Candidates) -> tuple[str, ...]:
    """Return what the checkpoints read, and what is to be subtracted from it."""
    before = difference.bands_to_pull(cards) if run.model.subtract_pre else ()
    return tuple(dict.fromkeys((*cards.bands, *before)))


def stack_bands(run: RunConfig, source: Source, cards: Candidates) -> tuple[str, ...]:
    """Return the bands of the run's stack: what the checkpoints read, what attributes need, what
    readers wish.
    """
    offered = source.offer().bands
    extra = tuple(band for band in (*_ALWAYS, *_WISHED) if band in offered)
    return tuple(dict.fromkeys((*_card_bands(run, cards), *extra)))


def plan_of(run: RunConfig, source: Source, cards: Candidates) -> Plan:
    """Return which scenes would be used.

    Raises:
        RequestError: a layer of what may be affected cannot be used.
        NothingToSeeError: no imagery; where the swapped epicentre would hit it, the message says
            so.
    """
    UserLayers.open(
        run.affected
    )  # a file that cannot be used is refused now, not after hours of work
    area, geobox = _with_context(run, cards)
    wanted = stack_bands(run, source, cards)
    read = {parse_band(name).when for name in _card_bands(run, cards)}
    modest = tuple(name for name in wanted if parse_band(name).when in (None, *read))
    alone = _of_later_image(run, cards, wanted)
    try:
        return _first_plan(
            lambda names: source.plan(area, geobox, run.event, run.windows, names),
            dict.fromkeys((wanted, modest, alone)),
        )
    except NothingToSeeError as error:
        if _swapped_would_hit(run, source):
            swapped = f"--epicentre {run.event.longitude:g},{run.event.latitude:g}"
            raise NothingToSeeError(
                error.message,
                f"Latitude comes first: the imagery lies at {swapped}. {error.remedy}",
            ) from error
        raise


def _first_plan(ask: Callable[[tuple[str, ...]], Plan], wishes: Iterable[tuple[str, ...]]) -> Plan:
    """Return the plan of the first wish that there is imagery for.

    Raises:
        NothingToSeeError: there is none for any; what the first one lacked is told.
    """
    first: NothingToSeeError | None = None
    for names in wishes:
        try:
            plan = ask(names)
        except NothingToSeeError as error:
            first = first or error
        else:
            if first:
                logger.info("no pre-event image was found (%s)", first.message)
            return plan
    raise first or NothingToSeeError("no band is wanted", "Choose another checkpoint.")


def _of_later_image(run: RunConfig, cards: Candidates, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the bands that a run can do with where there is no image from before the event: none
    of it, where some checkpoint maps the later one alone and nobody asked for another; else all.
    """
    named = cards.named in {one.card.name for one in cards if one.card.needs_pre}
    if named or run.model.subtract_pre or all(one.card.needs_pre for one in cards):
        return wanted
    return tuple(name for name in wanted if parse_band(name).when is not When.PRE)


def able(cards: Candidates, plan: Plan) -> Candidates:
    """Return the checkpoints that the plan's imagery can feed, with the reason of each that is left
    out.
    """
    fed = registry.fed_by(cards, plan.bands)
    for warning in fed.warnings[len(cards.warnings) :]:
        logger.info("%s", warning)
    return fed


def _with_context(run: RunConfig, cards: Candidates) -> tuple[Area, GeoBox]:
    """Return the area and the grid that is pulled: widened, so that no tile of any candidate that
    maps some of the area is cut by the border. Then requests that share ground get the same map.
    """
    resolution_m = run.resolution_m or cards.resolution_m
    tilings = [tiling_of(one.card) for one in cards]
    geobox = covering(run.place.geobox(resolution_m), tilings)
    reach_px = max(tiles.size + tiles.halo for tiles, _ in tilings)
    return replace(run.place, context_m=reach_px * resolution_m), geobox


def _planned(plan: Plan, names: Iterable[str]) -> tuple[str, ...]:
    """Return the bands that the plan's windows hold: what is only wished for may be left out of it
    (`plan_of`).
    """
    windows = {parse_band(name).when for name in plan.bands}
    return tuple(name for name in names if parse_band(name).when in (None, *windows))


def _swapped_would_hit(run: RunConfig, source: Source) -> bool:
    extent, event = source.extent(), run.event
    if extent is None or abs(event.longitude) > 90:
        return False
    return bool(extent.intersects(around(event.longitude, event.latitude, 1).polygon))


def look(run: RunConfig, source: Source, cards: Candidates, layout: RunLayout) -> Plan:
    """Return the plan of the pull, after making sure that there is room for it."""
    plan = plan_of(run, source, cards)
    if run.refresh.policy == "latest":
        plan = plan.newest_first()
    workspace.check_space(layout.folder, int(np.prod(plan.geobox.shape)))
    for scene in plan.scenes:
        logger.debug("%s scene %s, %s", scene.when, scene.id, scene.acquired.date())
    logger.info("%s", _counted(plan.scenes))
    return plan


def _counted(scenes: Iterable[Scene]) -> str:
    """Return how many scenes there are, and of which days; their ids are in the provenance."""
    scenes = tuple(scenes)
    parts = []
    for when in When:
        days = sorted(scene.acquired.date() for scene in scenes if scene.when is when)
        if days:
            span = f"{days[0]}" if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
            parts.append(f"{len(days)} {when} ({span})")
    return f"scenes: {', '.join(parts) or 'none'}"


def pull(
    run: RunConfig,
    event: EventFolder,
    source: Source,
    cards: Candidates,
    plan: Plan,
    layout: RunLayout,
    insist: bool = True,
) -> Stack:
    """Return the stack, assembled on disk or completed there; what the revision before saw clearly
    is kept.

    Raises:
        NothingNewError: no pixel is new against the revision before, and nobody insists on another
            one.
    """
    cluster, latest = engine.current(), event.latest()
    fill = by_workers(cluster, run.imagery) if cluster else fill_blocks
    with progress("pulling imagery") as advance, workspace.reading(latest):
        stack = assemble(
            source,
            plan,
            _planned(plan, stack_bands(run, source, cards)),
            layout.stack,
            progress=advance,
            fill=fill,
            before=intact(latest.stack) if latest else None,
            policy=run.refresh.policy,
        )
    carried = stack.attributes["carried"]
    if carried["blocks"]:
        clear = carried["blocks"] - carried["asked"]
        logger.info(
            "%s pixels are new, %d of %d blocks were clear already",
            carried["news_px"],
            clear,
            carried["blocks"],
        )
        if not carried["news_px"] and not insist:
            raise NothingNewError(
                "the new images show nothing that had not been seen", "Wait for a clear one."
            )
    journal.note(pixels=int(np.prod(stack.shape)), requests=plan.requests, megabytes=plan.megabytes)
    return stack


def choose(run: RunConfig, cards: Candidates, stack: Stack, layout: RunLayout) -> Choice:
    """Return which checkpoint maps this scene, and write the ranking beside the products.

    Raises:
        NothingToSeeError: out of domain, where the run refuses that.
    """
    with progress("choosing the checkpoint", "part") as advance:
        choice = choose_checkpoint(
            cards,
            stack,
            run.place,
            fill=run.model.fill_with_post_only,
            by=run.model.choose_by,
            advance=advance,
        )
    write_ranking(layout.selection, choice)
    for line in (choice.reason, *choice.warnings):
        logger.info("%s", line)
    if choice.out_of_domain and run.model.out_of_domain == "refuse":
        raise NothingToSeeError(
            f"no checkpoint is known to work on this scene ({choice.reason})",
            "Set model.out_of_domain: warn to map it all the same, or train a checkpoint "
            "nearer to it.",
        )
    return choice


def observe(
    run: RunConfig, cards: Candidates, choice: Choice, stack: Stack, layout: RunLayout
) -> Observed:
    """Return what the chosen checkpoint could see, per pixel.

    Raises:
        NothingToSeeError: nothing of the area.
    """
    card = cards.by_name(choice.card).card
    with progress("observing") as advance:
        observed = observe_stack(
            stack, card.bands, run.place, layout.observed, requires=card.requires, progress=advance
        )
    fillable = observed.counts[ObservationClass.NO_PRE] if choice.fallback else 0
    if observed.clear_px + fillable == 0:
        seen = ", ".join(
            f"{kind.name.lower()} {count:,}" for kind, count in observed.counts.items() if count
        )
        raise NothingToSeeError(
            f"nothing of the area was seen (pixels: {seen or 'none'})",
            "Give a longer --post (and --pre), or wait for a clear image.",
        )
    return observed


def map_probability(
    run: RunConfig,
    cards: Candidates,
    choice: Choice,
    stack: Stack,
    observed: Observed,
    layout: RunLayout,
) -> Rows:
    """Return landslide probability, `(y, x)` on disk; the fallback checkpoint fills what has no
    clear pre-event pixel.

    Where the choice names several members, it is their mean.
    """

    def by(found: Checkpoint, where: ObservationClass, path: Path) -> Rows:
        with progress(f"mapping with {found.card.name}", "tile") as advance:
            adaptation = adaptation_of(found, stack, run.place, layout)
            return map_card(found, run.model, stack, observed, where, path, advance, adaptation)

    probability: Rows = by(cards.by_name(choice.card), ObservationClass.CLEAR, layout.probability)
    if choice.members:
        beside = [
            by(
                cards.by_name(name),
                ObservationClass.CLEAR,
                layout.probability.with_name(f"probability-{name}.zarr"),
            )
            for name in choice.members[1:]
        ]
        probability = Mean((probability, *beside))
    if choice.fallback and observed.counts[ObservationClass.NO_PRE]:
        fill = by(cards.by_name(choice.fallback), ObservationClass.NO_PRE, layout.filled)
        probability = Filled(probability, fill)
    if run.model.subtract_pre:
        probability = difference.subtract(
            run, cards.by_name(choice.card), stack, observed, probability, layout
        )
    journal.note(pixels=int(np.prod(stack.shape)))
    return probability


def outline_landslides(
    run: RunConfig,
    cards: Candidates,
    choice: Choice,
    stack: Stack,
    observed: Observed,
    probability: Rows,
) -> Inventory:
    """Return the landslides and what the rules rejected."""
    stack = stack.of_area(run.place)
    mapped = stack.cut(probability)
    threshold, fallback = threshold_of_map.thresholds(run, cards, choice, stack, mapped)
    inventory = outline(
        mapped,
        stack.cut(observed.array),
        threshold,
        stack,
        run.clean,
        choice=choice,
        fallback_threshold=fallback,
        confidence=threshold_of_map.promise(run, cards, choice),
        fallback_confidence=threshold_of_map.promise(run, cards, choice, of_fallback=True),
    )
    journal.note(landslides=len(inventory.landslides), rejected=len(inventory.rejected))
    return inventory
