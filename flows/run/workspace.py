"""Where a run works and how it becomes a revision: unfinished work, locks, free space,
publishing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from configs.errors import MachineError, RequestError, SourceError
from configs.files import rename, sweep, sweep_dead, write_text
from configs.layout import EventFolder, RunLayout
from configs.places import drop
from configs.run import RunConfig, read_run

logger = logging.getLogger(__name__)

BYTES_PER_PIXEL = 60
"""Scratch and products of a ten-band run, compressed; measured on the simulated Earth, rounded
up.
"""
_RESERVE_BYTES = 200 * 2**20
"""Free space that is left alone."""


class BusyError(MachineError):
    """Another process of ours is at the same work."""

    kind = "busy"


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on a file while the block runs; the kernel frees it however the
    process ends.

    Raises:
        BusyError: somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(
            f"another coslide is already {what} ({path})", "Wait until it is done, or stop it."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, waiting for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


@contextmanager
def reading(layout: RunLayout | None) -> Iterator[None]:
    """Keep a revision's stack on the disk while the block reads it: a run that would drop it leaves
    that to a later one.
    """
    with ExitStack() as held:
        try:
            if layout is not None:
                lock = held.enter_context(_in_use(layout).open("a"))
                fcntl.flock(lock, fcntl.LOCK_SH)
        except OSError as error:  # where nothing can be written, nothing is dropped either
            logger.debug("%s is read unlocked (%s)", layout, error)
        yield


def _in_use(layout: RunLayout) -> Path:
    return layout.folder.parent / ".work" / f"{layout.folder.name}.reading"


def _drop_stack(layout: RunLayout) -> None:
    """Remove a revision's stack, unless somebody is reading it."""
    with _in_use(layout).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("the stack of %s is being read and stays for now", layout.folder)
            return
        forget(layout)


def open_event(out: Path, name: str) -> EventFolder:
    """Return the event's folder, made and proven writable.

    Raises:
        RequestError: it cannot be written.
    """
    folder = EventFolder(out / name)
    try:
        (folder.folder / ".work").mkdir(parents=True, exist_ok=True)
        probe = folder.folder / ".work" / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise RequestError(
            f"--out: {folder.folder} cannot be written: {error.strerror}",
            "Choose another folder with --out.",
        ) from error
    return folder


def begin(event: EventFolder, run: RunConfig) -> tuple[RunLayout, RunConfig]:
    """Return the work folder of a request and the configuration to work by: the unfinished one
    where there is one.
    """
    layout = event.work(run.request_id)
    unfinished = _unfinished(layout)
    if unfinished is not None:
        _prove(layout)
        logger.info("going on with unfinished work in %s", layout.folder)
        return layout, unfinished.model_copy(update={"engine": run.engine})
    layout.scratch.mkdir(parents=True, exist_ok=True)
    layout.pointer.unlink(missing_ok=True)
    if run.store:
        # a later run of the request is another one
        name = f"{event.folder.name}/{run.request_id}-{secrets.token_hex(4)}"
        write_text(layout.pointer, f"{run.store.rstrip('/')}/{name}")
    _prove(layout)
    run.write(layout.config)
    return layout, run


def _unfinished(layout: RunLayout) -> RunConfig | None:
    """Return the configuration of unfinished work; None where there is none, or none that can be
    gone on with: then it is thrown away.
    """
    if not layout.config.exists():
        return None
    try:
        return read_run(layout.config)
    except RequestError as error:
        logger.warning("unfinished work is damaged and begun anew (%s)", error.message)
        forget(layout)
        shutil.rmtree(layout.folder, ignore_errors=True)
        return None


def _prove(layout: RunLayout) -> None:
    """Make sure that a store elsewhere can be written.

    Raises:
        SourceError: it cannot.
    """
    if layout.stores == layout.scratch:
        return
    try:
        write_text(layout.stores / "probe", "coslide")
        (layout.stores / "probe").unlink()
    except Exception as error:  # every object store has errors of its own
        raise SourceError(
            f"the store {layout.stores} cannot be written: {' '.join(str(error).split())[:200]}",
            "Check `store` in the run file, and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY "
            "and AWS_ENDPOINT_URL in the environment.",
        ) from error


def check_space(folder: Path, pixels: int) -> None:
    """Refuse to begin what cannot be finished.

    Raises:
        MachineError: less free space than stack and products will need.
    """
    needed, free = room(folder, pixels)
    if free < needed:
        raise MachineError(
            f"the disk is too full: {free / 2**30:.1f} GiB free at {folder}, about "
            f"{needed / 2**30:.1f} GiB needed",
            "Free some space (or choose another --out) and give the same command again.",
        )


def room(folder: Path, pixels: int) -> tuple[int, int]:
    """Return the bytes that a run of so many pixels needs beside its products' folder, and those
    that are free there; the folder need not exist yet.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return pixels * BYTES_PER_PIXEL + _RESERVE_BYTES, shutil.disk_usage(there).free


def abandon(event: EventFolder, layout: RunLayout) -> None:
    """Remove work that can never be finished, and the event's folder where nothing else is in
    it.
    """
    forget(layout)
    shutil.rmtree(layout.folder, ignore_errors=True)
    (event.folder / ".work" / f"{layout.folder.name}.lock").unlink(missing_ok=True)
    for folder in (event.folder / ".work", event.folder):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def forget(layout: RunLayout) -> None:
    """Remove a run's stack, observation and probability, wherever they are."""
    try:
        if layout.stores != layout.scratch:
            drop(layout.stores)
    except Exception as error:  # whatever an object store may say: products do not wait for it
        logger.warning("%s could not be removed (%s); remove it by hand", layout.stores, error)
    shutil.rmtree(layout.scratch, ignore_errors=True)


def publish(event: EventFolder, layout: RunLayout, number: int, keep: str) -> RunLayout:
    """Turn finished work into revision `number` in one rename, and drop older stacks as `keep`
    says.

    The caller holds the event's lock.
    """
    if keep == "none":
        forget(layout)
    sweep(layout.folder)
    for folder in (event.folder, event.folder.parent):
        sweep_dead(folder)
    published = event.revision(number)
    rename(layout.folder, published.folder)
    if keep == "latest":
        drop_older(event, number)
    return published


def drop_older(event: EventFolder, number: int) -> None:
    """Drop the stacks of all revisions before `number`."""
    for each, older in event.revisions().items():
        if each != number and older.scratch.exists():
            _drop_stack(older)
