from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dayshift.train.synth.darkroom import Lens, Negative, blurred
from dayshift.train.synth.develop import decode_flow, encode_depth, encode_flow, occlusion
from dayshift.train.synth.light import Hour
from dayshift.train.synth.plan import ScenePlan, draw_plan

WIDTH, HEIGHT = 96, 54


def plan_with(*, distortion: float = 0.0, noise: float = 0.0, bloom: float = 0.0) -> ScenePlan:
    plan = draw_plan(3)
    camera = dataclasses.replace(plan.camera, distortion=distortion, noise=noise, bloom=bloom)
    weather = dataclasses.replace(plan.weather, haze=0.0)
    return dataclasses.replace(plan, camera=camera, weather=weather)


def test_a_day_is_the_sky_and_a_night_is_the_lamps(layers: Path) -> None:
    negative = Negative(layers, plan_with())
    day, night = negative.picture(Hour(0.0)), negative.picture(Hour(1.0))
    assert day.shape == (HEIGHT, WIDTH, 3)
    assert day.dtype == np.uint8
    wall = (slice(45, 50), slice(5, 20))
    assert day[wall].mean() > 2 * night[wall].mean()
    signal = night[37, 44].astype(int)
    assert signal[2] > 150
    assert signal[2] > signal[:2].max() + 40  # red, in BGR
    assert np.array_equal(negative.lamps_alone()[2], np.zeros((WIDTH, 3)))


def test_the_lamps_can_be_turned_without_the_hour(layers: Path) -> None:
    negative = Negative(layers, plan_with())
    levels = [int(negative.picture(Hour(1.0, share))[37, 44, 2]) for share in (0.0, 0.3, 1.0)]
    assert levels == sorted(levels)
    assert levels[0] < 60 < 150 < levels[2]


def test_pictures_of_a_scene_are_the_same_each_time(layers: Path) -> None:
    plan = plan_with(noise=0.03, bloom=0.1, distortion=-0.1)
    first, second = (Negative(layers, plan).picture(Hour(1.0)) for _ in range(2))
    assert np.array_equal(first, second)


def test_bloom_spreads_light_and_keeps_its_sum(layers: Path) -> None:
    sharp = Negative(layers, plan_with()).lamps_alone().astype(int)
    soft = Negative(layers, plan_with(bloom=0.3)).lamps_alone().astype(int)
    assert soft[30, 44, 2] > sharp[30, 44, 2]
    assert soft[37, 44, 2] <= sharp[37, 44, 2]


@pytest.mark.parametrize("k1", [-0.18, -0.05, 0.0])
def test_the_truth_lies_where_the_picture_has_it(layers: Path, k1: float) -> None:
    negative = Negative(layers, plan_with(distortion=k1))
    truth = negative.truth()
    picture = negative.picture(Hour(0.0))
    is_sky = truth.numbers == 0
    assert np.array_equal(is_sky, np.isinf(truth.depth))
    bright = picture.min(axis=2) > picture[~is_sky].max() - 1
    assert (bright == is_sky).mean() > 0.97  # but for the pixels on the edge


def test_nothing_beside_the_sun_is_darker_than_without_it(layers: Path) -> None:
    negative = Negative(layers, plan_with(distortion=-0.18))
    without = negative.picture(Hour(0.0))
    (sky,) = negative._skies.values()
    sky[10:12, 40:42] = 1e4
    with_sun = negative.picture(Hour(0.0))
    assert with_sun.max() > without.max()
    assert (with_sun[:27].astype(int) - without[:27]).min() > -20  # what cubic weights take


def camera_lens(k1: float, width: int = 200, height: int = 120) -> Lens:
    return Lens(dataclasses.replace(draw_plan(3).camera, distortion=k1), width, height)


def test_a_lens_keeps_the_corners_and_the_middle() -> None:
    lens = camera_lens(-0.2, 201, 121)
    points: npt.NDArray[np.float32] = np.mgrid[:121, :201].astype(np.float32)[::-1].copy()
    x, y = lens.smooth(np.ascontiguousarray(points.transpose(1, 2, 0))).transpose(2, 0, 1)
    for row, column in ((0, 0), (120, 200), (60, 100)):
        assert abs(x[row, column] - column) < 0.01
        assert abs(y[row, column] - row) < 0.01
    assert abs(x[60, 30] - 30) > 2


def test_a_distorted_flow_carries_a_distorted_picture_into_the_next() -> None:
    lens = camera_lens(-0.2)
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 1, (120, 260)).astype(np.float32), (0, 0), 2)
    now, following = (np.ascontiguousarray(texture[:, 30 - d : 230 - d, None]).repeat(3, axis=2)
                      for d in (0, 5))  # fmt: skip
    flow = np.zeros((120, 200, 2), np.float32)
    flow[..., 0] = 5
    distorted = lens.flow(flow)
    y, x = np.mgrid[:120, :200].astype(np.float32)
    back = cv2.remap(
        lens.smooth(following), x + distorted[..., 0], y + distorted[..., 1], cv2.INTER_LINEAR
    )
    inside = (slice(10, 110), slice(10, 180))
    error = np.abs(back - lens.smooth(now))[inside]
    assert error.mean() < 0.01
    assert np.abs(lens.smooth(following) - lens.smooth(now))[inside].mean() > 0.03


def test_depth_and_flow_survive_their_files() -> None:
    depth = np.array([[1.234, 20, 700, np.inf]], np.float32)
    assert encode_depth(depth).tolist() == [[123, 2000, 65535, 65535]]
    flow = np.random.default_rng(0).uniform(-200, 200, (5, 7, 2)).astype(np.float32)
    assert np.abs(decode_flow(encode_flow(flow)) - flow).max() <= 1 / 128 + 1e-4


def test_a_wide_blur_on_a_smaller_image_is_the_same() -> None:
    rng = np.random.default_rng(0)
    image = (rng.uniform(0, 1, (144, 250, 3)) ** 8 * 20).astype(np.float32)  # bright points
    for sigma in (5.1, 9.6, 15.0):
        exact = cv2.GaussianBlur(image, (0, 0), sigma)
        error = np.abs(blurred(image, sigma) - exact)
        assert error.max() < 0.1 * exact.mean()  # of which a picture shows a few hundredths
        assert error.mean() < 0.02 * exact.mean()


def test_what_moves_away_is_hidden_and_what_moves_along_is_not(
    tmp_path: Path, write: Callable[[Path, int], None]
) -> None:
    for frame in (1, 2):
        write(tmp_path, frame)
    plan = plan_with()
    first, second = (Negative(tmp_path, plan, frame).truth() for frame in (1, 2))
    assert first.flow is not None
    assert np.allclose(first.flow[..., 0], 3)
    hidden = occlusion(first, second)
    assert hidden[:, -3:].all()  # out of the picture
    assert not hidden[34:40, 40:48].any()  # the signal arrives where it should
