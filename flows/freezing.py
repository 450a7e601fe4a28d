"""From a run to an archive that replays it: which stack, which plan, which source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import RequestError
from configs.files import read_yaml
from configs.layout import EventFolder, RunLayout
from configs.overrides import overlaid
from configs.run import RunConfig, read_run
from configs.spelling import file_meant
from configs.stack import Stack
from flows import steps
from flows.resolve import make_request, resolve
from flows.run import workspace
from flows.run.journal import progress
from gee.freeze import freeze, plan_of
from gee.source import Plan


@dataclass(frozen=True)
class Frozen:
    """A new archive."""

    manifest: Path
    run_file: Path
    """The configuration to replay it with."""
    plan: Plan
    pulled: bool
    """True where every pixel was pulled for it; False where they come from the run's stack."""

    @property
    def megabytes(self) -> float:
        """Return its size on disk."""
        return sum(path.stat().st_size for path in self.manifest.parent.iterdir()) / 1e6


def freeze_run(where: Path, folder: Path, settings: Sequence[str] = ()) -> Frozen:
    """Return the archive of a run.

    Args:
        where: a revision, an event's folder (its latest revision), or a run file, whose pixels are
            then pulled anew.
        folder: the archive; it must not exist.
        settings: ``section.key=value`` over a run file; a run that was made stays as it is.

    Raises:
        RequestError: no run there, its stack is gone or unfinished, it is simulated, or `folder`
            exists.
        CoslideError: whatever the source raises.
    """
    layout = None if where.is_file() else _layout(where)
    if layout is not None and settings:
        raise RequestError(
            "--set goes with a run file only: a run that was made stays as it is",
            "Give its run.yaml, which is pulled anew.",
        )
    with workspace.reading(layout):
        return _freeze(where, layout, folder, settings)


def _freeze(where: Path, layout: RunLayout | None, folder: Path, settings: Sequence[str]) -> Frozen:
    if layout is None:
        content = overlaid(read_yaml(where, "run"), settings)
        run, stack = resolve(make_request(), content), None
    else:
        run, stack = read_run(layout.config), _stack(layout)
    if run.source.kind == "simulated":
        raise RequestError(
            "a simulated run replays as it is: the simulated Earth is the same every time",
            "Give its run file to `coslide respond --config`.",
        )
    source = steps.open_source(run)
    plan = plan_of(stack) if stack else _plan(run)
    folder.parent.mkdir(parents=True, exist_ok=True)
    workspace.check_space(folder.parent, int(plan.geobox.shape[0]) * int(plan.geobox.shape[1]))
    with progress("freezing") as advance:
        manifest = freeze(source, plan, folder, stack=stack, progress=advance)
    return Frozen(manifest, layout.config if layout else where, plan, stack is None)


def _plan(run: RunConfig) -> Plan:
    source = steps.open_source(run)
    return steps.plan_of(run, source, steps.candidates(run, source))


def _layout(where: Path) -> RunLayout:
    if RunLayout(where).config.exists():
        return RunLayout(where)
    latest = EventFolder(where).latest()
    if latest is None:
        raise RequestError(
            f"{where} is no run",
            ("" if where.exists() else file_meant(where))
            or "Give a revision (runs/EVENT/r001), an event's folder (runs/EVENT), or a run file.",
        )
    return latest


def _stack(layout: RunLayout) -> Stack:
    if not layout.stack.exists():
        raise RequestError(
            f"the stack of {layout.folder} is gone: `keep` in its run file drops those of "
            "older revisions",
            f"Freeze the latest revision, or pull anew: `coslide freeze {layout.config}`.",
        )
    return Stack(layout.stack)
