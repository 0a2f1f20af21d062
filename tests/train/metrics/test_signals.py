from __future__ import annotations

import numpy as np
import pytest

from dayshift.train.metrics.signals import Colour, invented_blobs, signal_colour

_BGR: dict[Colour, tuple[int, int, int]] = {
    "red": (20, 20, 230),
    "amber": (20, 160, 240),
    "green": (120, 220, 30),
}


def _gray() -> np.ndarray:
    return np.full((40, 60, 3), 60, np.uint8)


@pytest.mark.parametrize("colour", _BGR)
def test_a_lamp_has_the_colour_of_its_lit_pixels(colour: Colour) -> None:
    image = _gray()
    image[10:12, 20:22] = _BGR[colour]
    assert signal_colour(image, (20, 10, 21, 11)) == colour
    assert signal_colour((image * 0.3).astype(np.uint8), (20, 10, 21, 11)) is None
    assert signal_colour(image, (40, 30, 44, 33)) is None


def test_at_the_edge_of_the_picture_nothing_wraps_around() -> None:
    image = _gray()
    image[39, 59] = _BGR["red"]
    assert signal_colour(image, (0, 0, 1, 1)) is None
    assert signal_colour(image, (59, 39, 59, 39)) == "red"


def test_only_light_that_the_source_has_no_part_of_is_invented() -> None:
    source, image = _gray(), _gray()
    source[10:12, 10:12] = image[9:13, 9:13] = _BGR["red"]  # grown by its glow
    image[30:33, 40:44] = _BGR["green"]
    image[5, 50] = _BGR["green"]  # too small to be seen
    assert invented_blobs(source, image) == [(40, 30, 43, 32)]
    assert invented_blobs(image, image) == []
