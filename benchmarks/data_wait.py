"""How fast training data come: samples per second of the loader, by number of workers.

    python -m dayshift.benchmarks.data_wait DIR [--workers 0 1 2] [--load-size 286]

Reads DIR as both domains of unpaired training. A training step that takes longer than a batch does
here never waits; what a real run waits for is in its own log.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from dayshift.train.data import Dataset, Preprocess, UnpairedImages, make_loader

BATCH = 4


def samples_per_second(dataset: Dataset, workers: int, count: int) -> float:
    """Return the rate over `count` samples, the workers' start and first batch left out."""
    batches = iter(make_loader(dataset, batch_size=BATCH, epochs=None, workers=workers))
    next(batches)
    started_at = time.perf_counter()
    for _ in islice(batches, count // BATCH):
        pass
    return count // BATCH * BATCH / (time.perf_counter() - started_at)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a line for each number of workers."""
    parser = argparse.ArgumentParser(description="samples per second of the data loader")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--load-size", type=int, default=286)
    parser.add_argument("--crop-size", type=int, default=256)
    parser.add_argument("--count", type=int, default=400)
    args = parser.parse_args(argv)
    preprocess = Preprocess(load_size=args.load_size, crop_size=args.crop_size)
    dataset = UnpairedImages(args.folder, args.folder, preprocess)
    for workers in args.workers:
        rate = samples_per_second(dataset, workers, args.count)
        print(f"{workers} workers: {rate:.0f} samples/s, {1000 * BATCH / rate:.1f} ms for {BATCH}")


if __name__ == "__main__":
    main()
