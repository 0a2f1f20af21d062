from __future__ import annotations

import math

import torch
from torch.nn import functional

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


class TestGan:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 0.5])

    def test_vanilla_is_cross_entropy_of_logits(self) -> None:
        bce = functional.binary_cross_entropy_with_logits
        expected = bce(self.real, torch.ones(2)) + bce(self.fake, torch.zeros(2))
        assert torch.isclose(losses.discriminator_gan("vanilla", self.real, self.fake), expected)
        expected = bce(self.fake, torch.ones(2))
        assert torch.isclose(losses.generator_gan("vanilla", self.fake), expected)

    def test_least_squares_by_hand(self) -> None:
        # real: (1 + 1) / 2, fake: (1 + 0.25) / 2; to fool: (4 + 0.25) / 2
        assert losses.discriminator_gan("lsgan", self.real, self.fake) == 1 + 0.625
        assert losses.generator_gan("lsgan", self.fake) == 2.125

    def test_hinge_by_hand(self) -> None:
        # real: (0 + 1) / 2, fake: (0 + 1.5) / 2; to fool: (1 - 0.5) / 2
        assert losses.discriminator_gan("hinge", self.real, self.fake) == 0.5 + 0.75
        assert losses.generator_gan("hinge", self.fake) == 0.25


def test_kl_terms_agree_with_torchs_distributions() -> None:
    mean, log_variance = torch.randn(3, 5), torch.randn(3, 5)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    p = torch.distributions.Normal(torch.zeros(3, 5), torch.ones(3, 5))
    divergence = torch.distributions.kl_divergence(q, p).sum(1).mean()
    assert torch.isclose(losses.kl_normal(mean, log_variance), divergence, atol=1e-5)
    unit = torch.distributions.Normal(mean, torch.ones(3, 5))
    expected = 2 * torch.distributions.kl_divergence(unit, p).mean()
    assert torch.isclose(losses.kl_unit_variance(mean), expected, atol=1e-5)


def test_feature_matching_adds_layers_averages_sizes_and_leaves_the_scores_out() -> None:
    def size(*levels: float) -> list[torch.Tensor]:
        return [torch.full((1, 2, 3, 3), float(level)) for level in levels]

    real = [size(0, 0, 0), size(0, 0, 0)]
    fake = [size(1, 2, 100), size(3, 4, 100)]
    assert losses.feature_matching(real, fake) == (1 + 2 + 3 + 4) / 2


def test_perceptual_l1_weighs_deep_layers_most() -> None:
    real = [torch.zeros(1, 2, 2, 2) for _ in range(5)]
    for layer, weight in enumerate((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)):
        fake = [feature.clone() for feature in real]
        fake[layer] += 2
        assert losses.perceptual_l1(real, fake) == 2 * weight


def test_perceptual_instance_sees_content_and_not_style() -> None:
    features = torch.rand(1, 4, 8, 8)
    style = torch.tensor([2.0, 3.0, 0.5, 1.0])[:, None, None]
    assert losses.perceptual_instance(features, features * style + style) < 1e-3
    # Two independent fields, each of variance 1: E(x - y)^2 = 2.
    noise = torch.randn(2, 4, 32, 32)
    assert abs(float(losses.perceptual_instance(noise[:1], noise[1:])) - 2) < 0.2


class TestPatchNce:
    def test_by_hand(self) -> None:
        # Two patches: similarities [[1, 0], [0.6, 0.8]], temperature 0.5.
        key = torch.eye(2)[None]
        query = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
        first = -math.log(math.exp(2) / (math.exp(2) + math.exp(0)))
        second = -math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
        loss = losses.patch_nce(query, key, 0.5)
        assert math.isclose(float(loss), (first + second) / 2, rel_tol=1e-6)

    def test_is_the_authors_form_with_the_partner_listed_apart(self) -> None:
        torch.manual_seed(0)
        query = functional.normalize(torch.randn(3, 7, 5), dim=-1)
        key = functional.normalize(torch.randn(3, 7, 5), dim=-1)
        positive = (query * key).sum(-1).reshape(-1, 1)
        negative = torch.bmm(query, key.transpose(1, 2))
        negative.masked_fill_(torch.eye(7, dtype=torch.bool)[None], -10.0)
        logits = torch.cat([positive, negative.reshape(-1, 7)], 1) / 0.07
        expected = functional.cross_entropy(logits, torch.zeros(21, dtype=torch.long))
        assert torch.isclose(losses.patch_nce(query, key), expected, rtol=1e-6)

    def test_negatives_are_of_the_same_image_alone(self) -> None:
        image = functional.normalize(torch.randn(1, 6, 4), dim=-1)
        twice = torch.cat([image, image])
        alone, doubled = losses.patch_nce(image, image), losses.patch_nce(twice, twice)
        assert torch.isclose(alone, doubled, atol=1e-6)

    def test_the_key_takes_no_gradient(self) -> None:
        query, key = (torch.rand(1, 4, 3, requires_grad=True) for _ in range(2))
        losses.patch_nce(query, key).backward()  # type: ignore[no-untyped-call]
        assert query.grad is not None
        assert key.grad is None


def test_a_lattice_of_lamps_counts_and_a_single_lamp_or_a_slope_hardly_does() -> None:
    flat = torch.full((1, 3, 60, 72), 0.3)
    rows, lamp = flat.clone(), flat.clone()
    rows[..., 1::4, 2::4] = 0.9
    lamp[..., 30:32, 30:32] = 0.9
    slope = torch.linspace(0, 1, 72).expand(1, 3, 60, 72)
    counted = losses.lattice(rows, 4)
    assert counted > 0.05
    assert losses.lattice(lamp, 4) < 0.02 * counted
    assert losses.lattice(slope, 4) < 0.01 * counted
    assert losses.lattice(flat, 4) < 1e-6
    # A photo's height need not be a multiple of the blocks'.
    torch.testing.assert_close(losses.lattice(rows[..., :58, :], 4), counted, rtol=0.1, atol=0)
