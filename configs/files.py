"""Files of ours: written whole or not at all, with a format and a version, read back safely."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from configs.errors import RequestError
from configs.places import drop, is_remote
from configs.spelling import file_meant, instead

UNREADABLE = (ValueError, TypeError, LookupError, OverflowError, RecursionError, AttributeError)
"""What PyYAML lets through of values that are none: a 30th of February, `!!int x`, 5000 digits, a
thousand brackets."""
_DEEPEST = 2000
_LONGEST_DETAIL = 300
_MOST_VALUES = 1_000_000
_MANY_FILES = 32
"""From so many files on, a disk settles them faster when several are asked for at once."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place if, and only if, the block
    succeeds.

    On an object store, which cannot rename, `path` itself is emptied and yielded: whoever writes
    there writes last what says that the whole is there.
    """
    if is_remote(path):
        drop(path)
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        settle(temporary)
        os.replace(temporary, path)
        _fsync(path.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder; nobody may be
    writing there.
    """
    for torn in list(folder.rglob(".*.part*")):
        _remove(torn)


def sweep_dead(folder: Path) -> None:
    """Remove from a folder, where others may be writing, what processes of this machine that are
    dead have left half-written.
    """
    for torn in list(folder.glob(".*.part*")):
        number = torn.name.partition(".part")[0].rpartition(".")[2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            _remove(torn)


def _remove(torn: Path) -> None:
    if torn.is_dir():
        shutil.rmtree(torn, ignore_errors=True)
    else:
        torn.unlink(missing_ok=True)


def rename(old: Path, new: Path) -> None:
    """Rename a folder so that, whatever happens to the power, `new` is whole or not there."""
    settle(old)
    os.rename(old, new)
    _fsync(new.parent)


def follow_umask(path: Path) -> None:
    """Give a file that its library made private the mode of any other file of this user."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def settle(path: Path) -> None:
    """Return when a file, or everything in a folder, is on the disk and not only in memory."""
    files = [path]
    if path.is_dir():
        files = [each for each in path.rglob("*") if not each.is_symlink()]
        files = [*sorted(files, reverse=True), path]  # what is in a folder before the folder
    if len(files) < _MANY_FILES:
        for each in files:
            _fsync(each)
        return
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_fsync, files))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
            raise
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def format_of(kind: str, version: int = 1) -> str:
    """Return the format line every file of ours carries, e.g. ``coslide/card/1``."""
    return f"coslide/{kind}/{version}"


def check_format(found: object, kind: str, where: str, newest: int = 1) -> int:
    """Return the version of a file of ours.

    Raises:
        RequestError: another kind of file, or a newer version than this coslide reads.
    """
    parts = str(found).split("/")
    if len(parts) != 3 or parts[0] != "coslide" or parts[1] != kind or not parts[2].isdigit():
        raise RequestError(
            f"{where} is not a coslide {kind} file (format: {short(found)})",
            f"Its first line must be `format: {format_of(kind)}`.",
        )
    version = int(parts[2])
    if version > newest:
        raise RequestError(
            f"{where} has format {found}, newer than this coslide reads",
            "Upgrade coslide: `pip install -U coslide`.",
        )
    return version


def read_yaml(path: Path, kind: str | None = None, newest: int = 1) -> dict[str, Any]:
    """Return the mapping in a YAML file, checked to be of `kind` where one is given.

    Raises:
        RequestError: missing, unreadable, not a mapping, or of another kind or a newer format.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = _parsed(text)
        _count(content, {})
    except _TwiceError as error:
        raise RequestError(f"{path}: {error}", "Keep one of them.") from error
    except FileNotFoundError:
        raise RequestError(f"no such file: {path}", file_meant(path) or "Check the path.") from None
    except (*UNREADABLE, OSError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())[:_LONGEST_DETAIL]
        raise RequestError(
            f"cannot read {path}: {detail}", "It must be a YAML text file in UTF-8."
        ) from error
    if not isinstance(content, dict):
        raise RequestError(
            f"{path} holds no settings", "It must be a YAML mapping: `name: value` lines."
        )
    if kind is not None:
        check_format(content.get("format"), kind, str(path), newest)
    return {name: at_home(value) for name, value in content.items()}


def _parsed(text: str) -> Any:
    loader = _once(loader_for(text))(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _TwiceError(yaml.YAMLError):
    """A name that stands twice in one section; YAML would take the last without a word."""


def _once(loader: Any) -> Any:
    """Return a loader that refuses sections which name something twice."""

    def construct_mapping(self: Any, node: Any, deep: bool = False) -> Any:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise _TwiceError(
                    f"`{short(key.value)}` stands twice, in lines {lines[name]} and {line}"
                )
            lines[name] = line
        return loader.construct_mapping(self, node, deep=deep)

    return type("Once", (loader,), {"construct_mapping": construct_mapping})


def at_home(value: Any) -> Any:
    """Return a value of a file or an option with `~/` at the beginning of its texts written out:
    no shell does it there.
    """
    if isinstance(value, str):
        return str(Path(value).expanduser()) if value.startswith("~/") else value
    if isinstance(value, list):
        return [at_home(each) for each in value]
    if isinstance(value, dict):
        return {name: at_home(each) for name, each in value.items()}
    return value


def short(value: object, most: int = 80) -> str:
    """Return what somebody wrote, as it stands in a message: never more than a line, and only what
    can be written (half a character cannot).
    """
    text = " ".join(str(value).encode("utf-8", "backslashreplace").decode().split())
    return text if len(text) <= most else f"{text[:most]}…"


def named_file(name: str, folders: Sequence[Path], what: str) -> Path:
    """Return the YAML file of a recipe, a kit, …: one that comes with coslide in `folders`, by its
    name, or a file by its path.

    Raises:
        RequestError: there is neither.
    """
    for path in (*(folder / f"{name}.yaml" for folder in folders), Path(name)):
        if path.is_file():
            return path
    if Path(name).suffix:
        raise RequestError(f"no such file: {name}", file_meant(Path(name)) or "Check the path.")
    shipped = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
    ways = f"Give a YAML file, or one of those shipped: {', '.join(shipped)}."
    raise RequestError(f"there is no {what} `{name}`", instead(name, shipped, ways))


def loader_for(text: str) -> Any:
    """Return the safe loader of a text: PyYAML's in C, which is ten times as fast (every command
    reads all installed checkpoints).

    It knows no bound of nesting and ends the process where its stack does: what may be nested
    deeply goes to the loader in Python, which raises.
    """
    deepest = text.count("[") + text.count("{") + 2 * max(map(len, text.splitlines()), default=0)
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader) if deepest < _DEEPEST else yaml.SafeLoader


def _count(value: Any, known: dict[int, int]) -> int:
    """Return how many values a document holds with its anchors written out.

    Raises:
        ValueError: too many for any file of ours: a small file may unfold without end.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = _MOST_VALUES  # of itself: what holds itself has no end
    inner = value.values() if isinstance(value, dict) else value
    found = 1 + sum(_count(each, known) for each in inner)
    if found > _MOST_VALUES:
        raise ValueError(f"its anchors (`&`, `*`) unfold to more than {_MOST_VALUES:,} values")
    known[id(value)] = found
    return found


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all (UTF-8)."""
    if is_remote(path):
        path.write_text(text, encoding="utf-8")  # an object appears whole
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def inside(folder: Path, name: str, what: str) -> Path:
    """Return `folder/name`, refusing names that lead out of the folder.

    Raises:
        RequestError: absolute, with ``..``, a GDAL virtual path, or a symbolic link that leaves the
            folder.
    """
    if not name.isprintable():
        raise RequestError(
            f"{what}: {short(ascii(name))} is no name of a file",
            "Write the name without control characters.",
        )
    root = folder.resolve()
    path = (root / name).resolve()
    if name.startswith(("/vsi", "/", "\\")) or "://" in name or not path.is_relative_to(root):
        raise RequestError(
            f"{what}: `{name}` leads out of {folder}",
            "Name files inside the folder, relative to it.",
        )
    return path
