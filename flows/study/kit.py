"""From published inventories to checkpoints of several events: samples of every inventory that is
there, mixtures, cards, and the study that tells what they are worth on an event unseen.

Nothing is done here that `samples`, `train` and `study` do not do; what is done stays, and the same
command goes on.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from configs.errors import MachineError, RequestError
from configs.files import format_of, replacing, write_text
from configs.kit import KitConfig, StandIn, read_kit
from configs.published import PublishedInventory, catalogue, published, value_of
from flows.learning.inventories import Checked, check, default_place
from flows.learning.samples import make_samples
from flows.study.estimate import Estimate, estimate
from flows.study.study import study

logger = logging.getLogger(__name__)

_EXTENT = ".extent"
"""``NAME.extent.gpkg`` beside ``NAME.gpkg`` is where the inventory's authors looked."""
_HIDDEN = ".hidden"
"""``NAME.hidden.gpkg`` is where they could not see: clouds, gaps of their images."""
_MARGIN_DEG = 0.01
_KM_PER_DEG = 111.2


@dataclass(frozen=True)
class Kit:
    """Where a kit's work lies, and what takes part in it."""

    config: KitConfig
    work: Path
    samplings: Mapping[str, dict[str, Any]]
    """Inventory -> sampling configuration."""
    simulated: bool
    left_out: Mapping[str, str]
    """Inventory -> why it has no part."""

    def samples(self, name: str) -> Path:
        """Return the folder of an inventory's sample set."""
        return self.work / "samples" / name


def train_kit(
    name: str,
    cards: Path,
    work: Path,
    *,
    given: Mapping[str, str],
    folder: Path,
    dry_run: bool = False,
    workers: int = 1,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what a kit made, or with `dry_run` what it would take.

    An interrupted kit goes on: finished sample sets, checkpoints and answers are kept in `work`.

    Args:
        name: a kit of ``configs/kits``, or a YAML file.
        cards: folder that the checkpoints of the first seed are put into.
        work: folder for samples, study and report; the kit makes its own inside.
        given: inventory -> ``FILE[:LAYER]``.
        folder: where else inventories are looked for, ``NAME.gpkg`` and the like.
        dry_run: only estimate.
        workers: checkpoints trained at the same time.
        settings: ``section.key=value`` over the kit's file.

    Raises:
        RequestError: a kit or an inventory that cannot be used, or fewer than two of them.
        MachineError: the disk has not the room.
    """
    config = read_kit(name, settings)
    kit = _gathered(config, work / config.name, given, folder)
    _write_samplings(kit)
    ahead = estimate(
        config,
        config.study(list(kit.samplings), simulated=kit.simulated),
        {one: (_recipe(kit, one), kit.samples(one)) for one in kit.samplings},
    )
    told = {
        "status": "ok",
        "kit": config.name,
        "estimate": ahead.as_plain(),
        "left_out": dict(kit.left_out),
    }
    if dry_run:
        return told
    for line in ahead.lines():
        logger.info("%s", line)
    _check_disk(kit, ahead)
    for one in kit.samplings:
        if not kit.samples(one).exists():
            make_samples(_recipe(kit, one), kit.samples(one))
    return {**told, **_studied(kit, cards, workers)}


def _gathered(config: KitConfig, work: Path, given: Mapping[str, str], folder: Path) -> Kit:
    """Return the kit with every inventory that is there, checked.

    Raises:
        RequestError: one that cannot be used, or fewer than two.
    """
    samplings: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name, stand_in in config.stand_ins.items():
        samplings[name] = _simulated(config, published(name), stand_in)
    for name in given:
        published(name)
    for name, inventory in catalogue().items():
        found = given.get(name) or default_place(folder, name)
        if found is None or name in samplings:
            continue
        if reason := _unseen(config, inventory):
            left_out[name] = reason
            logger.warning("%s is left out: %s", name, reason)
            continue
        samplings[name] = sampling_of(config, check(str(found), inventory), folder)
    simulated = [
        name in config.stand_ins or config.source.kind == "simulated" for name in samplings
    ]
    if len(samplings) < 2:
        raise RequestError(
            f"kit `{config.name}`: {len(samplings)} inventories are there, and a checkpoint of "
            "several events needs two",
            f"Give --inventory NAME=FILE, or put NAME.gpkg into {folder}; "
            "`coslide inventories` lists what is published.",
        )
    if any(simulated) and not all(simulated):
        raise RequestError(
            f"kit `{config.name}` mixes simulated events with real inventories",
            "Take its `stand_ins` out, or the files.",
        )
    return Kit(config, work, samplings, all(simulated), left_out)


def _unseen(config: KitConfig, inventory: PublishedInventory) -> str:
    """Return why the kit's source cannot show an event; empty where it can."""
    source = config.source
    sensors = {"earthengine": source.earthengine.sensor, "stac": "sentinel-2"}
    if inventory.windows.sensor != sensors.get(source.kind) == "sentinel-2":
        return f"no Sentinel-2 image from before it ({inventory.windows.sensor})"
    return ""


def _sampling(config: KitConfig, inventory: PublishedInventory) -> dict[str, Any]:
    """Return what every sampling configuration of the kit says."""
    windows, event = inventory.windows, inventory.earthquake.model_dump(mode="json")
    post = windows.post.value
    return {
        "format": format_of("sampling"),
        "name": inventory.name,
        "title": inventory.title,
        "event": inventory.title,
        "run": {
            "event": {key: value for key, value in event.items() if value not in (None, "")},
            "windows": {
                "pre": str(windows.pre.value),
                "post": str(post),
                "as_of": (post.last + timedelta(days=1)).isoformat(),
            },
            "source": config.source.model_dump(mode="json", exclude_defaults=True)
            | {"kind": config.source.kind},
        },
        "bands": list(config.bands),
        "split": config.split.model_dump(mode="json"),
        "chip_px": config.chip_px,
        "stride_px": config.stride_px,
        "positive_share": config.positive_share,
    }


def _simulated(
    config: KitConfig, inventory: PublishedInventory, stand_in: StandIn
) -> dict[str, Any]:
    """Return the sampling configuration of a simulated event in the place of an inventory."""
    content = _sampling(config, inventory)
    source = {"kind": "simulated", "landscape": stand_in.landscape, "seed": stand_in.seed}
    return {
        **content,
        "title": f"simulated {stand_in.landscape} in the place of {inventory.title}",
        "event": f"{stand_in.landscape} for {inventory.title}",
        "run": {**content["run"], "source": source},
        "radius_km": stand_in.radius_km,
        "truth": {"kind": "simulated"},
        "licence": "Apache-2.0",
    }


def sampling_of(config: KitConfig, found: Checked, folder: Path) -> dict[str, Any]:
    """Return the sampling configuration of a downloaded inventory."""
    inventory, layer = found.inventory, found.layer
    content = _sampling(config, inventory)
    truth: dict[str, Any] = {
        "kind": "polygons",
        "slides": [{"file": str(layer.file.resolve()), "layer": layer.name, "where": layer.where}],
    }
    if extent := default_place(folder, f"{inventory.name}{_EXTENT}"):
        truth["inside"] = {"file": str(extent.resolve())}
    if hidden := default_place(folder, f"{inventory.name}{_HIDDEN}"):
        truth["ignore"] = [{"file": str(hidden.resolve())}]
    licence = value_of(inventory.publication.licence)
    return {
        **content,
        "run": {**content["run"], "area": area_of(found, config.largest_km2)},
        "truth": truth,
        "licence": licence or "unknown",
        "attribution": [inventory.publication.citation.value],
    }


def area_of(found: Checked, largest_km2: float) -> str:
    """Return ``W,S,E,N``, degrees, of an inventory's landslides with a margin; where that is larger
    than `largest_km2`, no more than a square of that area about their middle.
    """
    west, south, east, north = found.bounds
    longitude, latitude = found.middle
    half_lat = math.sqrt(largest_km2) / 2 / _KM_PER_DEG
    half_lon = half_lat / math.cos(math.radians(latitude))
    wide = (east - west + 2 * _MARGIN_DEG) * math.cos(math.radians(latitude)) * _KM_PER_DEG
    if wide * (north - south + 2 * _MARGIN_DEG) * _KM_PER_DEG > largest_km2:
        west, east = max(west, longitude - half_lon), min(east, longitude + half_lon)
        south, north = max(south, latitude - half_lat), min(north, latitude + half_lat)
    else:
        west, east = west - _MARGIN_DEG, east + _MARGIN_DEG
        south, north = south - _MARGIN_DEG, north + _MARGIN_DEG
    return f"{west:.5f},{south:.5f},{east:.5f},{north:.5f}"


def _recipe(kit: Kit, name: str) -> Path:
    return kit.samples(name).with_suffix(".yaml")


def _write_samplings(kit: Kit) -> None:
    """Write the sampling configurations beside their sample sets.

    Raises:
        RequestError: a sample set is there that another configuration made.
    """
    for name, content in kit.samplings.items():
        path = _recipe(kit, name)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        if kit.samples(name).exists() and (
            not path.is_file() or path.read_text(encoding="utf-8") != text
        ):
            raise RequestError(
                f"{kit.samples(name)} was cut by another kit or from another inventory",
                "Remove that folder, or give another --work.",
            )
        write_text(path, text)


def _check_disk(kit: Kit, ahead: Estimate) -> None:
    free = shutil.disk_usage(kit.work).free
    if ahead.disk_bytes > free:
        raise MachineError(
            f"the kit needs about {ahead.disk_bytes / 1e9:.1f} GB, and {kit.work} has "
            f"{free / 1e9:.1f} GB free",
            "Free some, give another --work, or lower `largest_km2`.",
        )


def _studied(kit: Kit, cards: Path, workers: int) -> dict[str, Any]:
    """Return what the study of the sample sets found, its checkpoints put into `cards`."""
    config = kit.config.study(list(kit.samplings), simulated=kit.simulated)
    recipe = kit.work / "study.yaml"
    content = config.model_dump(mode="json", exclude_defaults=True)
    for made in content["compositions"]:  # shares or counts, one of them
        for empty in [key for key in ("shares", "counts") if not made.get(key, True)]:
            del made[empty]
    write_text(
        recipe,
        yaml.safe_dump({"format": config.format, **content}, sort_keys=False, allow_unicode=True),
    )
    selection = kit.work / "selection.yaml"
    found = study(
        str(recipe),
        kit.work / "study",
        docs=kit.work / "report",
        selection=selection,
        workers=workers,
    )
    trained = kit.work / "study" / config.name / "cards"
    made = [f"{one.name}-s{config.seeds[0]}" for one in config.compositions]
    for name in made:
        _put(trained / name, cards / name)
    write_text(kit.work / "kit.json", json.dumps(found, indent=1, default=str))
    return {
        "checkpoints": made,
        "folder": str(cards),
        "selection": str(selection),
        "report": found["report"],
        "study": found,
    }


def _put(trained: Path, place: Path) -> None:
    """Copy a checkpoint to its place; one that is there already must be the same.

    Raises:
        RequestError: it is another one.
    """
    if place.exists():
        if (place / "card.yaml").read_bytes() == (trained / "card.yaml").read_bytes():
            return
        raise RequestError(
            f"there is already another checkpoint at {place}", "Remove it, or give another --out."
        )
    with replacing(place) as temporary:
        shutil.copytree(trained, temporary)


def words(result: Mapping[str, Any]) -> str:
    """Return what a kit made, or would take, in words."""
    lines = [*result["estimate"]["words"]]
    lines += [f"  left out: {name}: {reason}" for name, reason in result["left_out"].items()]
    if "checkpoints" in result:
        lines.append(f"{len(result['checkpoints'])} checkpoints in {result['folder']}")
        lines += [f"  {name}" for name in result["checkpoints"]]
        lines.append(f"  what they are worth: {result['report']}")
        lines.append(f"  what the choice among them goes by: {result['selection']}")
    return "\n".join(lines)
