from __future__ import annotations

import torch

from dayshift.train import losses


def test_hinge_losses_are_zero_where_the_discriminator_is_right_by_a_margin() -> None:
    real, fake = torch.full((2, 1, 3, 3), 1.5), torch.full((2, 1, 3, 3), -1.5)
    assert losses.hinge_discriminator(real, fake) == 0
    assert losses.hinge_discriminator(fake, real) == 5  # (1 + 1.5) twice
    assert losses.hinge_generator(fake) == 1.5


def test_dark_differences_weigh_more_than_bright_ones() -> None:
    dark = losses.night_l1(torch.full((1, 3, 4, 4), 0.02), torch.full((1, 3, 4, 4), 0.06))
    bright = losses.night_l1(torch.full((1, 3, 4, 4), 0.82), torch.full((1, 3, 4, 4), 0.86))
    assert dark > 1.5 * bright


def test_weight_zero_makes_a_pixel_not_count() -> None:
    fake, target = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    target[..., 0, 0] = 1
    weight = torch.ones(1, 1, 2, 2)
    assert losses.night_l1(fake, target, weight) > 0
    weight[..., 0, 0] = 0
    assert losses.night_l1(fake, target, weight) == 0


def test_gradient_l1_ignores_a_constant_offset() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert losses.gradient_l1(image, image * 1.0 + 0.25) < 1e-6
    assert losses.gradient_l1(image, image.flip(-1)) > 0.01


def test_a_step_in_gain_is_free_on_an_edge_and_costs_on_a_surface() -> None:
    gain = torch.ones(1, 3, 8, 8)
    gain[..., 4:] = 0.25
    flat = torch.full((1, 3, 8, 8), 0.5)
    edged = flat.clone()
    edged[..., 4:] = 1.0
    on_surface = losses.edge_aware_smoothness(gain, flat)
    on_edge = losses.edge_aware_smoothness(gain, edged)
    assert on_surface > 100 * on_edge
