"""One family of errors. Each says what is wrong, which one, and what to do; each knows its exit
code (docs/contract).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import ClassVar, Final


class CoslideError(Exception):
    """Base of all errors that coslide raises on purpose.

    Attributes:
        message: what is wrong and which one, one line.
        remedy: what to do about it, with the literal option to change.
    """

    code: ClassVar[int] = 1
    kind: ClassVar[str] = "defect"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class RequestError(CoslideError):
    """The request is wrong: an argument, the configuration, the event or a file (exit 2)."""

    code = 2
    kind = "request"


class NothingToSeeError(CoslideError):
    """No imagery, an area that misses it or lies in the sea, or nothing observed (exit 3)."""

    code = 3
    kind = "nothing_to_see"


class NothingNewError(NothingToSeeError):
    """The new images show nothing that the revision before had not seen; raised only where no
    revision is insisted on.
    """

    kind = "nothing_new"


class SourceError(CoslideError):
    """The source cannot be had: credentials, quota, network (exit 4)."""

    code = 4
    kind = "source"


class MachineError(CoslideError):
    """This machine failed: disk full, memory, GPU lost. The same command goes on once it is mended
    (exit 5).
    """

    code = 5
    kind = "machine"


def from_os_error(error: OSError | MemoryError) -> MachineError | RequestError:
    """Return the error of our family that an operating-system error amounts to."""
    if isinstance(error, MemoryError):
        return MachineError(
            "this machine ran out of memory",
            "Close other programs or lower `model.batch` in the run file, then give the "
            "same command again.",
        )
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(
            f"the disk is full{where}",
            "Free some space and give the same command again: it goes on.",
        )
    if error.errno == errno.EROFS:  # as a disk becomes by itself when it fails
        return MachineError(
            f"the file system is read-only{where}",
            "Mount it for writing and give the same command again, or choose another folder "
            "with --out.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return RequestError(
            f"not writable{where}: {error.strerror}",
            "Choose another folder with --out, or mend its permissions.",
        )
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG):
        return RequestError(f"{error.strerror}{where}", "Check the path.")
    return MachineError(
        f"the operating system refused{where}: {error.strerror or error}",
        "Mend it and give the same command again.",
    )


_FULL: Final = ("no space left on device", "database or disk is full", "disk quota exceeded")
"""How GDAL, SQLite and zarr say in words alone that the disk is full."""
_MEMORY: Final = ("out of memory", "cannot allocate memory")
_OF_THE_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def machine_fault(error: BaseException) -> MachineError | None:
    """Return the failure of this machine that stands behind an error of any library, or of ours;
    None where there is none.
    """
    ours = isinstance(error, CoslideError)
    for one in _causes(error):
        if isinstance(one, MachineError):
            return one
        if isinstance(one, CoslideError):
            continue
        words = str(one).lower()
        if isinstance(one, OSError) and one.errno in _OF_THE_DISK:
            return _machine(one)
        if any(known in words for known in _FULL):
            return _machine(OSError(errno.ENOSPC, "no space"))
        if ours:  # somebody has judged it: a file that cannot be read need not be the disk's fault
            continue
        if isinstance(one, MemoryError) or any(known in words for known in _MEMORY):
            return _machine(MemoryError())
        if "disk i/o error" in words:
            return _machine(OSError(errno.EIO, "the disk failed, or is full"))
    return None


def _machine(error: OSError | MemoryError) -> MachineError:
    found = from_os_error(error)
    assert isinstance(found, MachineError)
    return found


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, the outermost first."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def as_ours(error: Exception) -> CoslideError:
    """Return any failure as one of our family; what nobody foresaw is a defect of ours."""
    found = machine_fault(error)
    if found is not None:
        return found
    if isinstance(error, CoslideError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return from_os_error(error)
    words = " ".join(str(error).split())[:_LONGEST_DETAIL]
    return CoslideError(
        f"a defect of coslide: {type(error).__name__}: {words}",
        "Please report it with the output of the same command under COSLIDE_TRACEBACK=1.",
    )


_LONGEST_DETAIL: Final = 500
