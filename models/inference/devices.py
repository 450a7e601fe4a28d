"""Several GPUs of one machine: a checkpoint at work on each, and work shared out among them, so
that each takes the next piece as soon as it is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch

from models.inference.predict import Predictor, repeatable

T = TypeVar("T")


def everywhere(predictor: Predictor) -> list[Predictor]:
    """Return a checkpoint at work on every GPU of this machine; itself alone on a processor."""
    count = torch.cuda.device_count() if predictor.torch_device.type == "cuda" else 1
    return [predictor, *(predictor.beside(number) for number in range(1, count))]


def share_out(
    pieces: Iterable[T], predictors: Sequence[Predictor], work: Callable[[Predictor, T], None]
) -> None:
    """Do a piece of work at a time on each predictor's device until none is left.

    Raises:
        Exception: the first error of any; pieces that had not begun are left undone.
    """
    if len(predictors) == 1:
        for piece in pieces:
            work(predictors[0], piece)
        return
    waiting: SimpleQueue[T] = SimpleQueue()
    for piece in pieces:
        waiting.put(piece)
    failed: list[BaseException] = []

    def serve(predictor: Predictor) -> None:
        device = predictor.torch_device
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            while not failed:
                try:
                    piece = waiting.get_nowait()
                except Empty:
                    return
                try:
                    work(predictor, piece)
                except BaseException as error:
                    failed.append(error)
                    raise

    # cuDNN's flags are the process's: set once around all threads, each of which sets them again.
    with repeatable(), ThreadPoolExecutor(len(predictors), thread_name_prefix="device") as pool:
        for done in [pool.submit(serve, predictor) for predictor in predictors]:
            done.result()
