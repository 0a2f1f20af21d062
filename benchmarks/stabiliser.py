"""What the temporal stabiliser gains and costs: `python -m dayshift.benchmarks.stabiliser`.

A video is translated frame by frame, once as the model does it and once with flicker added, as
models without a memory have it: the whole picture's light jumps, and so do patches of it, large and
small. The warping error (Lai et al., ECCV 2018) is the mean squared difference of an image and the
one before it, moved by the flow of the sources, where that flow is right; images are in [0, 1]. The
flow that measures is DIS at its finest on full frames, not the coarse one that the stabiliser uses.
PSNR against the images without flicker tells what is lost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np

from dayshift.benchmarks.machine import describe_machine
from dayshift.runtime.bundled import bundled_clip
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.model import load
from dayshift.runtime.sources import open_source
from dayshift.runtime.stabiliser import Stabiliser
from dayshift.runtime.timing import Samples


@dataclass
class _Line:
    """One way of making images, measured."""

    name: str
    make: Callable[[Frame, Pixels, Pixels], Pixels]
    errors: list[float] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)
    times: Samples = field(default_factory=Samples)
    before: Pixels | None = None

    def add(self, frame: Frame, clean: Pixels, flickering: Pixels, warp: _Warp | None) -> None:
        """Make an image and measure it."""
        started_at = time.perf_counter()
        image = self.make(frame, clean, flickering)
        self.times.add((time.perf_counter() - started_at) * 1e3)
        if warp is not None and self.before is not None:
            self.errors.append(warp.error(image, self.before))
        self.psnr_db.append(min(99.0, cv2.PSNR(image, clean)))
        self.before = image


class _Warp:
    """Moves the image before to where the source's pixels are now."""

    def __init__(self, flow: cv2.DISOpticalFlow, source: Pixels, before: Pixels) -> None:
        grey, grey_before = (cv2.cvtColor(one, cv2.COLOR_BGR2GRAY) for one in (source, before))
        # The stubs want an array here, which DIS would take for a first guess.
        found = flow.calc(grey, grey_before, None)  # type: ignore[call-overload]
        moved = np.asarray(found, np.float32)
        rows, columns = np.indices(grey.shape, np.float32)
        self._at = (moved[..., 0] + columns, moved[..., 1] + rows)
        difference = source.astype(np.float32) - self._move(before)
        # Occlusions and wrong flow do not count.
        self._counts = (difference**2).sum(axis=2) < 0.02 * 255**2

    def error(self, image: Pixels, before: Pixels) -> float:
        """Return the mean squared difference in [0, 1] units."""
        difference = (image.astype(np.float32) - self._move(before)) / 255
        return float((difference**2).mean(axis=2)[self._counts].mean())

    def _move(self, image: Pixels) -> np.ndarray:
        return np.asarray(cv2.remap(image, *self._at, cv2.INTER_LINEAR), np.float32)


def _flicker(random: np.random.Generator, image: Pixels) -> Pixels:
    """Return an image with its light jumping: as a whole, in large patches and in small ones."""
    height, width = image.shape[:2]
    light = np.full((height, width, 3), random.normal(0, 4, 3), np.float32)
    for rows, levels in ((6, 5.0), (45, 3.0)):
        patches = random.normal(0, levels, (rows, rows * 16 // 9, 3)).astype(np.float32)
        light += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(image + light, 0, 255), np.uint8)


def _frames(source: str, count: int) -> Iterator[Frame]:
    with open_source(source) as opened:
        yield from islice(iter(opened.read, None), count)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", default=str(bundled_clip()), help="a video")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--model", default="day2night")
    options = parser.parse_args()
    calm, wild, weak = Stabiliser(), Stabiliser(), Stabiliser(hold=0.6)
    lines = [
        _Line("model alone", lambda frame, clean, flickering: clean),
        _Line("model, stabilised", lambda frame, clean, flickering: calm(frame, clean)),
        _Line("flickering", lambda frame, clean, flickering: flickering),
        _Line("flickering, hold 0.6", lambda frame, clean, flickering: weak(frame, flickering)),
        _Line("flickering, stabilised", lambda frame, clean, flickering: wild(frame, flickering)),
    ]
    random = np.random.default_rng(0)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    source_before: Pixels | None = None
    with load(options.model) as model:
        for frame in _frames(options.source, options.frames):
            clean = model(frame.pixels)
            flickering = _flicker(random, clean)
            warp = None if source_before is None else _Warp(flow, frame.pixels, source_before)
            for line in lines:
                line.add(frame, clean, flickering, warp)
            source_before = frame.pixels
    height, width = clean.shape[:2]
    print(f"{options.source}: {len(lines[0].psnr_db)} frames of {width}x{height}")
    print(describe_machine())
    print(f"{'':24}{'warping error':>14}{'PSNR to clean':>15}{'ms p50':>8}{'ms p95':>8}")
    for line in lines:
        spent = line.times.summarize()
        print(
            f"{line.name:24}{np.mean(line.errors):14.6f}{np.mean(line.psnr_db):12.1f} dB"
            f"{spent.p50:8.2f}{spent.p95:8.2f}"
        )


if __name__ == "__main__":
    main()
