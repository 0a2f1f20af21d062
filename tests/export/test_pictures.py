"""Pictures of a model folder: whole, or an error."""

from __future__ import annotations

import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from dayshift.export.pictures import write_jpeg, write_preview
from dayshift.runtime.errors import SinkError


def test_a_preview_has_both_pictures_side_by_side(tmp_path: Path) -> None:
    labels = np.tile(np.array([0, 5], np.uint8), (48, 32))
    write_preview(tmp_path / "preview.jpg", labels, np.full((48, 64, 3), 90, np.uint8))
    written = cv2.imread(str(tmp_path / "preview.jpg"))
    assert written is not None
    assert written.shape == (480, 1280, 3)
    assert np.abs(written[:, 640:].astype(int) - 90).max() <= 2


def test_a_picture_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(SinkError, match=r"cannot write .*int8\.jpg \(File too large\)"):
            write_jpeg(tmp_path / "int8.jpg", noise, quality=90)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
