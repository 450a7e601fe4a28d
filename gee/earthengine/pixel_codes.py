"""One integer a pixel that says which scene it came from and what was seen there: observation class
and date in one byte.

``code = 1 + 8 * slot + class``, the slot being the scene's place in the request's list; the largest
value of the type means "not imaged". No code is ever zero, so that a payload whose second half
arrived as zeros is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ee
import numpy as np
from numpy.typing import NDArray

from configs.records import ObservationClass, Scene
from configs.stack import EPOCH_DAY
from gee.earthengine.failures import Damaged

CLASSES: Final = 8
CODE_BITS: Final = 8
COUNTS: Final = 0x7FFF
"""Counts that leave the top bit of 16 free."""


def code_dtype(scenes: int) -> str:
    """Return the smallest type that can code so many scenes."""
    return "uint8" if CLASSES * scenes < np.iinfo(np.uint8).max else "uint16"


def not_imaged(dtype: str) -> int:
    """Return the code of pixels that no scene shows."""
    return int(np.iinfo(dtype).max)


def first_code(slot: int) -> int:
    """Return the code of class 0 of a slot; add the class."""
    return 1 + CLASSES * slot


def pack(values: Any, names: Sequence[str], code: Any) -> Any:
    """Return an image of 15-bit counts with one bit of the code on top of each of its first eight
    bands: it costs no byte then.

    Args:
        values: `ee.Image` of counts, at most `COUNTS`.
        names: its bands, eight of them at least.
        code: `ee.Image` of one 8-bit band.
    """
    bits = (
        code.bitwiseAnd(ee.Image.constant([1 << place for place in range(CODE_BITS)]))
        .neq(0)
        .multiply(COUNTS + 1)
    )
    first, rest = list(names[:CODE_BITS]), list(names[CODE_BITS:])
    packed = values.select(first).add(bits).toUint16()
    return ee.Image.cat([packed, values.select(rest)]) if rest else packed


def unpack(values: Sequence[NDArray[np.uint16]]) -> NDArray[np.uint8]:
    """Return the code that lies on top of the first eight arrays, which are left with their counts
    alone.
    """
    code = np.zeros(values[0].shape, np.uint8)
    for place, counts in enumerate(values[:CODE_BITS]):
        code |= ((counts >> 15) << place).astype(np.uint8)
        counts &= COUNTS
    return code


def check_codes(codes: NDArray[np.unsignedinteger[Any]], scenes: int) -> None:
    """Make sure that every code is one that so many scenes can have.

    Raises:
        Damaged: one is not.
    """
    possible = np.zeros(int(np.iinfo(codes.dtype).max) + 1, bool)
    possible[1 : 1 + CLASSES * scenes] = possible[not_imaged(codes.dtype.name)] = True
    if not possible[codes].all():
        raise Damaged("part of the block arrived as zeros, or with pixel codes that no scene has")


def read_classes(
    codes: NDArray[np.unsignedinteger[Any]], scenes: Sequence[Scene]
) -> NDArray[np.uint8]:
    """Return the observation classes of coded pixels."""
    table = np.full(int(np.iinfo(codes.dtype).max) + 1, ObservationClass.NOT_IMAGED, np.uint8)
    for slot in range(len(scenes)):
        table[first_code(slot) : first_code(slot) + CLASSES] = np.arange(CLASSES)
    read: NDArray[np.uint8] = table[codes]
    return read


def read_days(
    codes: NDArray[np.unsignedinteger[Any]], scenes: Sequence[Scene]
) -> NDArray[np.int32]:
    """Return the acquisition days of coded pixels since 1970-01-01, 0 where not imaged."""
    table = np.zeros(int(np.iinfo(codes.dtype).max) + 1, np.int32)
    for slot, scene in enumerate(scenes):
        table[first_code(slot) : first_code(slot) + CLASSES] = (
            scene.acquired.date() - EPOCH_DAY
        ).days
    read: NDArray[np.int32] = table[codes]
    return read
