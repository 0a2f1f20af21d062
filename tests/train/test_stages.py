"""Where two generators are compared inside, and how."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dayshift.train.loop.preview import relight
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.presets import build_network
from dayshift.train.networks.stages import StageDistance, StageRecorder


@pytest.mark.parametrize(
    ("name", "settings", "kind", "channels"),
    [
        ("resnet_9blocks", {"width": 2}, "trunk", [8, 8, 8, 8]),
        ("resnet_edge", {"width": 2}, "trunk", [8, 8, 8, 8]),
        ("unet_128", {"width": 2}, "unet", [4, 16, 32, 8]),
        ("unit", {"width": 2}, "trunk", [8, 8, 8, 8]),
        ("unit_2017", {"width": 2}, "trunk", [8, 8, 8, 8]),
        ("gain_light_image", {"channels": [2, 4, 6]}, "trunk", [6, 6, 6, 6]),
        ("gain_light", {"channels": [2, 4, 6], "short_side": 64}, "trunk", [6, 6, 6, 6]),
    ],
)
def test_every_generator_has_four_stages(
    name: str, settings: dict[str, Any], kind: str, channels: list[int]
) -> None:
    network = build_network(name, **settings).eval()
    recorder = StageRecorder(network)
    with torch.no_grad():
        for _ in range(2):  # only the last run counts
            x = torch.zeros(1, 3, 128, 128)
            _ = relight(network, x) if isinstance(network, GainLight) else network(x)
    stages = recorder.take()
    assert recorder.kind == kind
    assert [stage.shape[1] for stage in stages] == channels
    assert recorder.take() == []


def test_the_stages_of_nine_blocks_are_the_published_ones() -> None:
    network: Any = build_network("resnet_9blocks", width=2)
    recorder = StageRecorder(network)
    expected: dict[int, Tensor] = {}
    for index in (9, 12, 15, 18):
        network.model[index].register_forward_hook(
            lambda _m, _i, output, index=index: expected.__setitem__(index, output)
        )
    network(torch.zeros(1, 3, 32, 32))
    for found, index in zip(recorder.take(), (9, 12, 15, 18), strict=True):
        assert found is expected[index]


def test_channel_distillation_compares_means_behind_norm_and_relu() -> None:
    torch.manual_seed(0)
    distance = StageDistance([(2, 4)], means=True)
    student, teacher = torch.rand(2, 2, 6, 6), torch.rand(2, 4, 3, 3)
    conv = functional.conv2d(student, distance.adapters[0][0].weight)  # type: ignore[index]
    mean, variance = conv.mean((0, 2, 3)), conv.var((0, 2, 3), unbiased=False)
    scaled = (conv - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    expected = (scaled.clamp_min(0).mean((2, 3)) - teacher.mean((2, 3))).square().mean()
    assert torch.isclose(distance([student], [teacher]), expected, rtol=1e-4)
