"""One integer a pixel that says which scene it came from and what was seen there: observation class and date in one byte.

``code = 1 + 8 * slot + class``, the slot being the scene's place in the request's list; the largest value of the type means
"not imaged". No code is ever zero, so that a payload whose second half arrived as zeros is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from configs.records import ObservationClass, Scene
from gee.earthengine.verdict import Damaged

CLASSES: Final = 8
_EPOCH: Final = date(1970, 1, 1)


def code_dtype(scenes: int) -> str:
    """Return the smallest type that can code so many scenes."""
    return "uint8" if CLASSES * scenes < np.iinfo(np.uint8).max else "uint16"


def not_imaged(dtype: str) -> int:
    """Return the code of pixels that no scene shows."""
    return int(np.iinfo(dtype).max)


def first_code(slot: int) -> int:
    """Return the code of class 0 of a slot; add the class."""
    return 1 + CLASSES * slot


def read_codes(
    codes: NDArray[np.unsignedinteger[Any]], scenes: Sequence[Scene]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return (observation classes, days since 1970-01-01) of coded pixels, `(y, x)` each.

    Raises:
        Damaged: a code that no scene has.
    """
    blank = codes == not_imaged(codes.dtype.name)
    slots, classes = np.divmod(np.where(blank, 1, codes).astype(np.int64) - 1, CLASSES)
    if codes.size and (codes.min() == 0 or (not blank.all() and slots[~blank].max() >= len(scenes))):
        raise Damaged("pixel codes that no scene has")
    days = np.array([(scene.acquired.date() - _EPOCH).days for scene in scenes] or [0], dtype=np.int32)
    observation = np.where(blank, ObservationClass.NOT_IMAGED, classes).astype(np.uint8)
    return observation, np.where(blank, 0, days[np.where(blank, 0, slots)]).astype(np.int32)
