"""Which sources are ready on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import ready


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("EE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


def words(folder: Path) -> list[str]:
    return [one.split(" ")[0] for one in ready.sources(folder)]


def test_without_account_or_archive_the_catalogue_comes_first(tmp_path: Path) -> None:
    assert words(tmp_path) == ["stac:earth-search", "simulated"]


def test_a_key_and_archives_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.json").write_text("{}")
    monkeypatch.setenv("EE_SERVICE_ACCOUNT_KEY", str(tmp_path / "key.json"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "archive.yaml").write_text("")
    assert words(tmp_path) == ["earthengine", "stac:earth-search", "archive:images", "simulated"]


def test_a_key_that_is_not_there_is_no_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EE_SERVICE_ACCOUNT_KEY", str(tmp_path / "gone.json"))
    assert "earthengine" not in words(tmp_path)


def test_a_stored_sign_in_is_found(tmp_path: Path) -> None:
    stored = tmp_path / "home" / ".config" / "earthengine" / "credentials"
    stored.parent.mkdir(parents=True)
    stored.write_text("{}")
    assert "earthengine" in words(tmp_path)
