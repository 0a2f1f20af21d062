from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.frame import Frame
from dayshift.runtime.stabiliser import Stabiliser

Pixels = npt.NDArray[np.uint8]
RANDOM = np.random.default_rng(3)
WIDE: Pixels = np.asarray(
    np.kron(RANDOM.integers(40, 200, (23, 60, 3)), np.ones((16, 16, 1))), np.uint8
)


def scene(offset: int = 0) -> Pixels:
    """A textured street, moved sideways by so many pixels."""
    return WIDE[:, offset : offset + 640].copy()


def jump(image: Pixels, levels: float) -> Pixels:
    return np.asarray(np.clip(image + levels, 0, 255), np.uint8)


def run(sources: list[Pixels], images: list[Pixels], hold: float = 0.8) -> list[Pixels]:
    stabiliser = Stabiliser(hold=hold)
    return [
        stabiliser(Frame(source, index, 0.0, None), image)
        for index, (source, image) in enumerate(zip(sources, images, strict=True))
    ]


def roughness(images: list[Pixels], step: int = 0) -> float:
    """Mean difference of neighbours in time, along the scene's own motion."""
    width = images[0].shape[1] - step
    pairs = zip(images[2:], images[1:-1], strict=True)
    return float(np.mean([np.abs(b[:, :width].astype(int) - a[:, step:]).mean() for b, a in pairs]))


JUMPS = [0.0, 12.0, -10.0, 8.0, -12.0, 10.0, -8.0, 11.0, -9.0, 12.0]


def test_flicker_of_a_still_scene_is_taken_out() -> None:
    flickering = [jump(scene(), levels) for levels in JUMPS]
    calm = run([scene()] * 10, flickering)
    assert roughness(calm) < 0.35 * roughness(flickering)


def test_flicker_of_a_moving_scene_is_taken_out_along_its_motion() -> None:
    sources = [scene(4 * index) for index in range(10)]
    flickering = [jump(image, levels) for image, levels in zip(sources, JUMPS, strict=True)]
    calm = run(sources, flickering)
    assert roughness(calm, 4) < 0.6 * roughness(flickering, 4)


def test_what_moves_is_not_smeared() -> None:
    sources = [scene(12 * index) for index in range(8)]
    night = [np.asarray(source // 2, np.uint8) for source in sources]
    for calm, image in zip(run(sources, night), night, strict=True):
        assert np.abs(calm.astype(int) - image).mean() < 2.0


def test_a_cut_starts_anew() -> None:
    stabiliser = Stabiliser()
    dark = np.full((368, 640, 3), 20, np.uint8)
    stabiliser(Frame(scene(), 0, 0.0, None), scene())
    stabiliser(Frame(dark, 1, 0.0, None), dark)
    shown = stabiliser(Frame(scene(), 2, 0.0, None), scene())
    assert stabiliser.cuts == 2
    assert np.array_equal(shown, scene())


def test_another_size_starts_anew() -> None:
    small = scene()[:180, :320].copy()
    shown = run([scene(), small, small], [scene(), small, small])
    assert [image.shape for image in shown] == [(368, 640, 3), (180, 320, 3), (180, 320, 3)]
    assert np.array_equal(shown[1], small)


def test_a_steady_image_comes_out_as_it_is() -> None:
    for shown in run([scene()] * 5, [scene()] * 5):
        assert np.abs(shown.astype(int) - scene()).max() <= 1


def test_the_image_given_is_left_alone() -> None:
    images = [jump(scene(), levels) for levels in JUMPS[:4]]
    before = [image.copy() for image in images]
    run([scene()] * 4, images)
    assert all(np.array_equal(one, other) for one, other in zip(images, before, strict=True))


def test_without_hold_nothing_is_done() -> None:
    images = [jump(scene(), levels) for levels in JUMPS[:4]]
    for shown, image in zip(run([scene()] * 4, images, hold=0.0), images, strict=True):
        assert np.array_equal(shown, image)


@pytest.mark.parametrize("size", [(17, 16), (16, 33), (367, 641), (720, 1280)])
def test_odd_and_small_sizes_work(size: tuple[int, int]) -> None:
    images = [np.asarray(RANDOM.integers(0, 256, (*size, 3)), np.uint8) for _ in range(3)]
    assert [image.shape for image in run(images, images)] == [(*size, 3)] * 3


def test_a_hold_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a hold from 0 to under 1, got 1"):
        Stabiliser(hold=1)
