"""How a total is divided between domains by their shares, to the last chip."""

from __future__ import annotations

from collections.abc import Sequence


def apportioned(total: int, shares: Sequence[float]) -> list[int]:
    """Return whole parts that add up to `total`, as near to the shares as can be: the largest
    remainders are rounded up.
    """
    whole = sum(shares)
    exact = [total * share / whole for share in shares]
    counts = [int(value) for value in exact]
    for number in sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])[
        : total - sum(counts)
    ]:
        counts[number] += 1
    return counts
