from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dayshift.train import data


def test_aligned_images_stay_aligned_when_cropped() -> None:
    ramp = np.arange(96 * 128 * 3, dtype=np.uint32).reshape(96, 128, 3).astype(np.uint8)
    rng = np.random.default_rng(3)
    for _ in range(8):
        first, second = data.random_crop([ramp, 255 - ramp], (64, 80), rng)
        assert first.shape == (64, 80, 3)
        # Linear and area interpolation commute with inversion, up to rounding.
        assert np.abs(255 - first.astype(int) - second).max() <= 1


def test_a_crop_is_never_larger_than_the_image() -> None:
    small = np.zeros((50, 70, 3), np.uint8)
    assert data.random_crop([small], (64, 80), np.random.default_rng(0))[0].shape == (64, 80, 3)


def test_texture_scales_day_and_night_alike() -> None:
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
    day, night = np.full((64, 80, 3), 120, np.uint8), np.full((64, 80, 3), 60, np.uint8)
    textured_day, textured_night = data.add_texture([day, night], photo, rng)
    assert textured_day.std() > 5
    assert np.abs(textured_day / 2.0 - textured_night).max() <= 1


def test_regrading_keeps_black_and_white_and_darkens_between() -> None:
    night = np.array([[[0, 0, 0], [110, 110, 110], [255, 255, 255]]], np.uint8)
    graded = data.darken_exposure(night, (2.2, 2.8), np.random.default_rng(0))
    assert graded[0, 0].max() == 0
    assert graded[0, 1].max() < 75
    assert graded[0, 2].min() > 230


def test_a_varied_camera_differs_and_stays_uint8() -> None:
    image = np.full((32, 40, 3), 128, np.uint8)
    varied = data.vary_camera(image, np.random.default_rng(5))
    assert varied.dtype == np.uint8
    assert varied.shape == image.shape
    assert not np.array_equal(varied, image)


def test_pairs_of_other_tiers_are_left_out(data_root: Path) -> None:
    pairs = data.Pairs.load(data_root / "paired/pairs_train.csv", data_root, ["A"])
    assert [(len(days), len(nights)) for days, nights in pairs.scenes] == [(2, 2)]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match=r"no folder .*nowhere.*--data"):
        data.list_images([tmp_path / "nowhere"])


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_text("not a picture")
    with pytest.raises(data.DataError, match=r"x\.jpg"):
        data.read_image(path)


def test_triples_need_a_name_in_all_three_folders(data_root: Path) -> None:
    (data_root / "synth/night/train/00001.png").unlink()
    assert len(data.Triples.load(data_root / "synth").day) == 2


def test_dusk_is_halfway_in_stops_between_day_and_night() -> None:
    day, night = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2, 3), 50, np.uint8)
    dusk = data.halfway(day, night)
    assert abs(int(dusk[0, 0, 1]) - 100) <= 3
    assert dusk[0, 0, 0] > dusk[0, 0, 2]  # bluer than red


def test_regrading_keeps_colours_as_saturated_as_they_are() -> None:
    lamp = np.full((1, 1, 3), (60, 120, 180), np.uint8)
    graded = data.darken_exposure(lamp, (2.2, 2.8), np.random.default_rng(0)).astype(float)
    assert 2.0 < graded[0, 0, 2] / graded[0, 0, 0] < 3.5  # was 3; each channel alone would give 14
