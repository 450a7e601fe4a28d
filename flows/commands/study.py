"""`coslide study`: the leave-one-domain-out study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.cli import answer
from flows.commands.options import set_option


@click.command(short_help="Find out which checkpoint to trust where: leave one domain out.")
@click.argument("name", default="standard")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/study"),
    show_default=True,
    help="Work folder.",
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Folder that study.md and its figures go to, instead of OUT/NAME/report.",
)
@click.option(
    "--selection",
    type=click.Path(path_type=Path),
    help="Write what the choice goes by to this file.",
)
@click.option(
    "--so-far", is_flag=True, help="Train nothing; say what the checkpoints that are done say."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Cards that are trained at the same time, each with its share of the cores.",
)
@set_option()
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(
    name: str,
    out: Path,
    docs: Path | None,
    selection: Path | None,
    so_far: bool,
    workers: int,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train mixtures of domains, map domains they have not seen, and measure what choosing among
    them is worth.

    NAME is a preset (quick, standard, full) or a YAML file of your own domains. An interrupted
    study goes on.
    """
    from flows.study.study import study

    found = study(
        name, out, docs=docs, selection=selection, so_far=so_far, workers=workers, settings=settings
    )
    answer(found, as_json, words(found))


def words(found: dict[str, Any]) -> str:
    """Return what came out in words."""
    low, high = found["mmd_spearman_interval"]
    less, most = found["elsewhere_less_mmd_interval"]
    return "\n".join(
        [
            f"study `{found['study']}`: {found['cards']} checkpoints, {found['scenes']} scenes",
            f"  joint MMD: Spearman on unseen domains {found['mmd_spearman']:.2f} "
            f"({low:.2f} to {high:.2f}), F1 chosen {found['mmd_f1']:.3f}, "
            f"regret {found['mmd_regret']:.3f}",
            f"  record elsewhere: F1 chosen {found['elsewhere_f1']:.3f}, "
            f"regret {found['elsewhere_regret']:.3f}; less joint MMD "
            f"{found['elsewhere_less_mmd']:+.3f} ({less:+.3f} to {most:+.3f})",
            f"  best {found['best_card_f1']:.3f}, average {found['average_card_f1']:.3f}",
            f"  {found['report']}",
        ]
    )
