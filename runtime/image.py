"""Pixel arithmetic that training and deployment share.

*Pixels* are what a camera gives and a screen takes: uint8, BGR, shape (H, W, 3). A frame is shrunk
by an integer factor with area averaging, and padded at the bottom and right to a size that divides:
never squashed.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import UsageError

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

Pixels = npt.NDArray[np.uint8]

MIN_SIDE = 16


def check_pixels(pixels: object) -> Pixels:
    """Return `pixels` as a C-contiguous uint8 BGR array (H, W, 3), copied only where it is not one.

    Raises:
        UsageError: It is not a uint8 array (H, W, 3), or a side is shorter than 16.
    """
    if not isinstance(pixels, np.ndarray):
        raise UsageError(
            f"expected a numpy array uint8 (H, W, 3) in BGR, got {type(pixels).__name__}"
        )
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UsageError(f"expected a uint8 BGR frame (H, W, 3), got {pixels.dtype} {pixels.shape}")
    if min(pixels.shape[:2]) < MIN_SIDE:
        height, width = pixels.shape[:2]
        raise UsageError(
            f"expected a frame of at least {MIN_SIDE}x{MIN_SIDE}, got {width}x{height}"
        )
    return np.ascontiguousarray(pixels)


def check_labels(labels: object, count: int) -> Pixels:
    """Return a label map as a C-contiguous uint8 array (H, W).

    An image whose three channels are equal, as a grey file is read, is one too.

    Args:
        labels: Label numbers from 0 to `count` - 1; 255 is the last, "don't care" where it is used.
        count: How many labels the model knows.

    Raises:
        UsageError: It is no label map, a side is shorter than 16, or a label is unknown.
    """
    if isinstance(labels, np.ndarray) and labels.ndim == 3 and labels.shape[2] == 3:
        if (labels != labels[..., :1]).any():
            raise UsageError(
                "expected a label map, uint8 (H, W) of label numbers, got a colour image: "
                "this model paints label maps"
            )
        labels = labels[..., 0]
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 2:
        got = (
            f"{labels.dtype} {labels.shape}"
            if isinstance(labels, np.ndarray)
            else type(labels).__name__
        )
        raise UsageError(f"expected a label map, uint8 (H, W) of label numbers, got {got}")
    if min(labels.shape) < MIN_SIDE:
        height, width = labels.shape
        raise UsageError(
            f"expected a label map of at least {MIN_SIDE}x{MIN_SIDE}, got {width}x{height}"
        )
    unknown = labels[(labels >= count) & (labels != 255)]
    if unknown.size:
        raise UsageError(f"got label {unknown.max()}, expected 0 to {count - 1}, or 255")
    return np.ascontiguousarray(labels)


def shrink_factor(height: int, width: int, short_side: int) -> int:
    """Return the integer that brings the shorter side nearest to `short_side` (half rounds up)."""
    return max(1, (2 * min(height, width) + short_side) // (2 * short_side))


def padded_size(
    height: int, width: int, *, multiple: int = 1, short_side: int | None = None
) -> tuple[int, int]:
    """Return the smallest (height, width) that a graph takes and that holds the frame.

    Without `short_side` both sides become multiples of `multiple`. With it they become multiples of
    `multiple` times the shrink factor, and the padded size has that same factor.
    """
    if short_side is None:
        return _round_up(height, multiple), _round_up(width, multiple)
    short = min(height, width)
    while short % (multiple * shrink_factor(short, short, short_side)):
        short += 1
    step = multiple * shrink_factor(short, short, short_side)
    # A side just under `short` may round to less than it, and would then have a smaller factor.
    long = max(short, _round_up(max(height, width), step))
    return (short, long) if height <= width else (long, short)


def pad_frame(frame: Pixels, height: int, width: int, out: Pixels | None = None) -> Pixels:
    """Repeat the last row and column up to (height, width); a frame of that size is returned.

    The result is `out` where that is given and padding is needed.
    """
    h, w = frame.shape[:2]
    if (h, w) == (height, width):
        return frame
    return cv2.copyMakeBorder(  # type: ignore[return-value]
        frame, 0, height - h, 0, width - w, cv2.BORDER_REPLICATE, dst=out
    )


def crop(image: Pixels, height: int, width: int) -> Pixels:
    """Undo `pad_frame`; the result is a view."""
    return image[:height, :width]


class Shrinker:
    """Pads frames of one size and averages blocks of their pixels.

    Every step writes where it wrote before: new arrays of a frame's size cost more (page faults)
    than the arithmetic. So it serves one thread, and the next call overwrites the result.
    """

    def __init__(self) -> None:
        self._kept: list[Pixels | None] = [None] * 16  # of each step; factors have fewer
        self._step = 0

    def __call__(self, frame: Pixels, size: tuple[int, int], factor: int) -> Pixels:
        """Return a frame padded to `size`, see `pad_frame`, with its blocks averaged.

        Factors go by halves and thirds, each rounded: for a factor of 4 the result is at most one
        level, on average a quarter of a level, above that of averaging at once.

        Args:
            frame: (H, W, 3), not larger than `size`.
            size: (height, width), multiples of `factor`.
            factor: sides of a block.
        """
        height, width = size
        if height % factor or width % factor:
            raise ValueError(f"expected sides that are multiples of {factor}, got {width}x{height}")
        self._step = 0
        if frame.shape[:2] != size:
            frame = self._keep(pad_frame(frame, height, width, self._place()))
        # OpenCV averages 2x2 with SIMD and larger blocks pixel by pixel: by halves 1280x720 shrinks
        # by 4 in 0.3 of the time, by thirds 1920x1080 by 9 in 0.6 of it.
        for step in (2, 3):
            while factor % step == 0:
                frame = self._average(frame, step)
                factor //= step
        return frame if factor == 1 else self._average(frame, factor)

    def _average(self, frame: Pixels, factor: int) -> Pixels:
        size_wh, how = (frame.shape[1] // factor, frame.shape[0] // factor), cv2.INTER_AREA
        if factor in (3, 5):
            # The same averages in 0.3 to 0.5 of the time: only the box filter has SIMD for these.
            # Its window begins at its pixel, and nearest takes the first pixel of each block.
            blurred = cv2.blur(frame, (factor, factor), dst=self._place(), anchor=(0, 0))
            frame, how = self._keep(blurred), cv2.INTER_NEAREST
        return self._keep(cv2.resize(frame, size_wh, dst=self._place(), interpolation=how))

    def _place(self) -> Pixels | None:
        return self._kept[self._step]

    def _keep(self, made: Any) -> Pixels:
        self._kept[self._step] = made
        self._step += 1
        return made  # type: ignore[no-any-return]


def shrink(frame: Pixels, factor: int) -> Pixels:
    """Average blocks of `factor` x `factor` pixels once, see `Shrinker`; a stream keeps one."""
    return Shrinker()(frame, frame.shape[:2], factor)


def pad_and_shrink(frame: Pixels, short_side: int) -> tuple[Pixels, Pixels]:
    """Return a frame padded for a graph of that short side, and the small frame made of it."""
    size = padded_size(*frame.shape[:2], short_side=short_side)
    padded = pad_frame(frame, *size)
    return padded, shrink(padded, shrink_factor(*size, short_side))


class MapApplier:
    """Enlarges a gain map and a light map and applies them to frames of one size.

    image = saturate(frame * gain / 255 + light). Gain 255 with light 0 returns the very frame.
    It has a buffer of its own, so it serves one thread.
    """

    def __init__(self, height: int, width: int, factor: int) -> None:
        self._height = height
        self._width = width
        self._factor = factor
        self._enlarged: Pixels | None = None
        self._product = np.empty((height, width, 3), np.float32) if _truncates() else None

    def __call__(
        self, frame: Pixels, gain: Pixels, light: Pixels, out: Pixels | None = None
    ) -> Pixels:
        """Apply maps (h, w, 3) to a frame; the result is `out`, or a new array.

        Enlarged by the factor the maps may reach beyond the frame, as those of a padded frame do.
        """
        if out is None:
            out = np.empty_like(frame)
        elif out.shape != frame.shape or out.dtype != np.uint8:
            # OpenCV would quietly write to a new array instead.
            raise ValueError(f"expected out as uint8 {frame.shape}, got {out.dtype} {out.shape}")
        # Whole frames, one kept buffer. A new array for every step took 3 to 4 times as long (page
        # faults); strips that fit a core's L2 cache took 1.0 to 1.3 times as long, as enlarging
        # is bound by arithmetic and not by memory.
        if self._product is None:
            cv2.multiply(frame, self._enlarge(gain), dst=out, scale=1 / 255)
            cv2.add(out, self._enlarge(light), dst=out)
        else:
            product = self._product
            cv2.multiply(frame, self._enlarge(gain), dst=product, scale=1 / 255, dtype=cv2.CV_32F)
            cv2.add(product, self._enlarge(light), dst=out, dtype=cv2.CV_8U)
        return out

    def _enlarge(self, small: Pixels) -> Pixels:
        """Enlarge a map and cut it to the frame. The next call overwrites the result."""
        if self._factor == 1:
            return crop(small, self._height, self._width)
        size_wh = (small.shape[1] * self._factor, small.shape[0] * self._factor)
        enlarged = cv2.resize(small, size_wh, dst=self._enlarged, interpolation=cv2.INTER_LINEAR)
        self._enlarged = np.asarray(enlarged, np.uint8)
        return crop(self._enlarged, self._height, self._width)


def apply_maps(frame: Pixels, gain: Pixels, light: Pixels, out: Pixels | None = None) -> Pixels:
    """Apply maps (h, w, 3) to a frame once; a stream keeps a `MapApplier`."""
    height, width = frame.shape[:2]
    factor = max(-(-height // gain.shape[0]), -(-width // gain.shape[1]))
    return MapApplier(height, width, factor)(frame, gain, light, out)


@functools.cache
def _truncates() -> bool:
    """Whether this OpenCV truncates a scaled product of uint8: its code for ARM (Carotene) does.

    Pictures would be half a level darker there. Sums of floats it rounds, as other processors'
    code does everything; those take 1.9 ms for 720p on an x86 core where uint8 takes 0.5.
    """
    levels = np.full((1, 16), 200, np.uint8)
    return bool((cv2.multiply(levels, levels, scale=1 / 255) == 156).all())  # of 156.86


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
