"""The course of a training as TensorBoard shows it: needs ``coslide[tensorboard]``, and is written
only where it is asked for.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from configs.errors import RequestError

BOARD = "tensorboard"
"""Folder of the event files, in that of the training."""
_TAGS = {
    "loss": "loss/training",
    "validation_loss": "loss/validation",
    "validation_f1": "validation F1",
    "threshold": "threshold",
    "learning_rate": "learning rate",
}


class Board:
    """Event files of one training; an interrupted one goes on where its state was saved."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the event files; what they hold beyond `step` is not shown any more.

        Raises:
            RequestError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RequestError(
                "the recipe asks for TensorBoard, which is not installed",
                "Install it, `pip install 'coslide[tensorboard]'`, or leave out `tensorboard`; "
                "curves.csv is written in any case.",
            ) from error
        self._writer: Any = SummaryWriter(
            str(folder / BOARD), purge_step=step + 1 if step else None
        )

    def add(self, records: list[dict[str, Any]]) -> None:
        """Write the records of steps and validations (`models.training.curves`)."""
        for record in records:
            for name, tag in _TAGS.items():
                value = record.get(name)
                if value is not None and math.isfinite(value):
                    self._writer.add_scalar(tag, value, record["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the event files."""
        self._writer.close()
