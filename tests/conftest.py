"""Fixtures that several steps share."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
REAL = REPOSITORY.parent / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """Return the folder of real imagery, truth, quakes and terrain; skip, saying so, where it is
    absent.
    """
    if not REAL.is_dir():
        pytest.skip(f"the real data are not here: {REAL} does not exist")
    return REAL
