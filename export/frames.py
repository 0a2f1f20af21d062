"""Real frames for calibration and comparison, from videos, images and folders."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels, check_labels
from dayshift.runtime.sources import open_source
from dayshift.runtime.spec import FullForm

_SIDE = 256  # what most of these networks were trained at
_LARGEST_CUT = 2.0
LEAST_FRAMES = 8  # to calibrate on
_HELD_OUT = 4  # every fourth


def read_frames(uris: Sequence[str], *, count: int) -> list[Pixels]:
    """Return up to `count` BGR frames (H, W, 3), spread evenly over all sources.

    Raises:
        SourceError: A source cannot be opened or has no frames.
        UsageError: No source was given.
    """
    if not uris:
        raise UsageError("got no source of frames, expected a video, an image or a folder")
    share = max(1, count // len(uris))
    return [frame for uri in uris for frame in _spread(uri, share)]


def sizes_to_compare(form: FullForm) -> list[tuple[int, int]]:
    """Return the (height, width) at which a form is compared with PyTorch.

    Its own where it has one; else a square, a wide one, and one that must be padded. None for a
    form that shrinks by itself: that sees frames as they come.
    """
    if form.short_side is not None:
        return []
    if form.size is not None:
        return [form.size]
    side = -(-_SIDE // form.multiple) * form.multiple
    step = max(form.multiple, 32)
    return [(side, side), (side, side + step), (side - 6, side - 13)]


def fit_frames(frames: Sequence[Pixels], sizes: Sequence[tuple[int, int]]) -> list[Pixels]:
    """Return frames scaled and cut around the middle to sizes in turn; as they are without sizes.

    The aspect is kept: a network that never saw squashed cars is not calibrated on them.

    Raises:
        UsageError: More than half of a frame would be cut away.
    """
    if not sizes:
        return list(frames)
    return [_fit(frame, sizes[index % len(sizes)]) for index, frame in enumerate(frames)]


def read_labels(frames: Sequence[Pixels], count: int) -> list[Pixels]:
    """Return the label maps (H, W) that grey frames are.

    Raises:
        UsageError: A frame has colours, or a label is not known.
    """
    return [check_labels(frame, count) for frame in frames]


def _fit(frame: Pixels, size: tuple[int, int]) -> Pixels:
    height, width = size
    h, w = frame.shape[:2]
    scale = max(height / h, width / w)
    cut = (h * scale * w * scale) / (height * width)
    if cut > _LARGEST_CUT:
        raise UsageError(
            f"got a frame of {w}x{h} for a graph of {width}x{height}: to fill that, more than half "
            "of it would be cut away; give frames of about this aspect, or export at theirs"
        )
    # Label numbers must not be averaged.
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    interpolation = cv2.INTER_NEAREST if frame.ndim == 2 else smooth
    enough_wh = (max(width, round(w * scale)), max(height, round(h * scale)))
    scaled = np.asarray(cv2.resize(frame, enough_wh, interpolation=interpolation), np.uint8)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def frames_for(
    form: FullForm, frames: Sequence[Pixels], size: tuple[int, int] | None
) -> list[Pixels]:
    """Return frames, or label maps, in the sizes that a form is calibrated at.

    Args:
        form: The model's.
        frames: BGR, label maps as grey images.
        size: (height, width) for a form of any size; None takes a square.
    """
    if form.label_count is not None:
        frames = read_labels(frames, form.label_count)
    sizes = [size] if size and form.size is None else sizes_to_compare(form)[:1]
    return fit_frames(frames, sizes)


def hold_out(frames: Sequence[Pixels]) -> tuple[list[Pixels], list[Pixels]]:
    """Return the frames to calibrate on, and every fourth, on which the outcome is measured.

    Raises:
        UsageError: There are too few.
    """
    if len(frames) < LEAST_FRAMES:
        raise UsageError(
            f"got {len(frames)} frames to calibrate on, expected {LEAST_FRAMES} or more, real "
            "ones like those that the model will see"
        )
    held_out = list(frames[_HELD_OUT - 1 :: _HELD_OUT])
    return [f for i, f in enumerate(frames) if i % _HELD_OUT != _HELD_OUT - 1], held_out


def _spread(uri: str, count: int) -> list[Pixels]:
    with open_source(uri) as source:
        step = max(1, (source.frame_count or 1) // count)
        frames: list[Pixels] = []
        while len(frames) < count and (frame := source.read()) is not None:
            if frame.index % step == 0:
                frames.append(frame.pixels)
        return frames
