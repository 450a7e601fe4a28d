"""The story: one line, one step. Read this first.

Every step reads its inputs from disk and writes its product there, so a killed run goes on where it
was.
"""

from __future__ import annotations

from configs.layout import EventFolder, RunLayout
from configs.run import RunConfig
from flows import steps
from flows.events.state import Finished
from flows.publishing import Mapped, colour_alone, publish
from flows.run.journal import Step, plain


def map_event(
    run: RunConfig, event: EventFolder, layout: RunLayout, step: Step = plain, insist: bool = True
) -> Finished:
    """Return the published revision of an event's inventory.

    Args:
        run: everything the run depends on.
        event: where its revisions live.
        layout: its unfinished work; becomes the revision.
        step: how a step is called: `plain`, or tracked by Prefect.
        insist: make a revision even where no pixel is new against the one before.
    """
    source = step(steps.open_source, name="source")(run)
    cards = step(steps.candidates, name="cards")(run, source)
    plan = step(steps.look, name="look")(run, source, cards, layout)
    cards = steps.able(cards, plan)
    stack = step(steps.pull, name="pull")(run, event, source, cards, plan, layout, insist)
    choice = step(steps.choose, name="choose")(run, cards, stack, layout)
    observed = step(steps.observe, name="observe")(run, cards, choice, stack, layout)
    probability = step(steps.map_probability, name="map")(
        run, cards, choice, stack, observed, layout
    )
    inventory = step(steps.outline_landslides, name="outline")(
        run, cards, choice, stack, observed, probability
    )
    beside = step(colour_alone, name="index")(
        run, cards, choice, stack, observed, inventory, layout
    )
    mapped = Mapped(plan, choice, stack, observed, probability, inventory, beside)
    return step(publish, name="publish")(run, event, layout, source, cards, mapped)
