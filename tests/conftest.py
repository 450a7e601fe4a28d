"""What holds for every test: seeds, profiles of the property tests, and the real data."""

from __future__ import annotations

import os
import random
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Sums in another order differ in their last digits: this process and the ones that tests start add
# up on one thread alike. Three workers keep two cores busy: tests of the service wait for others.
os.environ["OMP_NUM_THREADS"] = "1"

REPOSITORY = Path(__file__).resolve().parent.parent
REAL = REPOSITORY.parent / "shared" / "real"

# `ci` draws the same examples every time; `long` (make verify-properties) draws many new ones.
_SLOW = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("long", deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
LONG = 20
"""How many times the examples of a property are drawn in the profile `long`."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker ends alone with one; leave public
    services alone unless they are asked for by name; and draw more examples of each property where
    the profile asks for it: a test's own number is what CI draws.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    if "live" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("live"):
                item.add_marker(pytest.mark.skip("a public service: pytest -m live"))
    if os.environ.get("HYPOTHESIS_PROFILE") != "long":
        return
    for item in items:
        function = getattr(item, "obj", None)
        if getattr(function, "is_hypothesis_test", False):
            chosen = getattr(function, "_hypothesis_internal_use_settings", None) or settings()
            many = settings(chosen, max_examples=LONG * chosen.max_examples, derandomize=False)
            function._hypothesis_internal_use_settings = many


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Seed the global generators from the test's name: no test hangs on what ran before it."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries draw from it)
    if (torch := sys.modules.get("torch")) is not None:  # never import it for a test without
        torch.manual_seed(seed)


@pytest.fixture(scope="session")
def real() -> Path:
    """Return the folder of real imagery, truth, quakes and terrain; skip, saying so, where it is
    absent.
    """
    if not REAL.is_dir():
        pytest.skip(f"the real data are not here: {REAL} does not exist")
    return REAL
