"""Files of ours: whole or not at all, of a known format, and never outside their folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from configs.errors import MachineError, RequestError, SourceError, as_ours, from_os_error
from configs.files import (
    check_format,
    inside,
    read_yaml,
    rename,
    replacing,
    sha256,
    sweep,
    sweep_dead,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "product.txt"
    write_text(path, "old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_newer_format_is_refused_with_the_remedy_and_another_kind_too() -> None:
    assert check_format("coslide/card/1", "card", "x") == 1
    with pytest.raises(RequestError, match="Upgrade"):
        check_format("coslide/card/2", "card", "x")
    for other in (None, "coslide/run/1", "coslide/card/one", 3):
        with pytest.raises(RequestError, match="format"):
            check_format(other, "card", "x")


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\xff\xfe", "!!python/object:os.system {}", ""])
def test_yaml_that_is_no_mapping_is_a_request_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RequestError, match=r"x\.yaml"):
        read_yaml(path)


@pytest.mark.parametrize("opened", ["[", "[\n", "{a: ", "- ", "? "])
def test_nesting_without_end_is_refused_and_ends_no_process(tmp_path: Path, opened: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a:\n " + opened * 20_000)
    with pytest.raises(RequestError, match=r"cannot read .*x\.yaml"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["bomb", "a: &a [*a]", "a: &a {b: *a}"])
def test_anchors_that_unfold_without_end_are_refused_at_once(tmp_path: Path, text: str) -> None:
    if text == "bomb":
        text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
        )
    path = tmp_path / "x.yaml"
    path.write_text(text)
    begun = time.process_time()
    with pytest.raises(RequestError, match="unfold to more than"):
        read_yaml(path)
    assert time.process_time() - begun < 2
    path.write_text("a: &a {b: 1}\nc: [*a, *a]\n")
    assert read_yaml(path)["c"] == [{"b": 1}, {"b": 1}]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "/vsicurl/http://x", "https://x/y", "link/x"]
)
def test_names_that_lead_out_of_a_folder_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(RequestError, match="leads out"):
        inside(tmp_path / "in", name, "archive.yaml")


def test_names_inside_pass(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.tif", "archive.yaml") == tmp_path.resolve() / "a/b.tif"


def test_a_hash_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(28, "No space left on device", "x"), MachineError, "disk is full"),
        (PermissionError(13, "Permission denied", "x"), RequestError, "--out"),
        (MemoryError(), MachineError, "memory"),
        (OSError(5, "Input/output error", "x"), MachineError, "refused"),
    ],
)
def test_system_errors_become_ours(error: OSError | MemoryError, kind: type, words: str) -> None:
    ours = from_os_error(error)
    assert isinstance(ours, kind)
    assert words in str(ours)
    assert ours.remedy


def test_what_is_renamed_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    fsync, swap, move = os.fsync, os.replace, os.rename

    def settled(handle: int) -> None:
        told.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def renamed(old: Path, new: Path) -> None:
        told.append("renamed")
        (swap if new.name == "a.yaml" else move)(old, new)

    monkeypatch.setattr(os, "fsync", settled)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "rename", renamed)
    write_text(tmp_path / "a.yaml", "x: 1")
    assert told == [f".a.yaml.{os.getpid()}.part", "renamed", tmp_path.name]
    told.clear()
    (tmp_path / "work" / "deep").mkdir(parents=True)
    (tmp_path / "work" / "deep" / "chunk").write_bytes(b"1")
    rename(tmp_path / "work", tmp_path / "r001")
    assert told == ["chunk", "deep", "work", "renamed", tmp_path.name]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "blocks").mkdir()
    torn, whole = tmp_path / "blocks" / ".0_1.4711.part", tmp_path / "blocks" / "0_1"
    torn.write_text("ha")
    whole.write_text("half")
    folder = tmp_path / ".stack.zarr.4711.part"  # of a stack or an archive
    (folder / ".deep.1.part").mkdir(parents=True)
    package = tmp_path / ".landslides.gpkg.4711.part.gpkg"  # of a library that insists on a suffix
    package.write_text("ha")
    sweep(tmp_path)
    assert not torn.exists()
    assert not folder.exists()
    assert not package.exists()
    assert whole.read_text() == "half"


def _raised(outer: Exception, cause: Exception | None) -> Exception:
    try:
        raise outer from cause
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("outer", "cause", "code"),
    [
        (sqlite3.OperationalError("database or disk is full"), None, 5),
        (RuntimeError("sqlite3_exec failed"), OSError(28, "No space left on device"), 5),
        (
            RequestError("x is damaged", "y"),
            sqlite3.OperationalError("database or disk is full"),
            5,
        ),
        (RuntimeError("write: No space left on device"), None, 5),
        (OSError(30, "Read-only file system", "x"), None, 5),
        (RuntimeError("CUDA out of memory"), None, 5),
        (sqlite3.OperationalError("disk I/O error"), None, 5),
        (RequestError("x is cut short", "y"), sqlite3.DatabaseError("disk I/O error"), 2),
        (SourceError("no answer", "y"), ConnectionRefusedError(111, "refused"), 4),
        (ValueError("x"), None, 1),
    ],
)
def test_the_machine_is_found_behind_any_error(
    outer: Exception, cause: Exception | None, code: int
) -> None:
    ours = as_ours(_raised(outer, cause))
    assert ours.code == code, ours
    assert ours.remedy


def test_what_the_living_write_is_left_to_them(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine, torn = (tmp_path / f".x.yaml.{pid}.part" for pid in (os.getpid(), dead.pid))
    package = tmp_path / f".x.gpkg.{dead.pid}.part.gpkg"
    for path in (mine, torn, package):
        path.write_text("ha")
    sweep_dead(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]
