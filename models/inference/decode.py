"""Stored integers to physical values, on the device that computes: half the bytes travel there, and
no Python thread does arithmetic on pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from configs.stack import Coding


def decoded(stored: Tensor, coding: Coding) -> Tensor:
    """Return physical values `(B, C, H, W)` float32, NaN where not known, of the bits of a stack's
    bands `(B, C, H, W)` int16, on their device. The same numbers as `configs.stack.decode`.
    """
    bits, scale, offset, nodata = (torch.from_numpy(part).to(stored.device) for part in coding)
    integers = stored.to(torch.int32) & bits
    values = integers.to(torch.float32).mul_(scale).add_(offset)
    return values.masked_fill_(integers == nodata, torch.nan)
