"""What the revision before, and the analysts since, make of a new inventory: ids, verdicts, outlines, changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import rasterio

from configs.clean import CleanConfig
from configs.layout import REVISION
from inventory.geopackage import read_inventory, read_metadata
from inventory.imposed import impose
from inventory.outline import Inventory
from inventory.review import Review, reviewed
from inventory.revisions import Matched, in_words, last_number, match_revisions

GEOPACKAGE = "landslides.gpkg"
MASK = "landslides.tif"


@dataclass(frozen=True)
class Earlier:
    """The revision before, and an analyst's review of it or of one before it."""

    folder: Path
    review: Review | None = None
    reviewed_folder: Path | None = None
    """Folder of the revision that was reviewed; `folder` where None."""

    @property
    def number(self) -> int:
        """Return the number of the revision before, 0 for a folder of another name."""
        match = REVISION.match(self.folder.name)
        return int(match[1]) if match else 0


@dataclass(frozen=True)
class Since:
    """An inventory under the ids of its event."""

    inventory: Inventory
    last_number: int
    matched: Matched | None = None
    words: tuple[str, ...] = ()
    """The changes since the revision before."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What an analyst has done, by id."""


def since(
    inventory: Inventory,
    earlier: Earlier | None,
    after: Path,
    rules: CleanConfig,
    measure: Callable[[Inventory], Inventory],
    kept: bool = False,
) -> Since:
    """Return the inventory under the ids of the event, people's decisions in it, and what changed.

    Args:
        inventory: this revision as the machine sees it.
        earlier: the revision before; None for the first.
        after: ``landslides.tif`` of this revision: what it observed.
        rules: for the smallest landslide.
        measure: fills in the fields of what an analyst drew from this revision's rasters.
        kept: whether pixels clear in the revision before have kept their image.
    """
    if earlier is None:
        return Since(inventory, last_number(inventory))
    package = earlier.folder / GEOPACKAGE
    old = read_inventory(package)
    last, notes = last_number(old, int(read_metadata(package).get("last_number", 0))), dict[str, str]()
    if earlier.review is not None:
        with rasterio.open((earlier.reviewed_folder or earlier.folder) / MASK, driver="GTiff") as file:
            told = reviewed(old, earlier.review, file.read(1), last)
        old, notes, last = told.inventory, told.notes, told.last_number
    imposed = measure(impose(inventory, old, rules))
    largest_first = imposed.landslides.sort_values("area_m2", ascending=False, kind="stable", ignore_index=True)
    imposed = replace(imposed, landslides=largest_first)
    matched = match_revisions(imposed, old, earlier.folder / MASK, after, last, notes, kept)
    words = (in_words(matched, earlier.number),) if earlier.number else ()
    return Since(matched.inventory, matched.last_number, matched, words, notes)
