"""Everything a revision hands over, written into its folder: rasters, GeoPackage, report, preview, STAC item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from configs.clean import CleanConfig
from configs.files import format_of
from configs.product import AffectedConfig, ProductConfig
from configs.stack import Rows, Stack
from inventory.about import About
from inventory.affected import Affected, assess
from inventory.cog import write_rasters
from inventory.exports import Exported, write_exports
from inventory.footprints import not_observed, scene_footprints
from inventory.geopackage import inventory_metadata, write_geopackage
from inventory.given import Given
from inventory.imposed import measured
from inventory.layers import area_layer, changes_layer, event_layer, inventory_layers, scenes_layer, unseen_layer
from inventory.outline import Inventory
from inventory.preview import write_preview
from inventory.report import Page, write_report
from inventory.review import DISMISSED, counted, people_decided, verdict_words, verdicts_of
from inventory.since import GEOPACKAGE, MASK, Earlier, since
from inventory.stac import write_stac_item
from inventory.summary import Summary, count_seen, headline, summarise


@dataclass(frozen=True)
class Published:
    """What was written, and its headline."""

    about: About
    inventory: Inventory
    """With the ids it was published under."""
    summary: Summary
    products: dict[str, Path]
    """File by its name."""
    words: tuple[str, ...]
    """The headline, and the changes since the revision before, in sentences."""


def _concerned(
    inventory: Inventory, stack: Stack, about: About, concern: AffectedConfig
) -> tuple[Inventory, Affected | None, About]:
    """Return the inventory with columns of what may be affected, the account, and the run with what it warns of."""
    if not concern.asked:
        return inventory, None, about
    given, elsewhere = Given.open(concern).in_area(about.area)
    inventory, affected = assess(inventory, stack, given, concern)
    warnings = dict.fromkeys((*about.warnings, *elsewhere, *affected.warnings))
    return inventory, affected, replace(about, warnings=tuple(warnings))


def _tags(about: About) -> dict[str, str]:
    return {
        "format": format_of("raster"),
        "event": about.event.name,
        "revision": str(about.revision),
        "checkpoint": about.choice.card,
        "simulated": "yes" if about.simulated else "no",
        "as_of": about.stamp,
    }


def _dismissed_too(inventory: Inventory, found: Inventory) -> Inventory:
    """Return what was counted together with what was dismissed, in the order it was found in."""
    dismissed = found.landslides[found.landslides["status"] == DISMISSED]
    if dismissed.empty:
        return inventory
    frame = pd.concat([inventory.landslides, dismissed], ignore_index=True)
    order = {identity: at for at, identity in enumerate(found.landslides["id"])}
    frame = frame.sort_values("id", key=lambda ids: ids.map(order), ignore_index=True)
    return replace(inventory, landslides=frame)


def write_products(
    folder: Path,
    inventory: Inventory,
    probability: Rows,
    observation: Rows,
    stack: Stack,
    about: About,
    *,
    earlier: Earlier | None = None,
    provenance: Mapping[str, Any] | None = None,
    product: ProductConfig | None = None,
    concern: AffectedConfig | None = None,
    rules: CleanConfig | None = None,
) -> Published:
    """Return what was written into a revision's folder; each file whole or not at all.

    Args:
        folder: the unfinished revision.
        inventory: from `outline`.
        probability: `(y, x)`, NaN where not observed.
        observation: `(y, x)`, `ObservationClass`, 255 outside the area.
        stack: for dates, slopes and the pictures.
        about: the run in the words of its products.
        earlier: the revision before, with a review of it: ids, first_seen, status and outlines come from it, and `changes`.
        provenance: plain mapping that the report shows at its end.
        product: which further formats are written; the default ones where None.
        concern: the user's layers of what may be affected; none where None.
        rules: the rules of cleaning, for what an analyst drew; the default ones where None.
    """
    products = write_rasters(folder, inventory, probability, observation, _tags(about))
    rules = rules or CleanConfig()
    told = since(
        inventory,
        earlier,
        folder / MASK,
        rules,
        lambda one: measured(one, probability, observation, stack, rules),
        stack.attributes.get("policy") == "keep",
    )
    found, inventory = told.inventory, counted(told.inventory)
    if people_decided(found):  # that is in the mask too
        write_rasters(folder, inventory, probability, observation, _tags(about), (MASK,))
    inventory, affected, about = _concerned(inventory, stack, about, concern or AffectedConfig())
    totals = affected.totals if affected else None
    summary = summarise(inventory, count_seen(probability, observation), about, totals)
    unseen = unseen_layer(not_observed(probability, observation, stack))
    scenes = scenes_layer(about, scene_footprints(about.scenes, stack, observation))
    area = area_layer(about, summary, inventory)
    exported = Exported(about, inventory, summary, inventory_layers(inventory)[0], area, scenes, unseen)
    layers = inventory_layers(_dismissed_too(inventory, found))
    if told.matched is not None:
        layers.append(changes_layer(told.matched.changes))
    layers += [*(affected.layers if affected else ()), unseen, scenes, area, event_layer(about, summary, inventory)]
    metadata = {
        **inventory_metadata(inventory),
        **summary.as_plain(),
        "last_number": told.last_number,
        "as_of": about.stamp,
    }
    metadata["verdicts"] = verdicts_of(found)
    products[GEOPACKAGE] = write_geopackage(folder / GEOPACKAGE, layers, metadata, about.stamp)
    words = [*headline(summary), *verdict_words(found), *told.words]
    products |= write_exports(folder, (product or ProductConfig()).exports, exported)
    used_km2 = tuple(scenes.frame["used_km2"].tolist())
    page = Page(about, inventory, summary, tuple(words), provenance or {}, affected, tuple(sorted(products)), used_km2)
    products["report.html"] = write_report(folder / "report.html", page, probability, observation, stack)
    products["preview.png"] = write_preview(folder / "preview.png", inventory, probability, observation, stack)
    return Published(about, inventory, summary, products, tuple(words))


def write_item(folder: Path, published: Published) -> Path:
    """Return ``item.json``, written last: a STAC item with the checksum of every file in the folder but the log."""
    return write_stac_item(folder, published.about, published.inventory, published.summary)
