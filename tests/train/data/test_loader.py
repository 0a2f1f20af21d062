from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dayshift.train.data import (
    Batch,
    DataError,
    LabelledImages,
    Loader,
    PairedImages,
    Preprocess,
    Sample,
    Skipped,
    UnpairedImages,
    make_loader,
    steps_per_epoch,
)

# From Python 3.12 on, as torch starts workers by fork.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)

SMALL = Preprocess(load_size=36, crop_size=32)


class Numbers:
    """Samples that say which they are."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int, epoch: int) -> Sample:
        return {"a": torch.tensor([epoch, index])}

    def skipped(self) -> list[Skipped]:
        return []


def keys(loader: Loader) -> list[list[tuple[int, int]]]:
    return [[(int(e), int(i)) for e, i in batch["a"]] for batch in loader]


def equal(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(
    folders: tuple[Path, Path], workers: int
) -> None:
    (folders[0] / "4.png").write_bytes(b"junk")
    first, second = (UnpairedImages(*folders, SMALL, seed=5) for _ in range(2))
    alone = list(make_loader(first, batch_size=2, seed=5, epochs=2))
    helped = list(make_loader(second, batch_size=2, seed=5, epochs=2, workers=workers))
    assert len(alone) == 6
    assert equal(alone, helped)
    # What workers met is known here.
    assert [item.entry for item in second.skipped()] == [str(folders[0] / "4.png")]


def test_every_epoch_has_each_sample_once_in_an_order_of_its_own() -> None:
    loader = make_loader(Numbers(8), batch_size=2, seed=3, epochs=2)
    assert len(loader) == 8
    flat = list(itertools.chain.from_iterable(keys(loader)))
    for epoch in range(2):
        assert sorted(i for e, i in flat if e == epoch) == list(range(8))
    assert [i for _, i in flat[:8]] != [i for _, i in flat[8:]]
    assert keys(make_loader(Numbers(8), batch_size=2, seed=4))[0] != keys(loader)[0]


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 9])
def test_a_resumed_run_goes_on_where_it_was(start: int) -> None:
    whole = keys(make_loader(Numbers(9), batch_size=2, seed=1, epoch=2, epochs=3))
    resumed = make_loader(Numbers(9), batch_size=2, seed=1, epoch=2, epochs=3, start=start)
    assert keys(resumed) == whole[start:]
    assert len(resumed) == len(whole) - start


def test_two_processes_share_the_batches_of_one() -> None:
    whole = keys(make_loader(Numbers(12), batch_size=4, seed=2))
    shares = [
        keys(make_loader(Numbers(12), batch_size=2, seed=2, rank=rank, world=2)) for rank in (0, 1)
    ]
    assert [first + second for first, second in zip(*shares, strict=True)] == whole


def test_a_loader_may_go_on_for_ever() -> None:
    loader = make_loader(Numbers(4), batch_size=2, seed=0, epochs=None)
    epochs = [int(batch["a"][0, 0]) for batch in itertools.islice(loader, 7)]
    assert epochs == [0, 0, 1, 1, 2, 2, 3]
    with pytest.raises(TypeError, match="never end"):
        len(loader)


def test_making_and_using_a_loader_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    list(make_loader(Numbers(4), batch_size=2, workers=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_too_few_samples_for_a_batch_are_an_error() -> None:
    assert steps_per_epoch(Numbers(9), 2, world=2) == 2
    with pytest.raises(DataError, match="3 samples do not fill one batch of 2 on each of 2"):
        make_loader(Numbers(3), batch_size=2, world=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_of_a_run_leaves_its_workers_at_work(
    number: signal.Signals,
) -> None:
    before = set(multiprocessing.active_children())
    batches = iter(make_loader(Numbers(20), batch_size=1, workers=1))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - before
    assert worker.pid is not None
    os.kill(worker.pid, number)
    assert len(list(batches)) == 19


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_sample_stays_one_line(folders: tuple[Path, Path], workers: int) -> None:
    dataset = LabelledImages(*folders, SMALL, classes=3)
    before = set(multiprocessing.active_children())
    with pytest.raises(DataError, match=r"^\S+\.png has the label \d+ at row [^\n]*$") as held:
        list(make_loader(dataset, batch_size=1, workers=workers))
    assert held.tb is not None  # whoever keeps the error keeps no workers
    assert set(multiprocessing.active_children()) <= before


def test_images_of_several_sizes_do_not_make_a_batch(
    folders: tuple[Path, Path], write_image: Callable[..., Path]
) -> None:
    for folder in ("a", "b"):
        write_image(f"{folder}/0.png", size=(60, 48))
    dataset = PairedImages.from_folders(*folders, Preprocess(mode="none", flip=False))
    with pytest.raises(DataError, match=r"differ in size \(48x40, 48x60\): .* batches of 1"):
        list(make_loader(dataset, batch_size=6))
    assert len(list(make_loader(dataset, batch_size=1))) == 6


def test_the_time_waited_for_batches_is_counted() -> None:
    loader = make_loader(Numbers(4), batch_size=2)
    assert loader.waited_s == 0
    list(loader)
    assert loader.waited_s > 0
