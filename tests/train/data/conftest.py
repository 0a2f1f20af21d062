"""Small image files, distinct and known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'dayshift[train]'")

Write = Callable[..., Path]


@pytest.fixture
def write_image(tmp_path: Path) -> Write:
    """Write a smooth picture, another one for each seed, or the pixels that are given."""

    def write(
        name: str, *, size: tuple[int, int] = (40, 48), seed: int = 0, pixels: object = None
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
            pixels = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(path), np.asarray(pixels))
        return path

    return write


@pytest.fixture
def folders(write_image: Write, tmp_path: Path) -> tuple[Path, Path]:
    """Folders a and b with six images each; those of b are the negatives of those of a."""
    for index in range(6):
        path = write_image(f"a/{index}.png", seed=index)
        write_image(f"b/{index}.png", pixels=255 - np.asarray(cv2.imread(str(path))))
    return tmp_path / "a", tmp_path / "b"
