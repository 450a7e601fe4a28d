"""A loopback Earth Engine for tests, and a machine that is signed in to it with a real
service-account key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from configs.earthengine import EarthEngineConfig
from earthengine import world
from earthengine.evaluator import Evaluator
from earthengine.loopback import Loopback
from gee.earthengine import disconnect
from gee.earthengine import rate_limit as gates

SECRET = "the-planted-private-key-id-0123456789"


@pytest.fixture(scope="session")
def private_key() -> str:
    """Return a fresh RSA key in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="session")
def _loopback() -> Iterator[Loopback]:
    with Loopback(Evaluator(world.catalogue())) as loopback:
        yield loopback


@pytest.fixture
def loopback(
    _loopback: Loopback, tmp_path: Path, private_key: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Loopback]:
    """Return the server; this process's environment points at it and holds a key that it
    accepts.
    """
    _loopback.reset()
    write_key(tmp_path / "key.json", private_key, _loopback.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COSLIDE_EE_URL", _loopback.url)
    monkeypatch.setenv("EE_SERVICE_ACCOUNT_KEY", str(tmp_path / "key.json"))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "EE_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gates, "_GATES", {})
    yield _loopback
    disconnect()


@pytest.fixture
def config() -> EarthEngineConfig:
    """Return settings with waits short enough for tests."""
    return EarthEngineConfig(block_px=256, deadline_s=20, silence_s=1, workers=8)


def write_key(path: Path, private_key: str, url: str, project: str = "ee-test") -> None:
    """Write a service-account key file whose tokens the loopback issues."""
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": project,
                "private_key_id": SECRET,
                "private_key": private_key,
                "client_email": f"w@{project}.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{url}/token",
            }
        ),
        encoding="utf-8",
    )


ROWS: list[tuple[str, ...]] = []
"""The fault matrix as it was run: case, outcome, requests, refused, tried again, split, seconds."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the fault matrix."""
    if not ROWS:
        return
    header = ("fault", "outcome", "requests", "refused", "again", "split", "s")
    widths = [max(len(row[i]) for row in (header, *ROWS)) for i in range(len(header))]
    terminalreporter.section("fault matrix: real client, loopback Earth Engine")
    for row in (header, *ROWS):
        terminalreporter.write_line(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        )
