"""What is kept is compared with its checksums before it is believed: sample sets, frozen archives,
revisions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
import zarr
from small_archive import make_archive, make_cards, make_preset
from small_samples import small_samples

from configs.checksums import CHECKSUMS, faults, read_checksums, write_checksums
from configs.errors import RequestError
from configs.layout import EventFolder
from configs.stack import window
from flows.cli import main
from flows.evaluate import evaluate
from flows.events import reviews
from flows.learning.samples import make_samples
from flows.verify import verify
from gee import freeze as freezing
from tiles.samples import SampleSet


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_a_folder_says_what_was_lost_or_changed(tmp_path: Path) -> None:
    for name in ("a.tif", "deep/b.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path)
    assert faults(tmp_path) == []
    checked = subprocess.run(["sha256sum", "-c", CHECKSUMS], cwd=tmp_path, capture_output=True)
    assert checked.returncode == 0
    flip(tmp_path / "a.tif")
    (tmp_path / "deep/b.tif").unlink()
    assert faults(tmp_path) == ["a.tif was changed", "deep/b.tif is lost"]
    assert faults(tmp_path, ["a.tif", "unknown.tif"]) == ["a.tif was changed"]
    (tmp_path / CHECKSUMS).write_text("half a li")
    with pytest.raises(RequestError, match="is damaged"):
        read_checksums(tmp_path)


def test_a_damaged_sample_set_is_not_trained_on(tmp_path: Path) -> None:
    folder = small_samples(tmp_path / "valley").path
    assert verify(folder)[0].faults == ()
    chunk = next((folder / "pixels.zarr" / "label").rglob("c/0/0"))
    for spoil in (flip, Path.unlink):
        spoil(chunk)
        with pytest.raises(RequestError, match=r"sample set .* is damaged: pixels\.zarr/label"):
            SampleSet.open(folder)
        assert verify(folder)[0].faults
    (folder / CHECKSUMS).unlink()  # as old ones are
    assert SampleSet.open(folder).name == "valley"


@pytest.mark.parametrize("content", [b"", b"<html>busy</html>", b"\0" * 100])
@pytest.mark.parametrize("name", ["c/0/0", "zarr.json"])
def test_arrays_that_cannot_be_decoded_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    samples = small_samples(tmp_path / "valley")
    (samples.path / CHECKSUMS).unlink()  # an old set, which carries none
    (samples.path / "pixels.zarr" / "post_B4" / name).write_bytes(content)
    with pytest.raises(RequestError, match=r"is damaged|no band"):
        SampleSet.open(samples.path).read("post_B4")
    array = zarr.open_group(tmp_path / "z", mode="w").create_array("a", shape=(4, 4), dtype="u2")
    array[:] = 1
    next((tmp_path / "z" / "a").rglob("c/0/0")).write_bytes(content)
    with pytest.raises(RequestError, match="is damaged"):
        window(array, (slice(None), slice(None)), tmp_path / "z")


def test_a_frozen_archive_is_compared_before_it_is_mapped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(tmp_path / "archive")
    source = {"kind": "archive", "archive": str(archive)}
    preset = make_preset(tmp_path / "p.yaml", make_cards(tmp_path / "cards"), "post", source=source)
    where = ["--epicentre", "42.70,142.11", "--date", "2018-09-05", "--as-of", "2018-12-01"]
    ask = ["respond", *where, "--radius-km", "1.2", "--config", str(preset), "--dry-run", "--json"]
    folder = archive if archive.is_dir() else archive.parent
    write_checksums(folder)

    def code() -> tuple[int | str | None, str]:
        with pytest.raises(SystemExit) as left:
            main(ask)
        return left.value.code, capsys.readouterr().out

    assert code()[0] == 0
    assert verify(folder)[0].faults == ()
    flip(folder / "post_B4.tif")
    number, words = code()
    assert number == 2
    assert "post_B4.tif was changed" in words
    assert verify(folder)[0].faults == ("post_B4.tif was changed",)


def published(event: EventFolder) -> Path:
    """Return a revision of three files with their checksums."""
    folder = event.revision(1).folder
    folder.mkdir(parents=True)
    assets = {}
    for name in ("landslides.tif", "landslides.gpkg", "report.html"):
        (folder / name).write_text(name * 3)
        value = "1220" + hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assets[name] = {"href": f"./{name}", "file:checksum": value}
    (folder / "item.json").write_text(json.dumps({"assets": assets}))
    return folder


def test_a_revision_is_compared_before_it_is_scored_or_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    event = EventFolder(tmp_path / "q")
    folder = published(event)
    (folder / "run.yaml").write_text(yaml.safe_dump({"format": "coslide/run/1"}))
    assert reviews.doubts(event.revision(1)) == []
    flip(folder / "landslides.gpkg")  # as a GIS does when it opens it
    assert reviews.doubts(event.revision(1)) == []
    with caplog.at_level(logging.WARNING), pytest.raises(RequestError) as other:
        evaluate([str(folder)], "simulated")
    assert "was changed since" not in other.value.message
    assert "landslides.gpkg was changed since it was published" in caplog.text
    (folder / "report.html").unlink()
    assert reviews.doubts(event.revision(1)) == ["r001: report.html is lost since it was published"]
    flip(folder / "landslides.tif")
    with pytest.raises(RequestError, match=r"landslides\.tif was changed since"):
        evaluate([str(folder)], "simulated")
    (folder / "item.json").write_text("half")
    assert reviews.doubts(event.revision(1)) == [
        "r001: item.json is lost or damaged since it was published"
    ]
    assert reviews._edited(event.revision(1))


def test_a_sampling_killed_at_its_last_step_has_succeeded(tmp_path: Path) -> None:
    made = small_samples(tmp_path / "valley")
    event = {"name": "x", "time": "2018-09-05", "latitude": 42.7, "longitude": 142.1}
    recipe = {
        "format": "coslide/sampling/1",
        "name": "valley",
        "title": "valley",
        "licence": "CC0-1.0",
        "bands": ["post_B4"],
        "radius_km": 1.0,
        "truth": {"kind": "simulated"},
        "run": {"event": event, "source": {"kind": "simulated"}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / ".valley.stack").mkdir()
    found = make_samples(tmp_path / "recipe.yaml", tmp_path / "valley")
    assert found.card == made.card
    assert not (tmp_path / ".valley.stack").exists()
    with pytest.raises(RequestError, match="exists already"):
        make_samples(tmp_path / "recipe.yaml", tmp_path / "valley")


def test_a_freeze_killed_at_its_last_step_has_succeeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SimpleNamespace(bands=())
    stack = SimpleNamespace(band_names=(), attributes={})

    def killed_after_the_rename(folder: Path) -> Any:
        folder.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(freezing, "replacing", killed_after_the_rename)
        with pytest.raises(KeyboardInterrupt):
            freezing.freeze(None, plan, tmp_path / "frozen", stack=stack)  # type: ignore[arg-type]
    again = freezing.freeze(None, plan, tmp_path / "frozen", stack=stack)  # type: ignore[arg-type]
    assert again == tmp_path / "frozen" / "archive.yaml"
    with pytest.raises(RequestError, match="exists"):
        freezing.freeze(None, plan, tmp_path / "frozen", stack=stack)  # type: ignore[arg-type]
