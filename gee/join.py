"""Two instruments over one block: what each measured, and what of the block was seen."""

from __future__ import annotations

import numpy as np

from configs.records import ObservationClass
from gee.source import Pulled


def beside(first: Pulled, second: Pulled) -> Pulled:
    """Return the bands of both. Of a window that both looked at, the first tells what was seen, and the dates.

    A pixel is imaged where both instruments saw it.
    """
    observation, days = dict(first.observation), dict(first.date)
    for when, seen in second.observation.items():
        days.setdefault(when, second.date[when])
        both = observation.get(when, seen)
        observation[when] = np.where(seen == ObservationClass.NOT_IMAGED, seen, both)
    return Pulled({**first.bands, **second.bands}, observation, days)
