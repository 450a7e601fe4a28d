"""A drill: the earthquakes of a file instead of the feed's, nothing asked for over the network."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from configs.errors import RequestError
from gee.fetch import NotThereError

_LARGEST_BYTES = 50 * 2**20


@dataclass(frozen=True)
class Drill:
    """What stands for the network: it answers for the feed and for the details of its events.

    ShakeMaps lie elsewhere: a drill's areas are circles by magnitude.
    """

    feed: bytes
    details: dict[str, bytes]
    """Event id to its feature."""

    @classmethod
    def of(cls, path: Path) -> Drill:
        """Return the drill in a file: a feed of the USGS, or one event's detail.

        Raises:
            RequestError: no such file, or neither.
        """
        try:
            if path.stat().st_size > _LARGEST_BYTES:
                raise RequestError(f"--feed: {path} is too large", "Give a file of some events.")
            content = json.loads(path.read_bytes())
            features = content.get("features", [content])
            details = {str(one["id"]): json.dumps(one).encode() for one in features}
        except FileNotFoundError:
            raise RequestError(f"--feed: no such file: {path}", "Check the path.") from None
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            raise RequestError(
                f"--feed: {path} is no GeoJSON feed of earthquakes",
                "Save a feed of the USGS, or one event's detail, as GeoJSON.",
            ) from error
        feed = json.dumps({"type": "FeatureCollection", "features": features}).encode()
        return cls(feed, details)

    def __call__(
        self, url: str, *, limit_bytes: int = 0, hosts: Collection[str] | None = None
    ) -> bytes:
        """Return what the network would have answered.

        Raises:
            NotThereError: an event that the file does not hold, or anything else, such as a
                ShakeMap.
        """
        del limit_bytes, hosts
        for name, detail in self.details.items():
            if f"eventid={name}&" in f"{url}&":
                return detail
        if "eventid=" in url:
            raise NotThereError("the file of the drill does not hold this event", "")
        if url.endswith(".geojson") or "format=geojson" in url:
            return self.feed
        raise NotThereError("a drill asks for nothing over the network", "")
