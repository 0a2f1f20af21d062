"""Gates: what the eye finds first must count."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dayshift.export.difference import (
    Limits,
    check_difference,
    measure_banding,
    measure_difference,
    shortfall,
)
from dayshift.runtime.errors import GateError


def _dark_gradient() -> np.ndarray:
    """A dithered night sky, from 4 to 44 levels of luma."""
    levels = np.linspace(4, 44, 320)[None, :] + np.zeros((180, 1))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, levels.shape)
    return np.repeat(np.rint(levels + noise)[..., None], 3, axis=2).astype(np.uint8)


def test_steps_in_a_dark_gradient_are_banding_and_noise_is_not() -> None:
    sky = _dark_gradient()
    noise = np.random.default_rng(1).integers(-1, 2, sky.shape[:2])[..., None]
    noisy = np.clip(sky + noise, 0, 255).astype(np.uint8)
    stepped = (sky // 8 * 8 + 4).astype(np.uint8)
    assert measure_banding(sky, sky) == 0
    assert measure_banding(noisy, sky) < 0.005
    assert measure_banding(stepped, sky) > 0.01


def test_steps_in_a_bright_gradient_are_not_counted() -> None:
    sky = _dark_gradient() + 150
    assert measure_banding((sky // 8 * 8).astype(np.uint8), sky) == 0


def test_one_ruined_tile_shows_though_the_mean_hides_it() -> None:
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
    reference = np.asarray(cv2.resize(coarse, (640, 360)), np.uint8)
    image = reference.copy()
    image[40:72, 80:112] = 255 - image[40:72, 80:112]
    difference = measure_difference([image], [reference])
    assert difference.psnr_db is not None
    assert difference.psnr_db_tile is not None
    assert difference.psnr_db > 22
    assert difference.psnr_db_tile < 12
    assert "worst tile" in str(shortfall(difference, Limits(20, 0.5, psnr_db_tile=20)))


def test_identical_images_have_no_difference_and_keep_to_every_limit() -> None:
    frame = _dark_gradient()
    difference = measure_difference([frame], [frame])
    assert difference.psnr_db is difference.psnr_db_worst is difference.psnr_db_tile is None
    assert (difference.ssim, difference.banding, difference.max_abs) == (1.0, 0.0, 0)
    assert shortfall(difference, Limits(99, 0.999, 99, 0.0, 0)) is None


def test_a_refusal_names_what_was_got_expected_and_what_to_do() -> None:
    frame = _dark_gradient()
    worse = np.clip(frame.astype(int) + 9, 0, 255).astype(np.uint8)
    difference = measure_difference([worse], [frame])
    with pytest.raises(GateError, match=r"int8: got PSNR 29\.\d dB, expected at least 38 dB: more"):
        check_difference(difference, Limits(38, 0.97), "int8", "more frames")
