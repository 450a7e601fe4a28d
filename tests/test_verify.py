"""`coslide verify`: a byte that changed, or a file that is lost, is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_archive import AREA, RUN, make_archive, make_cards, make_preset

from configs.checksums import write_checksums
from configs.errors import RequestError
from flows.cli import main
from flows.events.state import open_existing
from flows.freezing import _layout
from flows.verify import verify
from tiles.samples import SampleSet


def exit_of(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


def test_every_changed_or_lost_file_of_a_revision_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = {"kind": "archive", "archive": str(make_archive(tmp_path / "archive"))}
    cards = make_cards(tmp_path / "cards")
    make_preset(tmp_path / "preset.yaml", cards, "post", source=source)
    where = ["--config", str(tmp_path / "preset.yaml"), "--out", str(tmp_path / "out")]
    assert exit_of(["respond", *RUN, *AREA, *where, "--name", "q", "--json"]) == 0
    event = tmp_path / "out" / "q"
    assert exit_of(["verify", str(event), str(cards / "post")]) == 0
    revision = event / "r001"
    for name in ("landslides.tif", "probability.tif", "report.html", "provenance.json"):
        whole = (revision / name).read_bytes()
        flipped = bytearray(whole)
        flipped[len(flipped) // 2] ^= 1
        (revision / name).write_bytes(bytes(flipped))
        assert verify(event)[0].faults == (f"{name} was changed",)
        capsys.readouterr()
        assert exit_of(["verify", str(revision), "--json"]) == 2
        assert name in capsys.readouterr().out
        (revision / name).unlink()
        assert verify(revision)[0].faults == (f"{name} is lost",)
        (revision / name).write_bytes(whole)
    (revision / "stack" / "stack.zarr" / "post_B4" / "c" / "0" / "0").write_bytes(b"")
    assert "stack" in verify(revision)[0].faults[0]
    assert exit_of(["verify", str(tmp_path / "archive")]) == 2


def test_a_folder_of_several_is_verified_whole(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        folder = tmp_path / "sets" / name
        folder.mkdir(parents=True)
        (folder / "x").write_text(name)
        write_checksums(folder)
    (tmp_path / "sets" / ".work").mkdir()
    (tmp_path / "sets" / "notes").mkdir()
    (tmp_path / "sets" / "b" / "x").write_text("other")
    found = {one.path.name: one.faults for one in verify(tmp_path / "sets")}
    assert found == {"a": (), "b": ("x was changed",), "c": ()}
    with pytest.raises(RequestError, match="holds nothing that carries checksums"):
        verify(tmp_path / "sets" / "notes")


def test_a_folder_that_is_not_there_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "valley").mkdir()
    with pytest.raises(RequestError, match="there is no") as wrong:
        verify(tmp_path / "valey")
    assert "Did you mean" in wrong.value.remedy
    for read in (open_existing, _layout):
        with pytest.raises(RequestError) as wrong:
            read(tmp_path / "valey")
        assert "Did you mean" in wrong.value.remedy
    with pytest.raises(RequestError, match="is no sample set"):
        SampleSet.open(tmp_path / "valley")
