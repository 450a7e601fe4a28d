"""What the service reports about itself, beside what was counted here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gee.usage import Account as Counts


class Account(Counts):
    """The account of one source, with the service's own words."""

    def __init__(self) -> None:
        super().__init__()
        self.reported: Mapping[str, str] = {}
        """What the service says about itself in its replies' ``x-earth-engine-*`` headers: quota
        status, perhaps compute.
        """

    def as_plain(self) -> dict[str, Any]:
        """Return the counts for the provenance, and what the service reported; compute it did not
        report is "unknown".
        """
        reported = dict(self.reported)
        eecu = next((value for name, value in reported.items() if "eecu" in name), "unknown")
        told = {"reported": reported} if reported else {}
        return {**super().as_plain(), "eecu": eecu, **told}
