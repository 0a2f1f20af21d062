from __future__ import annotations

import pytest
import torch

from dayshift.train.networks.gain_light import (
    GainLight,
    GainLightConfig,
    apply_gain_light,
)


@pytest.fixture(params=[2, 4])
def network(request: pytest.FixtureRequest) -> GainLight:
    torch.manual_seed(0)
    network = GainLight(GainLightConfig((4, 4, 8), 1, fold=request.param)).eval()
    for head in (network.dimming, network.lamps):
        torch.nn.init.normal_(head.weight, std=0.5)  # maps far from their start
    return network


def test_strength_zero_is_the_identity_exactly(network: GainLight) -> None:
    frame = torch.rand(1, 3, 40, 56)
    gain, light = network.maps(frame, torch.zeros(1))
    assert torch.equal(gain, torch.ones_like(gain))
    assert torch.equal(light, torch.zeros_like(light))
    assert torch.equal(apply_gain_light(frame, gain, light), frame)


@pytest.mark.parametrize("size", [(8, 8), (45, 80), (180, 321), (17, 9)])
def test_maps_have_the_size_of_the_small_frame(network: GainLight, size: tuple[int, int]) -> None:
    gain, light = network.maps(torch.rand(2, 3, *size), torch.ones(2))
    assert gain.shape == light.shape == (2, 3, *size)
    assert gain.min() > 0
    assert gain.max() <= 1
    assert light.min() >= 0
    assert light.max() <= 1


def test_strength_changes_each_sample_by_itself(network: GainLight) -> None:
    frame = torch.rand(1, 3, 32, 32).expand(2, 3, 32, 32)
    gain, _ = network.maps(frame, torch.tensor([0.5, 1.0]))
    alone, _ = network.maps(frame[:1], torch.tensor([0.5]))
    assert torch.allclose(gain[:1], alone, atol=1e-5)
    assert not torch.allclose(gain[0], gain[1])


def test_lamps_change_what_strength_lets_through(network: GainLight) -> None:
    frame = torch.rand(1, 3, 32, 32).expand(2, 3, 32, 32)
    lamps = torch.tensor([0.0, 1.0])
    night, _ = network.maps(frame, torch.ones(2), lamps)
    assert not torch.allclose(night[0], night[1])
    day, light = network.maps(frame, torch.zeros(2), lamps)
    assert torch.equal(day, torch.ones_like(day))
    assert torch.equal(light, torch.zeros_like(light))
    lit, _ = network.maps(frame[:1], torch.ones(1))
    assert torch.allclose(lit[0], night[1], atol=1e-5)  # all of them burn by default


def test_bundled_network_has_no_operation_that_edge_engines_dislike() -> None:
    kinds = {type(module) for module in GainLight().modules()}
    assert not kinds & {
        torch.nn.ConvTranspose2d,
        torch.nn.ReflectionPad2d,
        torch.nn.InstanceNorm2d,
    }
