"""Addresses that may be read: public, in S3, signed by a package, or signed in the item."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from configs.errors import SourceError
from gee.stac import signing

BLOB = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/54/T/red.tif"


def test_objects_of_public_buckets_are_read_by_https() -> None:
    found = signing.plain("s3://copernicus-dem-30m/N42/N42.tif", False)
    assert found == "https://copernicus-dem-30m.s3.amazonaws.com/N42/N42.tif"
    assert signing.plain("https://x/red.tif", False) == "https://x/red.tif"


def test_the_package_signs_and_signs_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself, its service replaced: one signature serves until it is refused."""
    sas = pytest.importorskip("planetary_computer.sas")
    made: list[str] = []

    class Session:
        def mount(self, *_: object) -> None:
            pass

        def get(self, url: str, **_: object) -> Any:
            made.append(url)
            later = datetime.now(UTC) + timedelta(hours=1)
            return _Answer({"msft:expiry": later.isoformat(), "token": f"sig={len(made)}"})

    monkeypatch.setattr(sas.requests, "Session", Session)
    sas.TOKEN_CACHE.clear()
    signer = signing.signer_for("https://planetarycomputer.microsoft.com/api/stac/v1")
    assert signer(BLOB, False) == f"{BLOB}?sig=1"
    assert signer(BLOB.replace("red", "nir"), False).endswith("nir.tif?sig=1")
    assert signer(BLOB, True) == f"{BLOB}?sig=2"
    assert signer(BLOB.replace("red", "nir"), True).endswith("nir.tif?sig=2")  # refused with it
    assert len(made) == 2
    sas.TOKEN_CACHE.clear()


class _Answer:
    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content

    def raise_for_status(self) -> None:
        pass

    def json(self) -> dict[str, Any]:
        return self._content


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    with pytest.raises(SourceError, match="not installed") as failure:
        signing.PlanetaryComputer()(BLOB, False)
    assert "pip install 'coslide[planetary-computer]'" in failure.value.remedy


def test_an_item_that_carries_the_signature_is_read_anew() -> None:
    reread = iter(["https://x/red.tif?sig=2", "https://x/red.tif?sig=3"])
    address = signing.Signed("https://x/red.tif?sig=1", signing.plain, lambda: next(reread))
    assert address(False) == "https://x/red.tif?sig=1"
    assert address(True) == "https://x/red.tif?sig=2"
    assert address(False) == "https://x/red.tif?sig=2"
    assert address(True) == "https://x/red.tif?sig=3"
