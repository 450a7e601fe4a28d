"""Where an analyst's review lives: a copy beside the revisions to edit, taken up by the next
revision, kept in ``reviews/``.

A published revision is not for editing (its checksums are in ``item.json``). Whoever edits its
GeoPackage all the same is taken up too, with a warning.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from configs.errors import RequestError
from configs.files import follow_umask, replacing, sha256, sweep_dead
from configs.layout import EventFolder, RunLayout
from inventory.formats import stac
from inventory.revisions.reconcile import GEOPACKAGE, Earlier
from inventory.revisions.review import Review, read_review

logger = logging.getLogger(__name__)


MASK = "landslides.tif"


class ReviewError(RequestError):
    """A review that cannot be taken up: the analyst mends it, and the same command goes on."""


def begin(event: EventFolder) -> Path:
    """Return ``review.gpkg``, a copy of the latest inventory for an analyst to edit.

    Raises:
        RequestError: there is no revision yet, or a review with edits that no revision has taken
            up.
    """
    revisions = event.revisions()
    if not revisions:
        raise RequestError(
            f"{event.folder} has no revision to review",
            "Wait for the first one: `coslide refresh`.",
        )
    if event.review.exists() and read_review(event.review).edits:
        raise RequestError(
            f"{event.review} holds edits that no revision has taken up",
            f"Run `coslide refresh {event.folder}` first, or move the file away.",
        )
    latest = revisions[max(revisions)]
    for doubt in doubts(latest):
        logger.warning("%s", doubt)
    return copy(latest.folder / GEOPACKAGE, event.review)


def give(event: EventFolder, file: Path) -> Review:
    """Return a review handed in from elsewhere, copied to where the next revision takes it up.

    Raises:
        RequestError: it cannot be read, changes nothing, or another one waits.
    """
    review = read_review(file)
    if not review.edits:
        raise RequestError(
            f"--review: {file} changes nothing",
            "Save the edits in the GIS first; set `status`, or move outlines.",
        )
    if (
        event.review.exists()
        and event.review.resolve() != file.resolve()
        and read_review(event.review).edits
        and not _same(file, event)
    ):
        raise RequestError(
            f"{event.review} holds edits too",
            "Let `coslide refresh` take them up first, or move it away.",
        )
    if event.review.resolve() != file.resolve():
        copy(file, event.review)
    return review


def _same(file: Path, event: EventFolder) -> bool:
    """Return whether an event's review is the copy of a file: handed in by a command that was cut
    off before a revision took it up.
    """
    again = copy(file, event.work("given.gpkg").folder)
    same = sha256(again) == sha256(event.review)
    _remove(again)
    return same


def waiting(event: EventFolder) -> Review | None:
    """Return the review that the next revision takes up; None where nobody has changed anything.

    Raises:
        ReviewError: it cannot be read.
    """
    try:
        return _waiting(event)
    except RequestError as error:
        raise ReviewError(error.message, error.remedy) from error


def _waiting(event: EventFolder) -> Review | None:
    if event.review.exists() and (review := read_review(event.review)).edits:
        return review
    latest = event.latest()
    if latest is None or not _edited(latest):
        return None
    review = read_review(latest.folder / GEOPACKAGE)
    if not review.edits:
        return None
    logger.warning(
        "%s was edited in place: its checksum in item.json no longer holds. Next time edit "
        "the copy that "
        "`coslide review %s` makes",
        review.path,
        event.folder,
    )
    return review


def _edited(revision: RunLayout) -> bool:
    """Return whether a revision's GeoPackage is not the one that was published; one without a
    checksum counts as edited.
    """
    package = revision.folder / GEOPACKAGE
    log = package.with_name(package.name + "-wal")
    if not package.exists() or (log.exists() and log.stat().st_size > 0):
        return package.exists()
    checksum = (stac.checksums(revision.folder) or {}).get(GEOPACKAGE, "")
    return not checksum.endswith(sha256(package)) or not checksum


def doubts(revision: RunLayout) -> list[str]:
    """Return, in words, which products of a revision are not as they were published; its
    GeoPackage, which a person may have edited, is not among them.
    """
    found = [one for one in stac.faults(revision.folder) if not one.startswith(f"{GEOPACKAGE} was")]
    return [f"{revision.folder.name}: {one} since it was published" for one in found]


def earlier(event: EventFolder) -> Earlier | None:
    """Return the latest revision with the review that waits for the next one; None where there is
    no revision.
    """
    revisions = event.revisions()
    if not revisions:
        return None
    review = waiting(event)
    of = revisions.get(review.revision) if review else None
    if of and any(f"{MASK} " in doubt for doubt in doubts(of)):
        raise ReviewError(
            f"{of.folder / MASK} is not the mask that was published: what was cut away from it "
            "cannot be told",
            "Restore it from a copy (`coslide verify` names what is damaged).",
        )
    return Earlier(revisions[max(revisions)].folder, review, of.folder if of else None)


def taken_up(event: EventFolder, review: Review | None, number: int) -> None:
    """Put a review that revision `number` has taken up where it stays."""
    if review is None:
        return
    copy(review.path, event.reviews / f"r{number:03d}.gpkg")
    if review.path == event.review:
        _remove(event.review)


def _remove(package: Path) -> None:
    for name in ("", "-wal", "-shm"):
        package.with_name(package.name + name).unlink(missing_ok=True)


def put_away(event: EventFolder, number: int, taken: Mapping[str, Any] | None) -> None:
    """Put the review that revision `number` has taken up where it stays, where the command that
    made it was cut off before; nothing where that was done, or the file was edited since.

    Args:
        event: the event's folder.
        number: of the revision.
        taken: what its provenance says of the review, None where there was none.
    """
    if taken is None:
        return
    for path in (event.review, event.revision(taken["of_revision"]).folder / GEOPACKAGE):
        if path.exists() and sha256(path) == taken["sha256"]:
            copy(path, event.reviews / f"r{number:03d}.gpkg")
            if path == event.review:
                _remove(path)
    if not event.review.exists():
        _remove(event.review)


def copy(source: Path, target: Path) -> Path:
    """Return a copy of a GeoPackage, with what an open GIS has saved to the log beside it."""
    if target.parent.is_dir():
        sweep_dead(target.parent)
    with replacing(target) as part:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(part)) as new,
        ):
            old.backup(new)
        follow_umask(part)
    return target
