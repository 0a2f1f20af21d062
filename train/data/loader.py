"""Batches of a data set: in an order that follows from seed and epoch, from any position on.

However many workers or processes there are, the samples of a step are the same: each process takes
its share of every global batch.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from dayshift.train.data.datasets import Dataset, Sample
from dayshift.train.data.images import DataError

Batch = dict[str, Tensor]
_Key = tuple[int, int]  # epoch, index

_LAST_S = 30  # a worker lives on after SIGTERM, for the steps until the run is saved
_ORDERS = 1  # keeps the streams of orders apart from those of samples, see `datasets`


def steps_per_epoch(dataset: Dataset, batch_size: int, world: int = 1) -> int:
    """Return how many whole global batches the data set gives; what is over is left out.

    Raises:
        DataError: Not even one.
    """
    steps = len(dataset) // (batch_size * world)
    if steps == 0:
        raise DataError(
            f"{len(dataset)} samples do not fill one batch of {batch_size} on each of {world} "
            "processes: take a smaller batch, or more images"
        )
    return steps


def make_loader(
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int = 0,
    epoch: int = 0,
    start: int = 0,
    epochs: int | None = 1,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Loader:
    """Return batches of `batch_size` samples for this process.

    Args:
        dataset: where samples come from.
        batch_size: samples of a batch, of each process.
        seed: of the order.
        epoch: the first epoch.
        start: steps of that epoch that are already done: a resumed run goes on behind them.
        epochs: how many epochs to go on for, the first one included; None never ends. Workers
            live on and load ahead from one epoch into the next.
        workers: processes that load; 0 loads in this one, when asked.
        rank: number of this process.
        world: number of processes.

    Raises:
        DataError: The data set does not fill one global batch.
    """
    order = _Order(
        len(dataset),
        batch_size,
        seed,
        epoch,
        start,
        epochs,
        rank,
        world,
        steps_per_epoch(dataset, batch_size, world),
    )
    return Loader(dataset, order, workers)


class Loader:
    """An iterable of batches, made by `make_loader`. One thread at a time iterates.

    Attributes:
        waited_s: seconds that the consumer has waited for batches so far: over the time that the
            run took, the share that loading costs.
    """

    def __init__(self, dataset: Dataset, order: _Order, workers: int) -> None:
        self.waited_s = 0.0
        self._order = order
        self._batches: torch_data.DataLoader[Any] = torch_data.DataLoader(
            _ByKey(dataset),
            batch_sampler=order,
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_set_up_worker if workers else None,
            pin_memory=torch.cuda.is_available(),
            # Without one of its own it draws from the global stream, and training would depend on
            # how often a loader was made.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Return the number of batches.

        Raises:
            TypeError: They never end.
        """
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches.

        Raises:
            DataError: No image can be used, a label is out of range, or samples differ in size.
        """
        batches = iter(self._batches)
        try:
            while True:
                asked_at = time.perf_counter()
                batch = next(batches, None)
                self.waited_s += time.perf_counter() - asked_at
                if batch is None:
                    return
                if isinstance(batch, DataError):
                    raise batch
                yield batch
        finally:
            # An error's traceback would keep the workers, which outlive SIGTERM for a while: at the
            # end the program would wait for them.
            stop = getattr(batches, "_shutdown_workers", None)
            if stop is not None:
                stop()


@dataclass(frozen=True)
class _Order(torch_data.Sampler[list[_Key]]):
    """The keys of each batch of one process."""

    count: int
    batch_size: int
    seed: int
    epoch: int
    start: int
    epochs: int | None
    rank: int
    world: int
    steps: int

    def __len__(self) -> int:
        if self.epochs is None:
            raise TypeError("these batches never end: they have no number")
        return max(0, self.epochs * self.steps - self.start)

    def __iter__(self) -> Iterator[list[_Key]]:
        epoch, step = self.epoch + self.start // self.steps, self.start % self.steps
        while self.epochs is None or epoch < self.epoch + self.epochs:
            order = np.random.default_rng((_ORDERS, self.seed, epoch)).permutation(self.count)
            for place in range(step, self.steps):
                first = (place * self.world + self.rank) * self.batch_size
                chosen = order[first : first + self.batch_size]
                yield [(epoch, int(index)) for index in chosen]
            epoch, step = epoch + 1, 0


class _ByKey(torch_data.Dataset[Sample | DataError]):
    """Hands errors on as values: torch would wrap a worker's traceback around their one line."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, key: _Key) -> Sample | DataError:
        epoch, index = key
        try:
            return self._dataset.sample(index, epoch)
        except DataError as error:
            return error


def _collate(samples: list[Sample | DataError]) -> Batch | DataError:
    good: list[Sample] = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        good.append(sample)
    for key in good[0]:
        shapes = sorted({tuple(sample[key].shape) for sample in good})
        if len(shapes) > 1:
            first, second = (f"{shape[-1]}x{shape[-2]}" for shape in shapes[:2])
            return DataError(
                f"images of one batch differ in size ({first}, {second}): "
                "take a preprocess mode that crops, or batches of 1"
            )
    return {key: torch.stack([sample[key] for sample in good]) for key in good[0]}


def _set_up_worker(_worker: int) -> None:
    """Keep a worker to its core, and let the run alone decide when it ends.

    OpenCV's threads do not survive the fork that made it. A terminal, `timeout`, systemd and SLURM
    signal all of a run's processes: a worker that dies of it at once ends the run unsaved.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_LAST_S))
