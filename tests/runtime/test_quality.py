from __future__ import annotations

import math

import numpy as np
import pytest

from dayshift.runtime.quality import psnr, ssim

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (40, 50, 3), np.uint8)


def test_an_image_is_infinitely_like_itself() -> None:
    assert psnr(IMAGE, IMAGE) == math.inf
    assert ssim(IMAGE, IMAGE) == pytest.approx(1.0, abs=1e-12)


def test_psnr_of_a_known_squared_error() -> None:
    grey = np.full((16, 16, 3), 100, np.uint8)
    assert psnr(grey, grey + 5) == pytest.approx(10 * math.log10(255**2 / 25))
    one_off = grey.copy()
    one_off[3, 4, 1] = 110  # mean squared error 100 / 768
    assert psnr(grey, one_off) == pytest.approx(10 * math.log10(255**2 * 768 / 100))


def test_psnr_of_black_and_white_is_zero() -> None:
    black = np.zeros((720, 1280, 3), np.uint8)
    assert psnr(black, black + 255) == pytest.approx(0.0, abs=1e-12)


def test_ssim_of_flat_images_is_its_luminance_term() -> None:
    a, b = (np.full((30, 30, 3), level, np.uint8) for level in (60, 180))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 60 * 180 + c1) / (60**2 + 180**2 + c1)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_one_window_follows_the_published_formula() -> None:
    a, b = (RNG.integers(0, 256, (11, 11, 1), np.uint8) for _ in range(2))
    offset = np.arange(11) - 5
    window = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    window /= window.sum()
    x, y = a[..., 0].astype(float), b[..., 0].astype(float)
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
    cxy = (window * (x - mx) * (y - my)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mx * my + c1) * (2 * cxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    three = (np.repeat(image, 3, axis=2) for image in (a, b))
    assert ssim(*three) == pytest.approx(expected, abs=1e-9)


def test_ssim_falls_as_noise_grows() -> None:
    smooth = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))
    noise = RNG.integers(-1, 2, smooth.shape)
    worse = [ssim(smooth, np.clip(smooth + noise * k, 0, 255).astype(np.uint8)) for k in (1, 4, 16)]
    assert 1 > worse[0] > worse[1] > worse[2] > -1


def test_images_of_different_shape_or_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, got uint8 \(40, 50, 3\) and uint8 \(40, 49"):
        psnr(IMAGE, IMAGE[:, 1:])
    with pytest.raises(ValueError, match=r"and float64 \(40, 50, 3\)"):
        ssim(IMAGE, IMAGE.astype(np.float64))


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match=r"at least 11x11, got shape \(10, 50, 3\)"):
        ssim(IMAGE[:10], IMAGE[:10])
