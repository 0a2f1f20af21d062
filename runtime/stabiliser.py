"""Takes the flicker out of models without a memory, such as an imported CycleGAN.

Each frame is translated by itself, so colours and patches of light jump although the scene does
not. The *source* says what moved: where a pixel was in the frame before, the image should look as
the one before did there (Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, whose
warping error is the measure here). Two scales are treated:

- Colour and light, at a quarter of the size: the image before follows the optical flow of the
  sources (DIS, Kroeger et al., ECCV 2016), and the new one is drawn to it as far as the flow is
  right. Only the difference is enlarged and added: detail is never blurred.
- Detail, at full size, where nothing moves: the image before is held.

A cut in the source starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.image import shrink

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

AnyValue = TypeVar("AnyValue", np.uint8, np.float32)
Floats = npt.NDArray[np.float32]

_SMALL_SIDE = 180  # short side of the frames that flow is estimated on
_MATCH_LEVELS = 6.0  # a source that differs by this much after the flow is another thing
_STILL_LEVELS = 2.5  # noise of a webcam, averaged over the small frame's pixels
_STILL_PX = 0.3  # flow of the small frame that is no motion
_CUT_LEVELS = 28.0  # mean difference of two sources that is no motion of any kind


@dataclass(frozen=True)
class _Before:
    """What is kept of the frame before."""

    grey: Pixels  # (h, w), the small source
    low: Floats  # (h, w, 3), the small stabilised image
    image: Pixels  # (H, W, 3), the stabilised image


class Stabiliser:
    """Makes images consistent in time. Called with every image in order, by one thread.

    It is what a pipeline calls to compose an image from a frame and its translation.

    Args:
        hold: How much of what came before is kept where nothing changed, from 0 (nothing is done)
            to under 1. Changes of the model's strength take about 1 / (1 - hold) frames to show.
    """

    def __init__(self, *, hold: float = 0.75) -> None:
        if not 0 <= hold < 1:
            raise ValueError(f"expected a hold from 0 to under 1, got {hold}")
        self.cuts = 0
        self._hold = hold
        self._before: _Before | None = None
        self._positions = np.empty((0, 0, 2), np.float32)
        self._enlarged: Pixels | None = None
        self._weights: Floats | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def __call__(self, frame: Frame, image: Pixels) -> Pixels:
        """Return the stabilised image (H, W, 3); the one given is not changed."""
        height, width = image.shape[:2]
        factor = max(1, min(height, width) // _SMALL_SIDE)
        source = _small(frame.pixels, factor)
        grey = np.asarray(cv2.cvtColor(source, cv2.COLOR_BGR2GRAY), np.uint8)
        low = _small(image, factor).astype(np.float32)
        before = self._before
        if before is None or before.image.shape != image.shape or before.grey.shape != grey.shape:
            stabilised = image
        elif float(cv2.absdiff(grey, before.grey).mean()) > _CUT_LEVELS:
            self.cuts += 1
            stabilised = image
        else:
            low, stabilised = self._follow(before, grey, low, image)
        self._before = _Before(grey, low, stabilised)
        return stabilised

    def _follow(
        self, before: _Before, grey: Pixels, low: Floats, image: Pixels
    ) -> tuple[Floats, Pixels]:
        """Draw the image to the one before, as far as the source allows."""
        # The stubs want an array here, which DIS would take for a first guess.
        found = self._flow.calc(grey, before.grey, None)  # type: ignore[call-overload]
        flow = np.asarray(found, np.float32)
        at = flow + self._grid(grey.shape)
        wrong = cv2.blur(cv2.absdiff(grey, _move(before.grey, at)), (5, 5)).astype(np.float32)
        match = self._hold * np.exp(-((wrong / _MATCH_LEVELS) ** 2))
        drawn = low + match[..., None] * (_move(before.low, at) - low)
        corrected = self._add(image, drawn - low)
        return drawn, self._blend(corrected, before.image, self._still(before, grey, flow))

    def _grid(self, shape: tuple[int, ...]) -> Floats:
        """Return every pixel's own position (h, w, 2)."""
        if self._positions.shape[:2] != shape:
            rows, columns = np.indices(shape, np.float32)
            self._positions = np.stack([columns, rows], axis=-1)
        return self._positions

    def _add(self, image: Pixels, difference: Floats) -> Pixels:
        """Enlarge a small difference and add it, to the nearest half level of what is small."""
        size_wh = (image.shape[1], image.shape[0])
        shifted = np.rint(np.clip(difference, -127, 127) + 128).astype(np.uint8)
        self._enlarged = _kept(image.shape, self._enlarged, np.uint8)
        cv2.resize(shifted, size_wh, dst=self._enlarged, interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.addWeighted(image, 1, self._enlarged, 1, -128), np.uint8)

    def _blend(self, image: Pixels, before: Pixels, weight: Floats) -> Pixels:
        """Return image + weight * (before - image), the weight enlarged; `image` is overwritten."""
        if not weight.any():
            return image
        height, width = image.shape[:2]
        self._weights = _kept((2, height, width), self._weights, np.float32)
        held, new = self._weights
        cv2.resize(weight, (width, height), dst=held, interpolation=cv2.INTER_LINEAR)
        np.subtract(1, held, out=new)
        return np.asarray(cv2.blendLinear(before, image, held, new, dst=image), np.uint8)

    def _still(self, before: _Before, grey: Pixels, flow: Floats) -> Floats:
        """Return how much of the detail before is kept: (h, w), 0 where anything moves."""
        changed = cv2.blur(cv2.absdiff(grey, before.grey), (5, 5)).astype(np.float32)
        motion = np.abs(flow).max(axis=2)
        is_still = (changed < _STILL_LEVELS) & (motion < _STILL_PX)
        # Away from what moves, and with a soft edge.
        inner = cv2.erode(is_still.astype(np.uint8), np.ones((5, 5), np.uint8))
        return np.asarray(cv2.blur(inner.astype(np.float32), (5, 5)) * self._hold, np.float32)


def _small(pixels: Pixels, factor: int) -> Pixels:
    """Average blocks of `factor` x `factor` pixels; what is left at two edges is left out."""
    height, width = (side // factor * factor for side in pixels.shape[:2])
    return shrink(np.ascontiguousarray(pixels[:height, :width]), factor)


def _move(picture: npt.NDArray[AnyValue], at: Floats) -> npt.NDArray[AnyValue]:
    """Take every pixel from the position that `at` (h, w, 2) has for it."""
    columns, rows = cv2.split(at)
    moved = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, picture.dtype)


def _kept(shape: tuple[int, ...], buffer: npt.NDArray[Any] | None, kind: Any) -> npt.NDArray[Any]:
    """Return a buffer of a shape: fresh memory of a frame's size costs more than the work in it."""
    if buffer is None or buffer.shape != shape:
        return np.empty(shape, kind)
    return buffer
