"""`coslide export`: a checkpoint as ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import answer


@click.command(short_help="Write a checkpoint as ONNX for other programs.")
@click.argument("checkpoint", metavar="NAME|DIR")
@click.option(
    "--card-dir", "card_dirs", multiple=True, help="Further folder of checkpoints; repeatable."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.onnx", help="[default: NAME.onnx]"
)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(checkpoint: str, card_dirs: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Write a checkpoint as one ONNX file: physical values in, landslide probability out.

    Normalisation and calibration are part of it; bands, threshold and how it is to be used stand in
    its metadata. It is compared with the checkpoint before it is kept. Needs coslide[onnx].
    """
    from flows.learning.evaluate_cards import card_named
    from models.inference.export import write_onnx

    found = card_named(checkpoint, card_dirs)
    path = out or Path(f"{found.card.name}.onnx")
    written = write_onnx(found.load("cpu", "float32"), path)
    facts = written["metadata"]
    words = (
        f"{path}: {facts['bands']} -> probability, threshold {facts['threshold']}, "
        f"{facts['size']}; differs by at most {written['difference']:.1g}"
    )
    answer({"status": "ok", "checkpoint": found.card.name, **written}, as_json, words)
