"""`coslide demo`: an unseen simulated earthquake, mapped end to end and scored against its
truth.
"""

from __future__ import annotations

from pathlib import Path

import click

import configs
from flows.cli import answer
from flows.commands.options import set_option

PRESET = Path(configs.__file__).parent / "presets" / "demo.yaml"
RADIUS_KM = 6.0


@click.command(short_help="Map an unseen simulated earthquake and score it against its truth.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Output folder.",
)
@click.option(
    "--prefect",
    is_flag=True,
    help="As a tracked Prefect flow run (also where PREFECT_API_URL is set).",
)
@set_option(out="out")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(out: Path, prefect: bool, settings: tuple[str, ...], as_json: bool) -> None:
    """Map a simulated earthquake that no checkpoint has seen; needs no account, no network and no
    GPU.
    """
    from configs.files import read_yaml
    from configs.overrides import overlaid
    from flows.commands.respond import tracked_or_plain
    from flows.evaluate import evaluate, words
    from flows.resolve import make_request, resolve
    from flows.respond import headline

    preset = overlaid(read_yaml(PRESET, "run") | {"out": str(out)}, settings)
    run = resolve(make_request(radius_km=RADIUS_KM), preset)
    summary = tracked_or_plain(prefect)(run)
    folder = str(Path(next(iter(summary["products"].values()))).parent)
    scores = evaluate([folder], "simulated")
    content = {**summary, "evaluation": scores["evaluations"][0]}
    answer(
        content,
        as_json,
        f"{headline(summary)}\n{words(scores)}\nThis Earth is simulated: nothing here says "
        "how well a real event is mapped.",
    )
