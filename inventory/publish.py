"""Everything a revision hands over, written into its folder: rasters, GeoPackage, map, report,
preview, STAC item.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from configs.clean import CleanConfig
from configs.files import format_of
from configs.product import AffectedConfig, ProductConfig
from configs.stack import Rows, Stack
from inventory.about import About
from inventory.exposure.affected import Affected, assess
from inventory.exposure.user_layers import UserLayers
from inventory.footprints import not_observed, scene_footprints
from inventory.formats.cog import DESCRIPTION, write_rasters
from inventory.formats.exports import Exported, write_exports
from inventory.formats.geopackage import inventory_metadata, write_geopackage
from inventory.formats.layers import (
    Layer,
    affected_area_layer,
    area_layer,
    changes_layer,
    event_layer,
    inventory_layers,
    scenes_layer,
    unseen_layer,
)
from inventory.formats.project import FILE as PROJECT
from inventory.formats.project import write_project
from inventory.formats.stac import write_stac_item
from inventory.mapsheet.write import write_maps
from inventory.outline.outline import Inventory
from inventory.report.pictures import write_preview
from inventory.report.report import Page, write_report
from inventory.revisions.reconcile import GEOPACKAGE, MASK, Earlier, Reconciled, measured, reconcile
from inventory.revisions.review import DISMISSED
from inventory.revisions.take_up import counted, people_decided, verdict_words, verdicts_of
from inventory.summary import Summary, count_seen, first_line, headline, summarise


@dataclass(frozen=True)
class Manner:
    """How a revision is published, beyond what was found: the parts of the run's file that concern
    its products.
    """

    earlier: Earlier | None = None
    """The revision before, with a review of it: ids, first_seen, status and outlines come from it,
    and `changes`.
    """
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Plain mapping that the report shows at its end."""
    product: ProductConfig = field(default_factory=ProductConfig)
    """Which further formats are written."""
    concern: AffectedConfig = field(default_factory=AffectedConfig)
    """The user's layers of what may be affected."""
    rules: CleanConfig = field(default_factory=CleanConfig)
    """The rules of cleaning, for what an analyst drew."""


_ORDINARY = Manner()


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
    """Return the inventory with columns of what may be affected, the account, and the run with what
    it warns of.
    """
    if not concern.asked:
        return inventory, None, about
    user_layers, elsewhere = UserLayers.open(concern).in_area(about.area)
    inventory, affected = assess(inventory, stack, user_layers, concern)
    warnings = dict.fromkeys((*about.warnings, *elsewhere, *affected.warnings))
    return inventory, affected, replace(about, warnings=tuple(warnings))


def _tags(about: About) -> dict[str, str]:
    beware = first_line(about.choice)
    return {
        "format": format_of("raster"),
        "event": about.event.name,
        "revision": str(about.revision),
        "checkpoint": about.choice.card,
        "simulated": "yes" if about.simulated else "no",
        "as_of": about.stamp,
        "out_of_domain": str(about.choice.out_of_domain).lower(),
        **({DESCRIPTION: beware[0]} if beware else {}),
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
    manner: Manner = _ORDINARY,
) -> Published:
    """Return what was written into a revision's folder; each file whole or not at all.

    Args:
        folder: the unfinished revision.
        inventory: from `outline`.
        probability: `(y, x)`, NaN where not observed.
        observation: `(y, x)`, `ObservationClass`, 255 outside the area.
        stack: for dates, slopes and the pictures.
        about: the run in the words of its products.
        manner: how, and beside which earlier revision.
    """
    products = write_rasters(folder, inventory, probability, observation, _tags(about))
    settled = _settled(folder, inventory, probability, observation, stack, about, manner)
    inventory, about, summary = settled.inventory, settled.about, settled.summary
    unseen = unseen_layer(not_observed(probability, observation, stack))
    scenes = scenes_layer(about, scene_footprints(about.scenes, stack, observation))
    area = area_layer(about, summary, inventory)
    layers = [
        *_layers(inventory, settled.reconciled),
        *(settled.affected.layers if settled.affected else ()),
        *(unseen, scenes, area, event_layer(about, summary, inventory)),
    ]
    products[GEOPACKAGE] = _geopackage(folder, settled, layers)
    spoken = (*headline(summary), *about.warnings)
    products[PROJECT] = write_project(
        folder / PROJECT, about.name, spoken, layers, about.windows.as_of
    )
    exported = Exported(
        about, inventory, summary, inventory_layers(inventory)[0], area, scenes, unseen
    )
    products |= write_exports(folder, manner.product.exports, exported)
    products |= write_maps(
        folder, about, inventory, summary, stack, unseen, manner.product.map, manner.concern
    )
    page = _page(settled, manner, tuple(sorted(products)), scenes.frame["used_km2"].tolist())
    report = folder / "report.html"
    products[report.name] = write_report(report, page, probability, observation, stack)
    preview = folder / "preview.png"
    beware = "".join(first_line(summary))
    products[preview.name] = write_preview(
        preview, inventory, probability, observation, stack, beware
    )
    words = (*headline(summary), *settled.further)
    return Published(about, inventory, summary, products, words)


@dataclass(frozen=True)
class _Settled:
    """What a revision counts and says, before it is written."""

    inventory: Inventory
    about: About
    summary: Summary
    reconciled: Reconciled
    affected: Affected | None

    @property
    def further(self) -> tuple[str, ...]:
        """Return what follows the headline: verdicts, and what changed."""
        return (*verdict_words(self.reconciled.inventory), *self.reconciled.words)


def _settled(
    folder: Path,
    inventory: Inventory,
    probability: Rows,
    observation: Rows,
    stack: Stack,
    about: About,
    manner: Manner,
) -> _Settled:
    """Return the inventory beside the revision before, with a review of it and what may be
    affected; what people decided is drawn into the mask as well.
    """
    kept, rules = stack.attributes.get("policy") == "keep", manner.rules
    reconciled = reconcile(
        inventory,
        manner.earlier,
        folder / MASK,
        rules,
        lambda one: measured(one, probability, observation, stack, rules),
        kept,
    )
    inventory = counted(reconciled.inventory)
    if people_decided(reconciled.inventory):
        write_rasters(folder, inventory, probability, observation, _tags(about), (MASK,))
        about = replace(about, accuracy=None)  # the errors measured are not those of people
    inventory, affected, about = _concerned(inventory, stack, about, manner.concern)
    totals = affected.totals if affected else None
    summary = summarise(inventory, count_seen(probability, observation), about, totals)
    return _Settled(inventory, about, summary, reconciled, affected)


def _page(
    settled: _Settled, manner: Manner, products: tuple[str, ...], used_km2: list[float]
) -> Page:
    """Return what the report shows, in the language of the map."""
    language = manner.product.map.language
    return Page(
        settled.about,
        settled.inventory,
        settled.summary,
        (*headline(settled.summary, language), *settled.further),
        manner.provenance,
        settled.affected,
        products,
        tuple(used_km2),
        language,
    )


def _layers(inventory: Inventory, reconciled: Reconciled) -> list[Layer]:
    """Return the layers of landslides (dismissed ones too) and of what changed."""
    layers = inventory_layers(_dismissed_too(inventory, reconciled.inventory))
    layers.append(affected_area_layer(inventory))
    if reconciled.matched is not None:
        layers.append(changes_layer(reconciled.matched.changes))
    return layers


def _geopackage(folder: Path, settled: _Settled, layers: list[Layer]) -> Path:
    """Return the GeoPackage of the layers, with what it says of itself."""
    about, found = settled.about, settled.reconciled
    metadata = {
        **inventory_metadata(settled.inventory),
        "words": headline(settled.summary),
        **settled.summary.as_plain(),
        "last_number": found.last_number,
        "as_of": about.stamp,
        "verdicts": verdicts_of(found.inventory),
    }
    return write_geopackage(folder / GEOPACKAGE, layers, metadata, about.stamp)


def write_item(folder: Path, published: Published) -> Path:
    """Return ``item.json``, written last: a STAC item with the checksum of every file in the folder
    but the log.
    """
    return write_stac_item(folder, published.about, published.inventory, published.summary)
