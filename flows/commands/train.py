"""`coslide train`: sample sets and a recipe to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from configs.errors import RequestError
from flows.cli import answer
from flows.commands.options import set_option


@click.command(short_help="Train a checkpoint from sample sets.")
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option(
    "--kit",
    metavar="NAME|FILE",
    help="Instead of CONFIG: checkpoints of several events from published inventories.",
)
@click.option(
    "--inventory",
    "inventories",
    multiple=True,
    metavar="NAME=FILE[:LAYER]",
    help="Of a kit: a downloaded inventory, by its name in `coslide inventories`; once for each.",
)
@click.option(
    "--inventories",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("inventories"),
    show_default=True,
    help="Of a kit: folder of downloaded inventories, NAME.gpkg and the like.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("runs/kits"),
    show_default=True,
    help="Of a kit: folder of its samples, study and report; it goes on there.",
)
@click.option("--dry-run", is_flag=True, help="Of a kit: only tell requests, hours and disk.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Of a kit: checkpoints trained at the same time.",
)
@click.option(
    "--out",
    default="cards",
    show_default=True,
    help="Folder that the checkpoint's folder is made in.",
)
@click.option(
    "--samples",
    multiple=True,
    help="Folder of a sample set, instead of the recipe's; once for each, in order.",
)
@click.option("--name", help="Name of the checkpoint, instead of the recipe's.")
@click.option("--seed", type=int, help="Seed, instead of the recipe's.")
@click.option(
    "--fold", type=int, help="Of samples split into bands: the test band; the next one validates."
)
@click.option("--quick", is_flag=True, help="The recipe's quick variant, which a laptop finishes.")
@click.option("--steps", type=int, help="Length in optimiser steps, instead of the recipe's.")
@click.option(
    "--start-from",
    metavar="CARD",
    help="Fine-tune this checkpoint: a name, or a checkpoint's folder.",
)
@click.option(
    "--share", type=float, help="Share of the training chips that are used, above 0 up to 1."
)
@click.option(
    "--tensorboard",
    is_flag=True,
    help="Write event files for TensorBoard too; needs coslide[tensorboard].",
)
@set_option(
    samples="samples",
    name="name",
    seed="seed",
    steps=("steps", "epochs"),
    start_from="start_from",
    share="share",
    fold="splits",
    tensorboard="tensorboard",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(config: Path | None, kit: str | None, as_json: bool, **options: Any) -> None:
    """Train the checkpoint that the recipe CONFIG describes (a YAML file, or the name of a shipped
    one such as `first`), or with --kit those of several events; an interrupted training goes on.
    """
    of_kit = {name: options.pop(name) for name in _OF_KIT}
    settings = options.pop("settings")
    if (config is None) == (kit is None):
        raise RequestError(
            "give a recipe or a kit, one of them", "`coslide train CONFIG.yaml` or --kit NAME."
        )
    if kit is not None:
        if beside := [name for name, value in options.items() if value and name != "out"]:
            raise RequestError(
                f"--{beside[0].replace('_', '-')} does not go with --kit",
                "Say it in the kit's own file.",
            )
        _kit(kit, Path(options["out"]), as_json, settings, **of_kit)
        return
    from flows.learning.train import Overrides, train

    out, samples = options.pop("out"), options.pop("samples")
    result = train(
        str(config),
        out,
        Overrides(
            samples=tuple(str(Path(s).resolve()) for s in samples), settings=settings, **options
        ),
    )
    answer(result, as_json, words(result))


_OF_KIT = ("inventories", "folder", "work", "dry_run", "workers")


def _kit(
    kit: str,
    out: Path,
    as_json: bool,
    settings: tuple[str, ...],
    *,
    inventories: tuple[str, ...],
    folder: Path,
    work: Path,
    dry_run: bool,
    workers: int,
) -> None:
    from flows.study import kit as kits

    given = {}
    for text in inventories:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise RequestError(
                f"--inventory: `{text}` is not NAME=FILE", "E.g. iburi-2018=downloads/iburi.gpkg."
            )
        given[name] = file
    result = kits.train_kit(
        kit,
        out,
        work,
        given=given,
        folder=folder,
        dry_run=dry_run,
        workers=workers,
        settings=settings,
    )
    answer(result, as_json, kits.words(result))


def words(result: dict[str, Any]) -> str:
    """Return what came out in words."""
    lines = [
        f"{result['checkpoint']}: threshold {result['threshold']:.2f}, validation F1 "
        f"{result['validation_f1'] or float('nan'):.3f}"
    ]
    for score in result["scores"]:
        values, kind = score["values"], " (simulated)" if score["simulated"] else ""
        lines.append(
            f"  {score['test_set']}{kind}: F1 {values.get('f1', float('nan')):.3f}, IoU "
            f"{values.get('iou', float('nan')):.3f}"
        )
    return "\n".join([*lines, f"  {result['folder']}", f"  {result['curves']}"])
