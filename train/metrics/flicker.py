"""Flicker of a translated clip, beside what the source itself does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels

_Flow = npt.NDArray[np.float32]  # (H, W, 2), pixels right and down
# A pixel counts where going along the flow and back ends at most this far from the start.
_RETURN_PX = 1.0


@dataclass(frozen=True)
class Flicker:
    """How unsteady a translation is, and its source.

    Attributes:
        warping_error: mean absolute difference between a frame and the one before it, moved along
            the source's optical flow, over the contrast of the frames (the standard deviation of
            their luma).
        source_warping_error: the same of the source.
        change: mean absolute difference between neighbouring frames as they are, in levels; for a
            camera that does not move.
        source_change: the same of the source.
        pairs: of frames that were compared.
    """

    warping_error: float
    source_warping_error: float
    change: float
    source_change: float
    pairs: int

    @property
    def warping_ratio(self) -> float:
        """Warping error over the source's own: 1 is as steady as the source."""
        return self.warping_error / self.source_warping_error

    @property
    def change_ratio(self) -> float:
        """Frame-to-frame change over the source's own."""
        return self.change / self.source_change


def measure_flicker(
    frames: Iterable[Pixels], translate: Callable[[Pixels], Pixels]
) -> Flicker | None:
    """Translate a clip and return how unsteady it is, or None for fewer than two frames.

    Follows Lai et al. 2018, equation 9, with three changes: flow is by OpenCV's DIS, which needs no
    weights; differences are absolute; and contrast divides, since a dark output differs less from
    anything. Places that the flow does not find back from are hidden in one of the frames, and
    do not count.

    Args:
        frames: BGR frames (H, W, 3) of one size, in order, without cuts.
        translate: of one frame; called once for each, in order.
    """
    of_source, of_image = _Sums(), _Sums()
    last: tuple[Pixels, Pixels] | None = None
    for frame in frames:
        image = translate(frame)
        if last is not None:
            flow, seen = _flow_back(last[0], frame)
            of_source.add(last[0], frame, flow, seen)
            of_image.add(last[1], image, flow, seen)
        last = frame, image
    if not of_source.pairs:
        return None
    return Flicker(
        warping_error=of_image.warped / max(of_image.contrast, 1e-9),
        source_warping_error=of_source.warped / max(of_source.contrast, 1e-9),
        change=of_image.change / of_image.pairs,
        source_change=of_source.change / of_source.pairs,
        pairs=of_source.pairs,
    )


@dataclass
class _Sums:
    """Over the pairs of one clip."""

    warped: float = 0.0
    change: float = 0.0
    contrast: float = 0.0
    pairs: int = 0

    def add(self, before: Pixels, now: Pixels, flow: _Flow, seen: npt.NDArray[np.bool_]) -> None:
        apart = cv2.absdiff(now, np.asarray(_warp(before, flow), np.uint8))
        self.warped += float(apart[seen].mean()) if seen.any() else 0.0
        self.change += float(cv2.absdiff(now, before).mean())
        self.contrast += float(cv2.cvtColor(now, cv2.COLOR_BGR2GRAY).std())
        self.pairs += 1


def _flow_back(before: Pixels, now: Pixels) -> tuple[_Flow, npt.NDArray[np.bool_]]:
    """Return where each pixel of `now` was before, and whether that is to be trusted."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    gray = [cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) for i in (before, now)]
    back: _Flow = np.asarray(dis.calc(gray[1], gray[0], None), np.float32)  # type: ignore[call-overload]
    forth: _Flow = np.asarray(dis.calc(gray[0], gray[1], None), np.float32)  # type: ignore[call-overload]
    returned = np.linalg.norm(back + np.asarray(_warp(forth, back), np.float32), axis=2)
    return back, returned <= _RETURN_PX


def _warp(image: Pixels | _Flow, flow: _Flow) -> npt.NDArray[Any]:
    """Take each pixel from where `flow` points."""
    h, w = flow.shape[:2]
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    moved = cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved)
