"""A study on several cores: each worker trains and asks whole cards, and leaves them where the study finds them."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import torch

from configs.studying import StudyConfig
from flows.progress import progress
from flows.studying.pool import Job, answers, jobs, sample_sets, scenes


def at_once(config: StudyConfig, folder: Path, work: Path, workers: int) -> None:
    """Train and ask every card that is not there yet, `workers` at a time. Sample sets and scenes are there already.

    Raises:
        RequestError, MachineError: the first worker that failed; the cards of the others are kept.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    every = jobs(config)
    # Spawned: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, partial(torch.set_num_threads, threads)) as pool:
        under_way = [pool.submit(one, config, folder, work, job) for job in every]
        with progress("training and asking", "card") as advance:
            for done, future in enumerate(as_completed(under_way), 1):
                try:
                    future.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
                advance(done, len(every))


def one(config: StudyConfig, folder: Path, work: Path, job: Job) -> None:
    """Train and ask one card."""
    sets = sample_sets(config, folder)
    answers(config, job, sets, scenes(config, sets, folder, work), work)
