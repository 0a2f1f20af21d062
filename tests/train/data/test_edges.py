from __future__ import annotations

import cv2
import numpy as np
import pytest

from dayshift.train.data import EdgeFilter, draw_sketch


def disc(level: int) -> np.ndarray:
    image = np.full((96, 96, 3), 20, np.uint8)
    return cv2.circle(image, (48, 48), 30, (level,) * 3, -1)


@pytest.mark.parametrize("edge_filter", ["canny", "scharr"])
def test_a_sketch_is_a_dark_line_on_white_where_the_edge_is(edge_filter: EdgeFilter) -> None:
    sketch = draw_sketch(disc(220), edge_filter)
    assert sketch.shape == (96, 96, 3)
    rows, columns = np.nonzero(sketch[..., 0] < 128)
    assert len(rows) > 100
    assert np.abs(np.hypot(rows - 48, columns - 48) - 30).max() < 4
    assert sketch[48, 48].tolist() == sketch[5, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize("edge_filter", ["canny", "scharr"])
def test_a_dim_photo_has_the_lines_of_a_bright_one(edge_filter: EdgeFilter) -> None:
    bright, dim = (draw_sketch(disc(level), edge_filter)[..., 0] < 128 for level in (220, 60))
    assert (bright & dim).sum() > 0.9 * bright.sum()


def test_canny_draws_black_or_white_and_a_flat_photo_has_no_lines() -> None:
    assert set(draw_sketch(disc(220)).flat) == {0, 255}
    for edge_filter in ("canny", "scharr"):
        assert set(draw_sketch(np.full((32, 32, 3), 90, np.uint8), edge_filter).flat) == {255}
