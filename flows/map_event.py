"""The story: one line, one room. Read this first.

Every room reads its inputs from disk and writes its product there, so a killed run goes on where it was (design 2.1).
"""

from __future__ import annotations

from configs.layout import EventFolder, RunLayout
from configs.run import RunConfig
from flows import rooms
from flows.publishing import Finished, publish
from flows.step import Step, plain


def map_event(
    run: RunConfig, event: EventFolder, layout: RunLayout, step: Step = plain, insist: bool = True
) -> Finished:
    """Return the published revision of an event's inventory.

    Args:
        run: everything the run depends on.
        event: where its revisions live.
        layout: its unfinished work; becomes the revision.
        step: how a room is called: `plain`, or tracked by Prefect.
        insist: make a revision even where no pixel is new against the one before.
    """
    source = step(rooms.open_source, name="source")(run)
    cards = step(rooms.candidates, name="cards")(run, source)
    plan = step(rooms.look, name="look")(run, source, cards, layout)
    stack = step(rooms.pull, name="pull")(run, event, source, cards, plan, layout, insist)
    choice = step(rooms.choose, name="choose")(run, cards, stack, layout)
    observed = step(rooms.observe, name="observe")(run, cards, choice, stack, layout)
    chance = step(rooms.map_probability, name="map")(run, cards, choice, stack, observed, layout)
    slides = step(rooms.outline_landslides, name="outline")(run, cards, choice, stack, observed, chance)
    return step(publish, name="publish")(
        run, event, layout, source, cards, plan, choice, stack, observed, chance, slides
    )
