"""The numbers of a card are checked when it is read: one that was damaged, or edited
with a slip, maps nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cards import make_card

from configs.checkpoint import CARD, read_card
from configs.errors import RequestError

NAN, INF = float("nan"), float("inf")


def read_with(folder: Path, path: str, value: Any) -> Any:
    """Return the card as it is read with one of its numbers replaced (`path` with dots)."""
    content = make_card().model_dump(mode="json")
    content["calibration"] = {"method": "isotonic", "points": [[-2.0, 0.1], [0.0, 0.4], [3.0, 0.9]]}
    content["confidence"] = {
        "high": 0.9,
        "medium": 0.6,
        "counts": {"high": 3},
        "right": {"high": 0.95},
        "measured_on": "here",
    }
    *parents, last = path.split(".") if path else [""]
    inner = content
    for name in parents:
        inner = inner[name]
    if path:
        inner[last] = value
    (folder / CARD).write_text(yaml.safe_dump(content))
    return read_card(folder)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("threshold", 0.0, "threshold"),
        ("threshold", 1.0, "threshold"),
        ("threshold", NAN, "threshold"),
        ("resolution_m", INF, "resolution_m"),
        ("normalisation.fill", NAN, "fill"),
        ("normalisation.statistics.post_B4.mean", NAN, "mean"),
        ("normalisation.statistics.post_B4.maximum", INF, "maximum"),
        ("normalisation.statistics.post_B4.std", 0.0, "post_B4, which varies"),
        ("normalisation.statistics.post_B4.std", -0.1, "std"),
        ("normalisation.statistics.post_B4.minimum", 9.0, "above `maximum`"),
        ("calibration.points", [[-2.0, 0.1], [0.0, 0.05]], "must ascend"),
        ("calibration.points", [[0.0, 0.1], [0.0, 0.5]], "must ascend"),
        ("calibration.points", [[-2.0, 0.1], [0.0, 1.5]], r"in 0\.\.1"),
        ("calibration.points", [[-2.0, 0.1], [0.0, NAN]], "points"),
        ("calibration.scale", 0.0, "scale"),
        ("calibration.scale", -1.0, "scale"),
        ("calibration.shift", INF, "shift"),
        ("confidence.medium", 0.95, "`medium` lies above `high`"),
        ("confidence.right", {"high": 1.2}, r"in 0\.\.1"),
        ("validation_f1", NAN, "validation_f1"),
    ],
)
def test_a_number_that_cannot_be_is_named(
    tmp_path: Path, path: str, value: Any, words: str
) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        read_with(tmp_path, path, value)
    assert CARD in refused.value.message
    assert "coslide train" in refused.value.remedy


def test_a_card_as_it_is_written_is_read(tmp_path: Path) -> None:
    assert read_with(tmp_path, "", None).calibration.points[-1] == (3.0, 0.9)
    never_varied = {"minimum": 2.0, "maximum": 2.0, "mean": 2.0, "std": 0.0}
    path = "normalisation.statistics.slope"
    assert read_with(tmp_path, path, never_varied).normalisation.statistics["slope"].std == 0
