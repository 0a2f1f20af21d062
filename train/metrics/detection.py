"""Whether the objects that a detector finds by day are still found after translation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels
from dayshift.train.metrics.weights import WeightsError, find_weights

_Floats = npt.NDArray[np.float32]

_SIDE = 416
_BINS = 8  # a distance is a distribution over 0 to 7 strides
_CLASSES = 80
_MEAN_BGR = np.array((103.53, 116.28, 123.675), np.float32)
_STD_BGR = np.array((57.375, 57.12, 58.395), np.float32)
_LEAST_SCORE = 0.4
_SAME_OBJECT_IOU = 0.6  # of two boxes of one class, for suppression


@dataclass(frozen=True)
class Detections:
    """Objects: boxes (N, 4) as left, top, right, bottom in pixels, and COCO class numbers (N,)."""

    boxes: _Floats
    classes: npt.NDArray[np.int64]


class CocoDetector:
    """NanoDet-m on COCO, run by OpenCV."""

    def __init__(self, folder: Path | None) -> None:
        """Load the graph.

        Raises:
            WeightsError: It is not in the folder, or OpenCV cannot read it.
        """
        path = find_weights("nanodet_m_coco.onnx", folder)
        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise WeightsError(f"cannot read {path} ({error.err}): copy it again") from error

    def __call__(self, image: Pixels) -> Detections:
        """Return the objects in a BGR image of any size, fitted into 416x416 and not squashed."""
        height, width = image.shape[:2]
        scale = _SIDE / max(height, width)
        small_wh = round(width * scale), round(height * scale)
        canvas = np.zeros((_SIDE, _SIDE, 3), np.float32)
        small = cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA)
        canvas[: small_wh[1], : small_wh[0]] = small
        planar = ((canvas - _MEAN_BGR) / _STD_BGR).transpose(2, 0, 1)[None]
        self._network.setInput(np.ascontiguousarray(planar))
        outputs = self._network.forward(self._network.getUnconnectedOutLayersNames())
        scores, boxes = _decode([np.asarray(o, np.float32)[0] for o in outputs])
        return _suppress(scores, boxes / np.float32(scale))


class DetectionsKept:
    """Share of the sources' objects that are found again in the translations."""

    def __init__(self, detect: Callable[[Pixels], Detections], *, least_iou: float = 0.5) -> None:
        """Begin with no images.

        Args:
            detect: objects of a BGR image.
            least_iou: overlap from which two boxes of one class are the same object.
        """
        self._detect = detect
        self._least_iou = least_iou
        self._kept = self._count = 0

    def add(self, source: Pixels, image: Pixels) -> None:
        """Count an image and its translation."""
        self.add_detections(self._detect(source), self._detect(image))

    def add_detections(self, before: Detections, after: Detections) -> None:
        """Count what was found in the two."""
        same = before.classes[:, None] == after.classes[None]
        again = same & (_overlaps(before.boxes, after.boxes) >= self._least_iou)
        self._kept += int(again.any(axis=1).sum())
        self._count += len(before.classes)

    def value(self) -> float | None:
        """Return the share, None where the sources have no objects."""
        return self._kept / self._count if self._count else None


def _decode(outputs: list[_Floats]) -> tuple[_Floats, _Floats]:
    """Return scores (N, 80) and boxes (N, 4) of all places of all three grids.

    Boxes are decoded as in generalised focal loss (Li et al. 2020): each side's distance from the
    place is the mean of a distribution over strides.
    """
    by_rows: dict[int, dict[int, _Floats]] = {}
    for output in outputs:
        by_rows.setdefault(output.shape[0], {})[output.shape[1]] = output
    scores, boxes = [], []
    for rows, pair in by_rows.items():
        cells = round(rows**0.5)
        stride = _SIDE / cells
        odds = np.exp(pair[4 * _BINS].reshape(rows, 4, _BINS))
        distances = stride * (odds / odds.sum(axis=2, keepdims=True)) @ np.arange(_BINS)
        down, across = np.divmod(np.arange(rows), cells)
        x, y = (place * stride + (stride - 1) / 2 for place in (across, down))
        left, top, right, bottom = distances.T
        boxes.append(np.stack([x - left, y - top, x + right, y + bottom], axis=1))
        scores.append(pair[_CLASSES])
    return np.concatenate(scores), np.concatenate(boxes).astype(np.float32)


def _suppress(scores: _Floats, boxes: _Floats) -> Detections:
    """Keep the best of boxes of one class that overlap."""
    classes, best = scores.argmax(axis=1), scores.max(axis=1)
    likely = best >= _LEAST_SCORE
    classes, best, boxes = classes[likely], best[likely], boxes[likely]
    kept: list[int] = []
    for place in np.argsort(-best):
        rivals = [k for k in kept if classes[k] == classes[place]]
        overlaps = _overlaps(boxes[place][None], boxes[rivals])
        if not (overlaps > _SAME_OBJECT_IOU).any():
            kept.append(int(place))
    return Detections(boxes[kept], classes[kept].astype(np.int64))


def _overlaps(a: _Floats, b: _Floats) -> _Floats:
    """Return the IoU (N, M) of boxes (N, 4) and (M, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared), np.float32)
