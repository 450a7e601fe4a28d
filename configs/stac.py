"""How a STAC catalogue is used: which one, which collections, which limits. Credentials come from
the environment, never from here.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from configs.event import Frozen

PRESETS: Final = {
    "earth-search": "https://earth-search.aws.element84.com/v1",
    "planetary-computer": "https://planetarycomputer.microsoft.com/api/stac/v1",
}
"""Public catalogues by name: https://element84.com/earth-search/ and
https://planetarycomputer.microsoft.com/docs/reference/stac/ (neither needs an account)."""
_LOOPBACK: Final = ("http://127.0.0.1:", "http://localhost:")


def _catalogue(text: str) -> str:
    if text.startswith("http://") and not text.startswith(_LOOPBACK):
        raise ValueError(f"`{text}` is not https; give an https:// address")
    if not text.strip() or any(sign in text for sign in "\n\r\t"):
        raise ValueError(f"name a catalogue: {', '.join(PRESETS)}, an https:// address or a folder")
    return text


class StacConfig(Frozen):
    """Settings of a catalogue as a source; they travel with the run file."""

    catalogue: Annotated[str, AfterValidator(_catalogue)] = "earth-search"
    """earth-search or planetary-computer; the https address of an API or of a static catalogue's
    JSON; or a folder (or file) with a static catalogue.
    """
    collection: str = Field(default="sentinel-2-l2a", min_length=1)
    """Collection of Sentinel-2 surface reflectance (L2A) as cloud-optimised GeoTIFFs."""
    elevation: str | None = "cop-dem-glo-30"
    """Collection of elevation in metres; null where the catalogue has none."""
    leave_out: tuple[str, ...] = ()
    """Ids of items that are never used, e.g. one whose files are broken."""
    age_weight: float = Field(default=0.25, ge=0, le=10)
    """What a day of age counts against a day of seasonal difference when a pre-event pixel is
    chosen, as in `earthengine.age_weight`.
    """
    post_policy: Literal["earliest", "latest"] = "earliest"
    """Which clear pixel after the event is taken: the earliest (rapid response) or the latest."""
    scenes_per_tile: int = Field(default=10, ge=1, le=100)
    """At most so many scenes of one tile and window are composited: the best ones."""
    block_px: int = Field(default=1024, ge=256, le=4096, multiple_of=256)
    """Side of the blocks that are pulled at once; a tile of the files is 512 or 1024 px."""
    workers: int = Field(default=8, ge=1, le=64)
    """Blocks in flight at most."""
    requests: int = Field(default=32, ge=1, le=256)
    """Requests for parts of files in flight at most."""
    page_items: int = Field(default=100, ge=1, le=1000)
    """Items that one page of a search may hold; catalogues allow less for large items."""
    deadline_s: float = Field(default=120, gt=0, le=3600)
    """Longest time for one request, body included."""
    silence_s: float = Field(default=30, gt=0, le=600)
    """Longest silence on a connection."""
    attempts: int = Field(default=6, ge=1, le=50)
    """Tries of one request through server errors, time-outs and damaged parts of files."""
    patience_s: float = Field(default=600, ge=0, le=86400)
    """How long the host may ask to wait before the run gives up."""

    @property
    def address(self) -> str:
        """Return where the catalogue is: an address or a path."""
        return PRESETS.get(self.catalogue, self.catalogue)

    @property
    def is_local(self) -> bool:
        """Return whether the catalogue is a folder or file of this machine."""
        return not self.address.startswith(("https://", "http://"))
