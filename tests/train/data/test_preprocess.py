from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from dayshift.runtime.errors import UsageError
from dayshift.train.data import OddImage, Preprocess, check_size
from dayshift.train.data.preprocess import Geometry


def draws(preprocess: Preprocess, size: tuple[int, int], count: int = 200) -> list[Geometry]:
    rng = np.random.default_rng(0)
    return [preprocess.draw(size, rng) for _ in range(count)]


@pytest.mark.parametrize(
    ("settings", "size", "scaled", "sample"),
    [
        ({}, (500, 750), (286, 286), (256, 256)),
        ({"mode": "crop", "crop_size": 64}, (100, 130), (100, 130), (64, 64)),
        ({"mode": "scale_width", "load_size": 200}, (100, 380), (52, 200), (52, 200)),
        (
            {"mode": "scale_width_and_crop", "load_size": 300, "crop_size": 64},
            (200, 600),
            (100, 300),
            (64, 64),
        ),
        (
            {"mode": "scale_width_and_crop", "load_size": 300, "crop_size": 128},
            (200, 600),
            (128, 300),  # stretched, as the authors do, where it would be too low
            (128, 128),
        ),
        ({"mode": "scale_shortside", "load_size": 64}, (100, 150), (64, 96), (64, 96)),
        (
            {"mode": "scale_shortside_and_crop", "load_size": 70, "crop_size": (64, 80)},
            (100, 150),
            (70, 105),
            (64, 80),
        ),
        ({"mode": "fixed", "crop_size": (256, 512)}, (100, 100), (256, 512), (256, 512)),
        ({"mode": "none"}, (101, 103), (100, 104), (100, 104)),
        ({"mode": "none", "multiple": 32}, (101, 103), (96, 96), (96, 96)),
    ],
)
def test_the_authors_modes(
    settings: dict[str, Any],
    size: tuple[int, int],
    scaled: tuple[int, int],
    sample: tuple[int, int],
) -> None:
    preprocess = Preprocess.model_validate(settings)
    for geometry in draws(preprocess, size, 20):
        assert geometry.scaled == scaled
        assert geometry.size == sample
        assert geometry.image(np.zeros((*size, 3), np.uint8)).shape == (*sample, 3)
        assert geometry.labels(np.zeros(size, np.int32)).shape == sample
    assert preprocess.sample_size in (sample, None)


def test_crops_reach_every_place_and_half_are_mirrored() -> None:
    found = draws(Preprocess(load_size=260, crop_size=256), (300, 400), 1000)
    assert {g.top for g in found} == {0, 1, 2, 3, 4}
    assert {g.left for g in found} == {0, 1, 2, 3, 4}
    assert 430 < sum(g.mirrored for g in found) < 570
    assert not any(g.mirrored for g in draws(Preprocess(flip=False), (300, 400)))


def test_for_validation_nothing_is_random_and_nothing_lost() -> None:
    assert set(draws(Preprocess().for_validation(), (300, 400))) == {
        Geometry((256, 256), 0, 0, (256, 256), False)
    }
    crop = Preprocess(mode="crop", crop_size=100).for_validation()
    assert set(draws(crop, (300, 400))) == {Geometry((300, 400), 100, 150, (100, 100), False)}


def test_a_crop_that_does_not_fit_is_odd() -> None:
    with pytest.raises(OddImage, match="90x200 is too small for a crop of 100x100"):
        Preprocess(mode="crop", crop_size=100).check_image((200, 90))
    Preprocess().check_image((20, 20))  # is enlarged


def test_a_crop_larger_than_what_is_loaded_is_refused() -> None:
    with pytest.raises(ValidationError, match="load_size 200 is less than crop_size 256"):
        Preprocess(load_size=200)


def test_a_wrong_size_names_the_next_valid_one() -> None:
    check_size((256, 512), "unet_256", 256)
    with pytest.raises(
        UsageError,
        match="unet_256 needs sides that are multiples of 256, got 300x200: "
        "the next valid size is 512x256",
    ):
        check_size((200, 300), "unet_256", 256)


def test_a_network_is_checked_before_the_first_image() -> None:
    Preprocess().check_network("unet_256", 256)
    Preprocess(mode="none", multiple=64).check_network("unet_128", 32)
    with pytest.raises(UsageError, match="got 280x280: the next valid size is 512x512"):
        Preprocess(crop_size=280).check_network("unet_256", 256)
    with pytest.raises(
        UsageError, match=r"'none' gives multiples of 4: set preprocess\.multiple to 256"
    ):
        Preprocess(mode="none").check_network("unet_256", 256)
