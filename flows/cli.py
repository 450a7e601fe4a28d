"""The command line: a table of verbs, and one place where errors become messages and exit codes
(contract).
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import signal
import sys
import traceback
from numbers import Integral, Real
from typing import Any

import click

from configs.errors import CoslideError, as_ours
from configs.spelling import meant

VERBS = {
    "respond": "Map an earthquake's landslides: the main job.",
    "refresh": "The same event again with today's imagery.",
    "events": "List the events there are and what they wait for.",
    "review": "Make a copy of the latest inventory for an analyst to edit.",
    "demo": "Map an unseen simulated earthquake and score it against its truth.",
    "watch": "Watch the USGS feed and map what qualifies.",
    "inventories": "List published inventories, and check a download.",
    "samples": "Make a sample set from imagery and polygons.",
    "train": "Train a checkpoint from sample sets.",
    "evaluate": "Score inventories against a reference, or checkpoints on test sets.",
    "explain": "Show where a checkpoint looked, and rank bands and factors.",
    "study": "Find out which checkpoint to trust where: leave one domain out.",
    "rank": "Rank the checkpoints for a scene.",
    "cards": "List the checkpoints there are.",
    "export": "Write a checkpoint as ONNX for other programs.",
    "verify": "Check the checksums of revisions, checkpoints, archives and sample sets.",
    "freeze": "Turn a run's imagery into an archive that replays it offline.",
    "doctor": "Tell what is missing on this machine and how to mend it.",
    "serve": "Register the deployments with a Prefect server and serve them.",
}
"""Every verb with its line of help; its code is `flows.commands.<verb>`, function `command`."""


_PACKAGES = ("configs", "gee", "tiles", "models", "inventory", "flows")
_HANDLER = "coslide on standard error"


def listen(level: int) -> None:
    """Let what our packages log from a level on go to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(_HANDLER)
    handler.addFilter(_not_said_by_prefect)
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(levelname)-7s %(message)s"))
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        logger.setLevel(min(level, logging.INFO))
        logger.handlers = [*(one for one in logger.handlers if one.get_name() != _HANDLER), handler]


_TALK = {"verbose": logging.DEBUG, "quiet": logging.WARNING}
"""Option to the level from which on something is told."""


def talk_flags() -> list[str]:
    """Return the options that make a process of coslide tell as much as this one does."""
    heard = [one for one in logging.getLogger("flows").handlers if one.get_name() == _HANDLER]
    return [f"--{name}" for name, level in _TALK.items() if heard and heard[0].level == level]


def _talk_options() -> list[click.Option]:
    """Return how much is told, as options that stand before a verb or after it."""

    def option(name: str, words: str) -> click.Option:
        def heard(context: click.Context, parameter: click.Parameter, given: bool) -> None:
            if given:
                listen(_TALK[name])

        return click.Option(
            [f"-{name[0]}", f"--{name}"],
            is_flag=True,
            expose_value=False,
            callback=heard,
            help=words,
        )

    return [
        option("verbose", "Tell every detail on standard error."),
        option("quiet", "Only warnings and errors on standard error."),
    ]


class _Verbs(click.Group):
    """A group that imports a verb only when it is called, so that help is instant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the verb; from here on the packages are heard."""
        listen(logging.INFO)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb's command."""
        if cmd_name not in VERBS:
            hint = meant(cmd_name, VERBS) or f"There are: {', '.join(VERBS)}."
            raise click.UsageError(f"no such command `{cmd_name}`. {hint}", ctx)
        command = importlib.import_module(f"flows.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        if not any(option.name == "quiet" for option in command.params):
            command.params += _talk_options()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing any verb."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    },
)
@click.version_option(package_name="coslide")
def coslide() -> None:
    """Name the quake; get the landslides."""


coslide.params += _talk_options()


def _not_said_by_prefect(record: logging.LogRecord) -> bool:
    """Let a record through unless Prefect, once it is imported, writes it already."""
    del record
    return not any("prefect" in type(one).__module__ for one in logging.getLogger().handlers)


def answer(content: dict[str, Any], as_json: bool, words: str) -> None:
    """Print the answer of a verb: one JSON object, or words for people."""
    if as_json:
        words = json.dumps(_known(content), ensure_ascii=False, default=str, allow_nan=False)
    click.echo(writable(words))


def writable(words: str) -> str:
    """Return words as any output can take them: arguments and feeds may hold what is no text."""
    return words.encode("utf-8", "replace").decode("utf-8")


def _known(value: Any) -> Any:
    """Return a value as JSON has it: null for a number that is not known (NaN) or has no end."""
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    if isinstance(value, int):
        return value
    if isinstance(value, Integral):  # numpy's
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return value


def _fail(error: CoslideError, as_json: bool) -> int:
    if as_json:
        body = {
            "status": "error",
            "code": error.code,
            "error": error.kind,
            "message": error.message,
            "remedy": error.remedy,
        }
        click.echo(writable(json.dumps(body, ensure_ascii=False)))
    else:
        click.echo(writable(f"coslide: {error}"), err=True)
    return error.code


def _as_ours(error: Exception) -> CoslideError:
    """Return any failure as one of our family, click's too."""
    if isinstance(error, click.ClickException):
        wrong = CoslideError(error.format_message(), "See --help.")
        wrong.code, wrong.kind = 2, "request"  # type: ignore[misc]
        return wrong
    if not isinstance(error, CoslideError) and os.environ.get("COSLIDE_TRACEBACK"):
        traceback.print_exc()
    return as_ours(error)


def _failed(error: Exception, as_json: bool) -> int:
    """Return the exit code of a failure, after telling it; where even that cannot be written, this
    machine failed.
    """
    ours = _as_ours(error)
    try:
        return _fail(ours, as_json)
    except OSError:
        click.echo(writable(f"coslide: {ours}"), err=True)
        return ours.code


def _flushed() -> int:
    """Return 0 once all that was said is written, 5 where it cannot be (a log on a full disk)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough
        _close_stdout()
    except OSError as error:
        click.echo(f"coslide: the answer could not be written: {error.strerror}", err=True)
        _close_stdout()
        return 5
    return 0


def _close_stdout() -> None:
    """Point standard output to nowhere, so that the interpreter does not try once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with the contract's exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = coslide.main(args=arguments, prog_name="coslide", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("coslide: interrupted; the same command goes on", err=True)
        code = 130
    except Exception as error:
        code = _failed(error, "--json" in arguments)
    code = max(_flushed(), code if isinstance(code, int) else 0)
    sys.exit(code)


if __name__ == "__main__":
    main()
