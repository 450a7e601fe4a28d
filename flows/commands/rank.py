"""`coslide rank`: the table of the choice alone."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import answer


@click.command(short_help="Rank the checkpoints for a scene.")
@click.argument("revision", type=click.Path(path_type=Path))
@click.option(
    "--card-dir",
    "card_dirs",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Further folder of checkpoints; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(revision: Path, card_dirs: tuple[str, ...], as_json: bool) -> None:
    """Rank every checkpoint that fits the scene of REVISION (a folder like runs/EVENT/r001 whose
    stack was kept).
    """
    from configs.layout import RunLayout
    from configs.run import read_run
    from configs.stack import Stack
    from flows.steps import open_source
    from models import registry
    from models.selection import choose

    layout = RunLayout(revision)
    run = read_run(layout.config)
    folders = (*run.model.card_dirs, *card_dirs)
    stack = Stack(layout.stack)
    every = registry.candidates("auto", open_source(run).offer(), folders)
    cards, left_out = registry.read_from(every, stack.band_names)
    choice = choose.choose(cards, stack, run.place)
    rows = [
        {
            "card": one.card,
            "mmd": one.distance,
            "standard_error": one.standard_error,
            "expected_f1": one.expected_f1,
            "advantage": one.advantage,
            "signals": one.signals,
            "per_band": one.per_band,
            "note": one.note,
        }
        for one in choice.ranking
    ]
    lines = [
        f"{one.card:<20} MMD {one.distance:.3f} ± {one.standard_error:.3f}  "
        + (f"elsewhere {one.advantage:+.2f}  " if one.advantage is not None else "")
        + (f"F1 {one.expected_f1:.2f} expected  " if one.expected_f1 is not None else "")
        + one.note
        for one in choice.ranking
    ]
    answer(
        {
            "status": "ok",
            "chosen": choice.card,
            "reason": choice.reason,
            "out_of_domain": choice.out_of_domain,
            "expected_f1": choice.expected_f1,
            "ranking": rows,
            "left_out": [{"card": name, "needs": list(bands)} for name, bands in left_out.items()],
        },
        as_json,
        "\n".join([*lines, *_words(left_out), choice.reason, *choice.warnings]),
    )


def _words(left_out: dict[str, tuple[str, ...]]) -> list[str]:
    return [
        f"{name:<20} left out: the run's stack has no {', '.join(bands)}"
        for name, bands in left_out.items()
    ]
