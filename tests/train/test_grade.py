"""A grade of a teacher's nights, carried by its maps."""

from __future__ import annotations

import torch
from torch import Tensor

from dayshift.train.methods.grade import Grade, grade_maps


def random_maps(n: int = 2) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    small, gain, light = (torch.rand(n, 3, 12, 16, generator=generator) for _ in range(3))
    return 0.4 + 0.2 * small, (0.3 + 0.2 * gain, 0.1 * light)


def picture(small: Tensor, maps: tuple[Tensor, Tensor]) -> Tensor:
    return maps[0] * small + maps[1]


def test_the_default_grade_does_nothing() -> None:
    small, maps = random_maps()
    gain, light = grade_maps(Grade(), small, maps, torch.ones(2))
    torch.testing.assert_close(gain, maps[0])
    torch.testing.assert_close(light, maps[1])


def test_at_strength_zero_the_frame_stays_the_frame() -> None:
    small, _ = random_maps()
    identity = torch.ones_like(small), torch.zeros_like(small)
    grade = Grade(saturation=2.0, exposure=0.5, contrast=0.1, warmth=1.3, glow=0.5)
    gain, light = grade_maps(grade, small, identity, torch.zeros(2))
    torch.testing.assert_close(gain, identity[0])
    assert not light.any()


def test_saturation_moves_colours_away_from_grey_and_keeps_the_mean() -> None:
    small, maps = random_maps()
    before = picture(small, maps)
    after = picture(
        small, grade_maps(Grade(saturation=1.4, saturation_bright=1.4), small, maps, torch.ones(2))
    )
    grey = before.mean(1, keepdim=True)
    torch.testing.assert_close(after - grey, 1.4 * (before - grey), atol=2e-3, rtol=0)


def test_half_the_strength_is_half_the_exposure() -> None:
    small, maps = random_maps()
    before = picture(small, maps)
    after = picture(small, grade_maps(Grade(exposure=0.8), small, maps, torch.tensor([0.5, 1.0])))
    torch.testing.assert_close(after[0], 0.9 * before[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(after[1], 0.8 * before[1], atol=1e-3, rtol=0)


def test_warmth_raises_red_and_lowers_blue() -> None:
    small, maps = random_maps()
    before = picture(small, maps)
    after = picture(small, grade_maps(Grade(warmth=1.25), small, maps, torch.ones(2)))
    factors = torch.tensor([1.25, 1.0, 0.8]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(after, before * factors, atol=1e-3, rtol=0)


def test_glow_lights_what_is_around_a_bright_spot_and_nothing_far_away() -> None:
    small = torch.full((1, 3, 33, 33), 0.5)
    light = torch.zeros(1, 3, 33, 33)
    light[..., 16, 16] = 0.8
    maps = torch.full_like(small, 0.2), light
    after = grade_maps(Grade(glow=0.5), small, maps, torch.ones(1))[1]
    assert (after[..., 16, 12] > 0).all()
    assert not after[..., 0, 0].any()
