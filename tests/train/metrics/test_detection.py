from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dayshift.train.metrics.detection import (
    CocoDetector,
    Detections,
    DetectionsKept,
    _decode,
    _overlaps,
    _suppress,
)
from dayshift.train.metrics.weights import WeightsError


def found(*objects: tuple[int, tuple[int, int, int, int]]) -> Detections:
    boxes = np.array([box for _, box in objects], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([kind for kind, _ in objects], np.int64))


def test_an_object_is_kept_if_its_class_is_found_where_it_was() -> None:
    kept = DetectionsKept(lambda _: found())
    before = found((2, (0, 0, 10, 10)), (2, (50, 50, 70, 70)), (0, (20, 0, 24, 12)))
    after = found((2, (1, 0, 11, 10)), (7, (50, 50, 70, 70)), (0, (20, 0, 24, 5)))
    kept.add_detections(before, after)
    assert kept.value() == pytest.approx(1 / 3)
    kept.add_detections(before, found())
    assert kept.value() == pytest.approx(1 / 6)


def test_without_objects_there_is_no_share() -> None:
    kept = DetectionsKept(lambda _: found())
    kept.add(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8))
    assert kept.value() is None


def test_overlap_is_intersection_over_union() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    assert _overlaps(a, b)[0].tolist() == pytest.approx([1 / 3, 1, 0])


def test_boxes_come_from_the_place_and_mean_distances_of_each_grid() -> None:
    outputs = []
    for cells in (52, 26, 13):
        scores = np.zeros((cells * cells, 80), np.float32)
        distances = np.full((cells * cells, 4, 8), -50, np.float32)
        distances[:, (0, 1, 2, 3), (1, 2, 3, 4)] = 50  # left 1, top 2, right 3, bottom 4 strides
        if cells == 26:
            scores[26 * 5 + 7, 2] = 0.9
        outputs += [scores, distances.reshape(cells * cells, 32)]
    detections = _suppress(*_decode(outputs))
    x, y = 7 * 16 + 7.5, 5 * 16 + 7.5
    assert detections.classes.tolist() == [2]
    assert detections.boxes[0].tolist() == pytest.approx([x - 16, y - 32, x + 48, y + 64])


def test_of_overlapping_boxes_of_a_class_the_best_stays() -> None:
    scores = np.zeros((3, 80), np.float32)
    scores[0, 2], scores[1, 2], scores[2, 5] = 0.5, 0.8, 0.6
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 10, 10]], np.float32)
    detections = _suppress(scores, boxes)
    assert detections.classes.tolist() == [2, 5]
    assert detections.boxes[0].tolist() == [0, 0, 10, 11]


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "nanodet_m_coco.onnx").write_bytes(b"junk")
    with pytest.raises(WeightsError, match=r"cannot read .*nanodet_m_coco\.onnx"):
        CocoDetector(tmp_path)
