"""`coslide cards`: what checkpoints there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.cli import answer


@click.command(short_help="List the checkpoints there are.")
@click.option(
    "--card-dir",
    "card_dirs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A further folder with checkpoints of your own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(card_dirs: tuple[Path, ...], as_json: bool) -> None:
    """List every checkpoint: its bands, training domains, threshold and measured scores."""
    from models import registry

    rows = [_row(folder, card) for folder, card in registry.find(card_dirs)]
    words = "\n".join(
        f"{row['name']:<22} {row['kind']:<10} {row['architecture']:<12} "
        f"{len(row['bands']):>2} bands  "
        f"validation F1 {row['validation_f1'] or float('nan'):.3f}  {row['title']}"
        for row in rows
    )
    answer({"status": "ok", "cards": rows}, as_json, words or "no checkpoint found")


def _row(folder: Path, card: Any) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "kind": "simulated" if card.simulated else "real",
        "architecture": card.architecture,
        "bands": list(card.bands),
        "optional": list(card.optional),
        "level": str(card.level),
        "resolution_m": card.resolution_m,
        "threshold": card.threshold,
        "validation_f1": card.validation_f1,
        "domains": {domain.name: domain.samples for domain in card.domains},
        "folder": str(folder),
    }
