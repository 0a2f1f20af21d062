from __future__ import annotations

import numpy as np

from dayshift.train.data import ColorJitter, augment


def test_aligned_images_stay_aligned_when_cropped() -> None:
    ramp = np.arange(96 * 128 * 3, dtype=np.uint32).reshape(96, 128, 3).astype(np.uint8)
    rng = np.random.default_rng(3)
    for _ in range(8):
        first, second = augment.random_crop([ramp, 255 - ramp], (64, 80), rng)
        assert first.shape == (64, 80, 3)
        # Linear and area interpolation commute with inversion, up to rounding.
        assert np.abs(255 - first.astype(int) - second).max() <= 1


def test_a_crop_is_never_larger_than_the_image() -> None:
    small = np.zeros((50, 70, 3), np.uint8)
    assert augment.random_crop([small], (64, 80), np.random.default_rng(0))[0].shape == (64, 80, 3)


def test_texture_scales_day_and_night_alike() -> None:
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
    day, night = np.full((64, 80, 3), 120, np.uint8), np.full((64, 80, 3), 60, np.uint8)
    textured_day, textured_night = augment.add_texture([day, night], photo, rng)
    assert textured_day.std() > 5
    assert np.abs(textured_day / 2.0 - textured_night).max() <= 1


def test_regrading_keeps_black_and_white_and_darkens_between() -> None:
    night = np.array([[[0, 0, 0], [110, 110, 110], [255, 255, 255]]], np.uint8)
    graded = augment.darken_exposure(night, (2.2, 2.8), np.random.default_rng(0))
    assert graded[0, 0].max() == 0
    assert graded[0, 1].max() < 75
    assert graded[0, 2].min() > 230


def test_a_varied_camera_differs_and_stays_uint8() -> None:
    image = np.full((32, 40, 3), 128, np.uint8)
    varied = augment.vary_camera(image, np.random.default_rng(5))
    assert varied.dtype == np.uint8
    assert varied.shape == image.shape
    assert not np.array_equal(varied, image)


def test_dusk_is_halfway_in_stops_between_day_and_night() -> None:
    day, night = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2, 3), 50, np.uint8)
    dusk = augment.halfway(day, night)
    assert abs(int(dusk[0, 0, 1]) - 100) <= 3
    assert dusk[0, 0, 0] > dusk[0, 0, 2]  # bluer than red


def test_regrading_keeps_colours_as_saturated_as_they_are() -> None:
    lamp = np.full((1, 1, 3), (60, 120, 180), np.uint8)
    graded = augment.darken_exposure(lamp, (2.2, 2.8), np.random.default_rng(0)).astype(float)
    assert 2.0 < graded[0, 0, 2] / graded[0, 0, 0] < 3.5  # was 3; each channel alone would give 14


def test_a_jitter_changes_images_that_belong_together_alike() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    first, second = jitter([image, image.copy()], np.random.default_rng(1))
    assert np.array_equal(first, second)
    assert np.abs(first.astype(int) - image).mean() > 5


def test_a_jitter_of_nothing_returns_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    assert ColorJitter()([image], np.random.default_rng(1))[0] is image


def test_a_jitter_of_brightness_scales_levels_within_its_share() -> None:
    image = np.full((16, 16, 3), 100, np.uint8)
    rng = np.random.default_rng(2)
    levels = [int(ColorJitter(brightness=0.5)([image], rng)[0][0, 0, 0]) for _ in range(40)]
    assert min(levels) >= 50
    assert max(levels) <= 150
    assert max(levels) - min(levels) > 60


def test_a_jitter_of_hue_turns_colours_and_leaves_gray() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:8] = (0, 0, 255)
    image[8:] = 90
    turned = ColorJitter(hue=0.5)([image], np.random.default_rng(3))[0]
    assert np.abs(turned[:8].astype(int) - image[:8]).max() > 60
    assert np.array_equal(turned[8:], image[8:])
