"""The loops that people write first: read, translate, show or save, in one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from dayshift.benchmarks.opening import Translator
from dayshift.benchmarks.pipelines import Log, Replay
from dayshift.benchmarks.scenarios import Block, Stopwatch
from dayshift.runtime.frame import Pixels


class Loop:
    """Read, translate, show or save, in one thread.

    With a source's rate it is the webcam loop of a tutorial; from image files to image files it is
    the loop of the CycleGAN authors' test script.
    """

    def __init__(
        self,
        translator: Translator,
        read: Callable[[int], tuple[Pixels, float]],
        write: Callable[[int, Pixels], None],
    ) -> None:
        self._translator = translator
        self._read = read
        self._write = write

    def call(self) -> float:
        """Translate one frame."""
        frame, _ = self._read(0)
        started_at = time.perf_counter()
        self._translator.translate(frame)
        return (time.perf_counter() - started_at) * 1e3

    def block(self, seconds: float) -> Block:
        """Turn the loop for that long, at least once."""
        log = Log()
        ages: list[float] = []
        watch, ends_at = Stopwatch(), time.perf_counter() + seconds
        while not ages or time.perf_counter() < ends_at:
            self._turn(len(ages), log, ages)
        block = watch.block(ages, stages_ms=log.stages_ms)
        block.events = log.window()
        return block

    def _turn(self, index: int, log: Log, ages: list[float]) -> None:
        begin = time.perf_counter()
        frame, arrived_at = self._read(index)
        read_at = time.perf_counter()
        translation = self._translator.translate(frame)
        translated_at = time.perf_counter()
        self._write(index, translation.image)
        end = time.perf_counter()
        marks = [("capture", begin, read_at)]
        for stage in ("preprocess", "infer", "postprocess"):
            last = marks[-1][2]
            marks.append((stage, last, last + getattr(translation, f"{stage}_ms") / 1e3))
        marks.append(("sink", translated_at, end))
        for stage, since, until in marks:
            log.add(stage, index, since, until)
        ages.append((end - arrived_at) * 1e3)

    def close(self) -> None:
        """Free the engine."""
        self._translator.close()


def webcam_loop(translator: Translator, frames: Sequence[Pixels], fps: float) -> Loop:
    """Return the tutorial's loop on a camera that keeps only its newest frame."""
    camera = Replay(frames, fps)
    shown = np.empty_like(frames[0])

    def read(_: int) -> tuple[Pixels, float]:
        frame = camera.read()
        return frame.pixels, frame.captured_at

    return Loop(translator, read, lambda _, image: np.copyto(shown, image))


def test_script_loop(translator: Translator, frames: Sequence[Pixels], folder: Path) -> Loop:
    """Return the authors' loop over image files: PNG in, PNG out."""
    names = [str(folder / f"real_{index}.png") for index in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        cv2.imwrite(name, frame)

    def read(index: int) -> tuple[Pixels, float]:
        started_at = time.perf_counter()
        return np.asarray(cv2.imread(names[index % len(names)]), np.uint8), started_at

    def write(index: int, image: Pixels) -> None:
        cv2.imwrite(str(folder / f"fake_{index % len(names)}.png"), image)

    return Loop(translator, read, write)
