"""Pages that are made when the site is built, so that they cannot drift from the code: the command
line from its commands, the run file from its model.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, text in (("commands.md", commands()), ("configuration.md", configuration())):
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Return the help of every command, as the command line prints it."""
    from flows.cli import VERBS

    lines = ["# Commands", ""]
    lines += ["Every command takes `--help`; `coslide --version` tells the version.", ""]
    for verb, words in VERBS.items():
        command = importlib.import_module(f"flows.commands.{verb}").command
        context = click.Context(command, info_name=f"coslide {verb}", max_content_width=96)
        lines += [
            f"## coslide {verb}",
            "",
            words,
            "",
            "```text",
            command.get_help(context),
            "```",
            "",
        ]
    return "\n".join(lines)


def configuration() -> str:
    """Return every field of a run file with its default and its meaning."""
    from configs.run import RunConfig

    lines = [
        "# Run file",
        "",
        "`run.yaml` beside a revision's products holds all of this, filled in; `coslide respond "
        "--config`\ntakes it whole or in part.",
        "",
    ]
    return "\n".join([*lines, *_model(RunConfig, "")])


def _model(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Yield a model's fields as a table, then the models inside it."""
    inner: list[tuple[str, type[BaseModel]]] = []
    yield f"## {prefix.rstrip('.') or 'The run'}"
    yield ""
    yield _cell(inspect.getdoc(model) or "")
    yield ""
    yield "| field | default | meaning |"
    yield "| --- | --- | --- |"
    for name, field in model.model_fields.items():
        kind = field.annotation
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            inner.append((name, kind))
        yield f"| `{prefix}{name}` | {_default(field)} | {_cell(field.description or '')} |"
    yield ""
    for name, kind in inner:
        yield from _model(kind, f"{prefix}{name}.")


def _default(field: Any) -> str:
    if field.default_factory is not None or isinstance(field.default, BaseModel):
        return "see below"
    return "required" if field.default is PydanticUndefined else f"`{field.default!r}`"


def _cell(text: str) -> str:
    return textwrap.dedent(text).replace("\n", " ").replace("|", "\\|").strip()
