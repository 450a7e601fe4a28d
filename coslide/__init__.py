"""coslide: name the quake, get the landslides.

The whole product in a handful of functions, for notebooks and other programs:

    import coslide
    quake = coslide.Request(latitude=42.69, longitude=141.93, date="2018-09-05", magnitude=6.6)
    answer = coslide.respond(quake, source="archive:my-images", out="runs")
    run = coslide.open_run(answer["products"]["landslides.gpkg"])
    run.landslides.area_m2.sum(), float(run.data.probability.mean())

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coslide.packages import check_packages

if TYPE_CHECKING:
    from configs.checkpoint import CheckpointCard
    from configs.event import Event
    from configs.request import Request
    from flows.open_run import OpenedRun
    from tiles.samples import SampleSet

__all__ = [
    "Event",
    "Request",
    "__version__",
    "checkpoints",
    "describe_samples",
    "evaluate",
    "make_samples",
    "open_run",
    "refresh",
    "respond",
    "train",
]

try:
    __version__ = version("coslide")
except PackageNotFoundError:  # Python without the environment: `coslide.packages` says what to do
    __version__ = "not installed"

_RECORDS = {"Event": "configs.event", "Request": "configs.request"}


def _ours(module: str) -> Any:
    """Return one of coslide's modules, once it is sure that it is coslide's."""
    check_packages()
    return import_module(module)


def __getattr__(name: str) -> Any:
    if name in _RECORDS:
        return getattr(_ours(_RECORDS[name]), name)
    raise AttributeError(f"module `coslide` has no attribute `{name}`")


def respond(
    request: Request,
    *,
    source: str | None = None,
    out: str | Path | None = None,
    preset: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the answer to a request, after mapping its landslides (`coslide respond`).

    Args:
        request: what is asked.
        source: ``earthengine``, ``stac:CATALOGUE``, ``archive:FOLDER`` or
            ``simulated[:LANDSCAPE]``; None: the preset's.
        out: folder that the event's folder is made in; None: the preset's, else ``runs``.
        preset: a run file's content, whole or in part; the other arguments win.

    Returns:
        What ``coslide respond --json`` prints: revision, landslide count, observed fraction,
        products (name → path), warnings.

    Raises:
        configs.errors.CoslideError: what the exit codes of the command line stand for.
    """
    asking, content = _ours("flows.resolve"), dict(preset or {})
    if source is not None:
        content["source"] = asking.name_source(content.get("source", {}), source)
    if out is not None:
        content["out"] = str(out)
    answer: dict[str, Any] = _ours("flows.respond").respond(asking.resolve(request, content))
    return answer


def refresh(event: str | Path, **changes: Any) -> dict[str, Any]:
    """Return what looking again at an event did (`coslide refresh`): its next revision, or why
    there is none.

    Args:
        event: the event's folder, above its revisions.
        changes: ``as_of`` (datetime), ``checkpoint``, ``review``, ``force``, as the command's.
    """
    answer: dict[str, Any] = _ours("flows.refresh").refresh(Path(event), **changes)
    return answer


def evaluate(revision: str | Path, reference: str = "simulated") -> dict[str, Any]:
    """Return the scores of a revision against reference polygons, ``FILE[:LAYER]``, or against the
    simulated truth (`coslide evaluate`).
    """
    scores: dict[str, Any] = _ours("flows.evaluate").evaluate([str(revision)], reference)
    return scores


def open_run(path: str | Path) -> OpenedRun:
    """Return a revision's rasters as an `xarray.Dataset` and its landslides as a `GeoDataFrame`.

    Args:
        path: the revision's folder, or one of its products.
    """
    opened: OpenedRun = _ours("flows.open_run").open_run(Path(path))
    return opened


def checkpoints(folders: tuple[str | Path, ...] = ()) -> tuple[CheckpointCard, ...]:
    """Return the cards of all checkpoints: the shipped ones, and those in further folders."""
    return tuple(checkpoint.card for checkpoint in _ours("models.registry").find(folders))


def describe_samples(
    images: str | Path, truth: str | Path, date: str, out: str | Path, **more: Any
) -> Path:
    """Return the sampling file, OUT.yaml, of a folder of GeoTIFFs and a file of landslide polygons
    (`coslide samples --images`); `make_samples` reads it.

    Args:
        images: the folder; names tell ``pre``, ``post`` or the day, and the band.
        truth: the polygons, ``FILE[:LAYER]``.
        date: day of the event, UTC, ``YYYY-MM-DD``.
        out: folder that the sample set is to have.
        more: ``dem`` (Path), ``extent``, ``ignore``, ``channels``, ``level``, ``sensor``, as the
            command's.
    """
    describing = _ours("flows.learning.describing")
    path: Path = describing.describe_samples(Path(images), str(truth), date, Path(out), **more)
    return path


def make_samples(config: str | Path, out: str | Path) -> SampleSet:
    """Return the sample set that a sampling configuration describes, written to a folder that does
    not exist yet (`coslide samples`).
    """
    samples: SampleSet = _ours("flows.learning.samples").make_samples(Path(config), Path(out))
    return samples


def train(recipe: str | Path, out: str | Path = "cards", **changes: Any) -> dict[str, Any]:
    """Return what came of training a recipe: checkpoint, threshold, scores, folder
    (`coslide train`).

    Args:
        recipe: the recipe's YAML file, or the name of a shipped one (``first``).
        out: folder that the checkpoint's folder is made in.
        changes: ``name``, ``seed``, ``fold``, ``samples``, ``quick``, … as the command's.
    """
    training = _ours("flows.learning.train")
    result: dict[str, Any] = training.train(str(recipe), str(out), training.Overrides(**changes))
    return result
