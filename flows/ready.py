"""Which sources of imagery are ready on this machine, found out without asking anybody."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Final

from gee.archive.manifest import MANIFEST

_MOST: Final = 5
_SIGNED_IN: Final = ("EE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS")
_STORED: Final = (
    Path(".config/earthengine/credentials"),
    Path(".config/gcloud/application_default_credentials.json"),
)
"""Where `earthengine authenticate` and `gcloud auth application-default login` keep them."""


def sources(folder: Path | None = None) -> list[str]:
    """Return what `--source` may say here, each with a word on what it is.

    Args:
        folder: where archives are looked for; the current one where None.
    """
    found = ["stac:earth-search (public imagery, no account; needs the network)"]
    if _signed_in():
        found.insert(0, "earthengine (signed in)")
    here = folder or Path()
    archives = (path.parent for path in sorted(here.glob(f"*/{MANIFEST}")))
    found += [f"archive:{one.relative_to(here)}" for one in islice(archives, _MOST)]
    return [*found, "simulated (a test bench, no evidence)"]


def _signed_in() -> bool:
    """Return whether there seem to be credentials for Earth Engine; `coslide doctor` tries them."""
    named = any(Path(os.environ.get(name) or "/nowhere").is_file() for name in _SIGNED_IN)
    return named or any((Path.home() / path).is_file() for path in _STORED)
