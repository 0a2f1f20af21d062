"""The grade that is laid over GainLight's maps."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from dayshift.train.networks.gain_light import GainLight, GainLightConfig

CONFIG = GainLightConfig((8, 8, 16), 1)


def pictures(
    *, strength: float = 1.0, saturation: float = 1.0, warmth: float = 1.0, exposure: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return what the same weights make of a small frame without and with a grade."""
    small = 0.4 + 0.2 * torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    found = []
    grade = dataclasses.replace(CONFIG, saturation=saturation, warmth=warmth, exposure=exposure)
    for config in (CONFIG, grade):
        torch.manual_seed(0)
        network = GainLight(config).eval()
        assert network.dimming.bias is not None
        torch.nn.init.constant_(network.dimming.bias, -0.5)
        with torch.no_grad():
            gain, light = network.maps(small, torch.tensor([strength]))
        found.append(gain * small + light)
    return found[0], found[1]


def test_saturation_moves_colours_away_from_grey() -> None:
    plain, graded = pictures(saturation=1.4)
    grey = plain.mean(1, keepdim=True)
    torch.testing.assert_close(graded - grey, 1.4 * (plain - grey), atol=2e-3, rtol=0)


def test_warmth_and_exposure_scale_the_colours() -> None:
    plain, graded = pictures(warmth=1.25, exposure=0.9)
    factors = 0.9 * torch.tensor([1.25, 1.0, 0.8]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(graded, plain * factors, atol=1e-3, rtol=0)


def test_half_the_strength_is_half_the_grade() -> None:
    plain, graded = pictures(strength=0.5, exposure=0.8)
    torch.testing.assert_close(graded, plain * 0.9, atol=1e-3, rtol=0)


def test_at_strength_zero_the_frame_stays_the_frame() -> None:
    plain, graded = pictures(strength=0.0, saturation=2.0, warmth=1.3, exposure=0.5)
    torch.testing.assert_close(graded, plain, atol=0, rtol=0)


def test_a_grade_adds_no_weights_and_may_be_left_out() -> None:
    network = GainLight(dataclasses.replace(CONFIG, saturation=1.4))
    network.load_state_dict(GainLight(CONFIG).state_dict())
    assert network.applies_grade
    assert not GainLight(CONFIG).applies_grade
