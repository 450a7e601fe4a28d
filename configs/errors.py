"""One family of errors. Each says what is wrong, which one, and what to do; each knows its exit
code (docs/contract).
"""

from __future__ import annotations

import errno
from typing import ClassVar


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
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
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
