"""The puller: the pixels of a grid in as few requests as the limits allow, or one clear error.

Its policy in place of the client's own: a rate limit waits at the shared gate, server errors and
damaged payloads are tried again with jitter, what is too much is split in four, and anything else
stops every thread at once with the remedy.
"""

from __future__ import annotations

import io
import logging
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import ee
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from configs.earthengine import EarthEngineConfig
from configs.errors import CoslideError, SourceError
from gee.chunks import HANDS
from gee.earthengine.failures import Damaged, judge
from gee.earthengine.rate_limit import Gate
from gee.earthengine.refusals import Cure
from gee.earthengine.usage import Account

logger = logging.getLogger(__name__)

REQUEST_BYTES: Final = 48 * 2**20
"""https://developers.google.com/earth-engine/guides/usage: uncompressed pixels of one
computePixels, a mask byte counts.
"""
_REQUEST_SIDE_PX: Final = 32768
SMALLEST_PX: Final = 64
"""Blocks are not split below this: what cannot be computed here cannot be computed."""
_MOST_LATE: Final = 2
"""A block that misses the deadline so often is too much for the service, though it does not say
so.
"""
_HEADER_BYTES: Final = 1 << 18
"""More than the header of an NPY file of 1024 bands, the most a request may have."""
PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0

_Buffer = bytes | bytearray
Layers = dict[str, NDArray[Any]]
Check = Callable[[Layers], None]


class Puller:
    """Requests of one run, sharing the gate, the account and one stop."""

    def __init__(self, config: EarthEngineConfig, gate: Gate, account: Account) -> None:
        self._config = config
        self._gate = gate
        self.account = account
        self._error: SourceError | None = None
        self._stop = threading.Event()

    def fetch(self, image: Any, layers: Mapping[str, str], grid: GeoBox, check: Check) -> Layers:
        """Return the layers of an image on a grid.

        Args:
            image: `ee.Image` with bands named and typed as `layers`.
            layers: band name -> numpy type, in the image's order.
            grid: any north-up grid.
            check: raises `Damaged` where the layers cannot be what the recipe makes; they are then
                asked for again.

        Raises:
            SourceError: nothing helped; the same error at once for every later call.
        """
        height, width = (int(n) for n in grid.shape)
        if (
            max(height, width) > _REQUEST_SIDE_PX
            or height * width * _bytes_per_px(layers) > REQUEST_BYTES
        ):
            return self._in_four(image, layers, grid, check)
        try:
            read: Layers = self._persist(lambda: self._request(image, layers, grid, check))
            return read
        except TooMuchError as error:
            if max(height, width) <= SMALLEST_PX:
                raise self._halt(error.error) from error
            self.account.add("split")
            logger.info(
                "Earth Engine: a block of %d x %d px is too much at once; asking for its quarters",
                width,
                height,
            )
            return self._in_four(image, layers, grid, check)

    def ask(self, value: Any, *, patient: bool = False) -> Any:
        """Return what a computed object of the client amounts to, in one round trip.

        Args:
            value: the computed object.
            patient: wait where the service computes too much for others already, rather than say
                that this is too much: for what cannot be made smaller.

        Raises:
            TooMuchError: ask for less at once; asking the same again does not help.
            SourceError: nothing helped.
        """
        self.account.add("questions")
        return self._persist(lambda: ee.data.computeValue(value), shrinks=not patient)

    def give_up(self, error: TooMuchError) -> SourceError:
        """Return the error of a question that is too much however small, after which nothing more
        is asked for.
        """
        return self._halt(error.error)

    def _in_four(self, image: Any, layers: Mapping[str, str], grid: GeoBox, check: Check) -> Layers:
        height, width = (int(n) for n in grid.shape)
        out: Layers = {}
        for rows in _halves(height):
            for columns in _halves(width):
                part = self.fetch(image, layers, grid[rows, columns], check)
                for name, values in part.items():
                    out.setdefault(name, np.empty((height, width), values.dtype))[rows, columns] = (
                        values
                    )
        return out

    def _persist(self, request: Callable[[], Any], *, shrinks: bool = False) -> Any:
        """Return what a request gives, tried until it succeeds or nothing can help; one that
        `shrinks` is not tried again where less at once is the cure.
        """
        tried = late = 0
        while True:
            ticket = self._gate.enter(self._config.workers, self._stopped)
            try:
                result = request()
                self._gate.served(ticket)
                return result
            except CoslideError:
                raise
            except Exception as error:
                handling = judge(error)
                waits = handling.cure is Cure.WAIT or (handling.cure is Cure.SHRINK and not shrinks)
                late += isinstance(error, TimeoutError)
                if waits:
                    self.account.add("rate_limited")
                    self._gate.refused(ticket, handling.retry_after)
            finally:
                self._gate.leave()
            less = handling.cure is Cure.SPLIT or (handling.cure is Cure.SHRINK and shrinks)
            if less or late >= _MOST_LATE:
                raise TooMuchError(handling.error)
            tried += handling.cure is Cure.AGAIN
            waited = self._gate.refused_for_s if waits else 0.0
            if (
                handling.cure is Cure.STOP
                or tried >= self._config.attempts
                or waited > self._config.patience_s
            ):
                raise self._halt(handling.error)
            if handling.cure is Cure.AGAIN:
                self.account.add("tried_again")
                logger.info("Earth Engine: %s; trying again", handling.error.message)
                pause = min(_LONGEST_PAUSE_S, PAUSE_S * 2 ** (tried - 1)) * random.uniform(0.5, 1.0)
                self._stop.wait(max(pause, handling.retry_after or 0.0))

    def _stopped(self) -> SourceError | None:
        """Return the error that keeps requests from starting, if any."""
        wait_s = self._gate.closed_for_s
        if self._error is None and wait_s > self._config.patience_s:
            return self._halt(
                SourceError(
                    f"Earth Engine's quota is used up: it asks to wait {wait_s:.0f} s",
                    "Give the same command again then: it goes on; or raise "
                    "`source.earthengine.patience_s`.",
                )
            )
        return self._error

    def _halt(self, error: SourceError) -> SourceError:
        """Return the error that stops this run in every thread: the first one."""
        self._error = self._error or error
        self._stop.set()
        self._gate.wake()
        return self._error

    def _request(self, image: Any, layers: Mapping[str, str], grid: GeoBox, check: Check) -> Layers:
        self.account.add("requests")
        payload = ee.data.computePixels(
            {"expression": image, "fileFormat": "NPY", "grid": _grid_json(grid)}
        )
        self.account.add("bytes", len(payload))
        with HANDS:
            read = _read(payload, layers, (int(grid.shape[0]), int(grid.shape[1])))
            check(read)
        return read


class TooMuchError(Exception):
    """The service cannot do so much at once."""

    def __init__(self, error: SourceError) -> None:
        super().__init__(error.message)
        self.error = error


def _halves(size: int) -> list[slice]:
    middle = (size + 1) // 2
    return [part for part in (slice(0, middle), slice(middle, size)) if part.stop > part.start]


def _bytes_per_px(layers: Mapping[str, str]) -> int:
    return sum(np.dtype(dtype).itemsize + 1 for dtype in layers.values())


def _grid_json(grid: GeoBox) -> dict[str, Any]:
    """Return a grid as the request states it (REST: PixelGrid)."""
    affine, crs = grid.affine, CRS.from_user_input(str(grid.crs))
    epsg = crs.to_epsg()
    return {
        "dimensions": {"width": int(grid.shape[1]), "height": int(grid.shape[0])},
        "affineTransform": {
            "scaleX": affine.a,
            "shearX": affine.b,
            "translateX": affine.c,
            "shearY": affine.d,
            "scaleY": affine.e,
            "translateY": affine.f,
        },
        **({"crsCode": f"EPSG:{epsg}"} if epsg else {"crsWkt": crs.to_wkt()}),
    }


def _read(payload: _Buffer, layers: Mapping[str, str], shape: tuple[int, int]) -> Layers:
    """Return an NPY payload's layers, by name whatever their order.

    Raises:
        Damaged: not an NPY file, of another shape, without a layer, or with values its type cannot
            hold.
    """
    table = _table(payload)
    names = table.dtype.names or ()
    if table.shape != shape or set(names) != set(layers):
        raise Damaged(
            f"{table.shape} pixels of {', '.join(names) or 'no bands'}, not what was asked for"
        )
    read: Layers = {}
    for name, dtype in layers.items():
        # The service may answer in a wider type than the recipe's last cast.
        read[name] = np.array(table[name], dtype=dtype, order="C")
        if table.dtype[name] != np.dtype(dtype) and not np.array_equal(read[name], table[name]):
            raise Damaged(f"values of {name} beyond {dtype}")
    return read


def _table(payload: _Buffer) -> NDArray[Any]:
    """Return an NPY payload as the structured array it is, without a copy
    (https://numpy.org/neps/nep-0001-npy-format.html).
    """
    file = io.BytesIO(payload[:_HEADER_BYTES])
    try:
        reads = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, by_columns, dtype = reads[np.lib.format.read_magic(file)](file)
        if by_columns or dtype.hasobject:
            raise ValueError("not a plain table")
        size = int(np.prod(shape))
        if len(payload) - file.tell() != size * dtype.itemsize:
            raise ValueError("of another length than it says")
        return np.frombuffer(payload, dtype, size, file.tell()).reshape(shape)
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise Damaged(f"{len(payload)} bytes that are no whole NPY file") from error
