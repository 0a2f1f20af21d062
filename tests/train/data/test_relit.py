from __future__ import annotations

import cv2
import numpy as np
import pytest

from dayshift.runtime.image import Pixels
from dayshift.train.data.relit import RelitPhotos, relight_photo, sky_matte

HEIGHT, WIDTH, HORIZON = 200, 320, 90
GROUND = (slice(120, 200), slice(0, WIDTH))
SKY = (slice(0, 70), slice(0, WIDTH))


def street(sky_bgr: tuple[int, int, int]) -> Pixels:
    """A sky, a dark tree before it, and a textured ground."""
    rng = np.random.default_rng(0)
    day = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    day[:] = sky_bgr
    texture = cv2.resize(rng.integers(70, 150, (40, 64, 1), np.uint8), (WIDTH, HEIGHT))
    day[HORIZON:] = texture[HORIZON:, :, None]
    cv2.circle(day, (160, 70), 30, (20, 45, 25), -1)
    return day


@pytest.mark.parametrize("sky_bgr", [(235, 180, 120), (225, 225, 225)], ids=["blue", "overcast"])
def test_the_sky_is_found_to_its_rim(sky_bgr: tuple[int, int, int]) -> None:
    matte = sky_matte(street(sky_bgr))
    is_sky = np.zeros((HEIGHT, WIDTH), bool)
    is_sky[:HORIZON] = True
    is_sky &= cv2.circle(np.ones((HEIGHT, WIDTH), np.uint8), (160, 70), 30, (0,), -1) > 0
    assert matte.shape == (HEIGHT, WIDTH)
    assert np.abs(matte - is_sky).mean() < 0.02


def test_a_picture_without_a_sky_has_none() -> None:
    rng = np.random.default_rng(0)
    down = cv2.resize(rng.integers(60, 160, (40, 64, 3), np.uint8), (WIDTH, HEIGHT))
    assert sky_matte(np.asarray(down, np.uint8)).max() < 0.05


def test_by_night_the_sky_is_darker_than_the_street_and_by_day_it_was_not() -> None:
    photo = relight_photo(street((235, 180, 120)))
    assert photo.day[SKY].mean() > photo.day[GROUND].mean()
    assert photo.night[SKY].mean() < photo.night[GROUND].mean()
    assert photo.night[SKY].mean() < 40
    assert photo.day.mean() > photo.dusk.mean() > photo.night.mean() > 20
    assert photo.night.shape == photo.dusk.shape == photo.day.shape


def test_large_shadows_of_the_day_fade() -> None:
    day = street((235, 180, 120))
    day[120:, :160] //= 3
    photo = relight_photo(day)

    def contrast(image: Pixels) -> float:
        levels = (image[120:] / 255.0) ** 2.2
        return float(levels[:, 200:].mean() / levels[:, :120].mean())

    assert contrast(photo.night) < 0.5 * contrast(day)


def test_each_photo_is_relit_once_when_it_is_asked_for() -> None:
    days = [street((235, 180, 120)), street((225, 225, 225))]
    photos = RelitPhotos(days)
    assert len(photos) == 2
    assert photos[1] is photos[1]
    assert np.array_equal(photos[1].day, days[1])
