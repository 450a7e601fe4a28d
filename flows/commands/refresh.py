"""`coslide refresh`: the same event again with today's imagery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli import answer
from flows.commands.options import set_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from configs.run import RunConfig
    from flows.run.journal import Step


@click.command(short_help="The same event again with today's imagery.")
@click.argument("event", type=click.Path(path_type=Path), metavar="EVENT_DIR")
@click.option("--as-of", metavar="DATE", help="Pretend it is this day: later images do not exist.")
@click.option(
    "--checkpoint",
    metavar="auto|NAME",
    help="Map with another checkpoint [default: the latest revision's].",
)
@set_option(checkpoint="model.checkpoint", engine="engine")
@click.option(
    "--engine",
    metavar="ENGINE",
    help="plain, dask://HOST:PORT or dask://local?workers=N [default: as before].",
)
@click.option(
    "--review",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An edited landslides.gpkg to take up [default: EVENT_DIR/review.gpkg].",
)
@click.option(
    "--force",
    is_flag=True,
    help="Make a revision though the event is closed or nothing new is to be seen.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="EVENT_DIR is an output folder: every open event that is due.",
)
@click.option(
    "--close", metavar="REASON", help="Leave the event alone from now on; make no revision."
)
@click.option("--reopen", is_flag=True, help="Open a closed event again, then refresh it.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def command(
    event: Path,
    as_of: str | None,
    checkpoint: str | None,
    settings: tuple[str, ...],
    engine: str | None,
    review: Path | None,
    force: bool,
    every: bool,
    close: str | None,
    reopen: bool,
    as_json: bool,
) -> None:
    """Look for new images of an event and make its next revision, or say that nothing new was to be
    had.

    EVENT_DIR is the folder above the revisions, e.g. runs/EVENT. Pixels that were clear keep their
    image; new images fill what was not seen (`refresh.policy: latest` in the run file takes the
    newest instead). Landslides keep their ids, and what an analyst decided in EVENT_DIR/review.gpkg
    (`coslide review`) is taken up.
    """
    from configs.errors import RequestError
    from flows.events import state as event_state
    from flows.refresh import refresh, refresh_events
    from flows.refresh import words as words_of_all
    from flows.run import workspace

    if close is not None and (force or reopen):
        raise RequestError("--close goes with neither --force nor --reopen", "Give one of them.")
    moment = _moment(as_of) if as_of else None
    if every:
        if close is not None or force or reopen or checkpoint or review or settings:
            raise RequestError(
                "--all goes with --as-of, --engine and --json only",
                "Name one event for the others.",
            )
        turn = refresh_events(event, now=moment, run_it=_by(engine))
        answer(turn, as_json, words_of_all(turn))
        return
    found = event_state.open_existing(event)
    if close is not None:
        with workspace.waiting(found.lock):
            state = event_state.close(found, close.strip() or "closed by the operator")
        content = {
            "status": "ok",
            "event": found.folder.absolute().name,
            "action": "closed",
            "reason": state.reason,
        }
        answer(content, as_json, f"{content['event']}: closed: {state.reason}")
        return
    if reopen:
        with workspace.waiting(found.lock):
            event_state.reopen(found)
    result = refresh(
        event,
        as_of=moment,
        checkpoint=checkpoint,
        settings=settings,
        review=review,
        force=force,
        run_it=_by(engine),
    )
    answer(result, as_json, words(result))


def _by(engine: str | None) -> Callable[[RunConfig, Step, bool], dict[str, Any]]:
    """Return how the run is made: by the engine that its configuration names, or by another one."""
    from configs.run import use_engine
    from flows.respond import respond

    def run_it(run: RunConfig, step: Step, insist: bool) -> dict[str, Any]:
        return respond(use_engine(run, engine) if engine else run, step, insist)

    return run_it


def _moment(text: str) -> Any:
    from configs.event import parse_moment

    moment, has_time = parse_moment(text, "--as-of")
    return moment if has_time else moment.replace(hour=23, minute=59, second=59)


def words(result: dict[str, Any]) -> str:
    """Return the answer in words."""
    if result["action"] == "refreshed":
        from flows.respond import headline

        closed = (
            f"\n  closed: {result['event_reason']}" if result["event_state"] == "closed" else ""
        )
        return f"{headline(result)}\n  refreshed: {result['reason']}{closed}"
    if result["action"] == "closed":
        more = (
            "To follow it on, raise coverage_target or age_limit_days in its event.yaml and "
            "give --reopen"
        )
        return (
            f"{result['event']}: closed: {result['reason']}.\n{more}; --force makes one "
            "revision all the same."
        )
    seen = (
        f", {result['observed_fraction']:.1%} seen"
        if result["observed_fraction"] is not None
        else ""
    )
    return (
        f"{result['event']}: {result['reason']} (revision {result['revision']}{seen}); "
        "nothing was done."
    )
