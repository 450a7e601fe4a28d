"""What colour alone maps, beside every network's map of a real scene: the index over the same
pixels, by the same rules, and how much of it both agree on.

On events that no checkpoint has seen the index is as good as the networks (docs/results.md#real):
where the two differ much, somebody has to look.
"""

from __future__ import annotations

import numpy as np

from configs.errors import NothingToSeeError
from configs.layout import RunLayout
from configs.records import Choice, ObservationClass
from configs.run import RunConfig
from configs.stack import Stack
from flows.probability import adaptation_of, map_card
from flows.run import journal
from flows.run.journal import progress
from gee.observation import Observed
from inventory.about import Beside
from inventory.formats.cog import burnt
from inventory.outline.outline import Inventory, outline
from models import registry
from models.architectures import INDEX
from models.registry import Candidates

_ROWS = 512


def colour_alone(
    run: RunConfig,
    cards: Candidates,
    choice: Choice,
    stack: Stack,
    observed: Observed,
    inventory: Inventory,
    layout: RunLayout,
) -> Beside | None:
    """Return what the index maps and shares with the inventory; None where it has nothing to say:
    on the simulated Earth, from another sensor or pixel size, without the three colours, or where
    it is the map itself.
    """
    found = next((one for one in registry.find() if one.card.name == INDEX), None)
    if found is None or choice.card == INDEX or run.source.kind == "simulated":
        return None
    kind = (found.card.sensor, found.card.resolution_m)
    if kind != (cards.sensor, cards.resolution_m):
        return None
    if not set(found.card.bands) <= set(stack.band_names):
        return None
    path = layout.probability.with_name(f"probability-{INDEX}.zarr")
    try:
        adaptation = adaptation_of(found, stack, run.place, layout)
    except NothingToSeeError:
        return None
    with progress("mapping with the index", "tile") as advance:
        where = ObservationClass.CLEAR
        mapped = map_card(found, run.model, stack, observed, where, path, advance, adaptation)
    inside = stack.of_area(run.place)
    threshold = found.card.threshold
    index = outline(inside.cut(mapped), inside.cut(observed.array), threshold, inside, run.clean)
    journal.note(landslides=len(index.landslides))
    return Beside(
        count=len(index.landslides),
        km2=float(index.landslides["area_m2"].sum()) / 1e6,
        shared_km2=_shared_km2(index, inventory),
    )


def _shared_km2(index: Inventory, inventory: Inventory) -> float:
    """Return the ground that both call landslide."""
    height = int(inventory.geobox.shape[0])
    shared = 0
    for first in range(0, height, _ROWS):
        rows = slice(first, min(first + _ROWS, height))
        ours, theirs = (burnt(one.landslides, inventory.geobox, rows) for one in (inventory, index))
        shared += int(np.count_nonzero(ours & theirs))
    return shared * abs(inventory.geobox.affine.determinant) / 1e6
