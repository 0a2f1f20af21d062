"""Each method learns a mapping that the test knows, from images of its own kind of data.

Domain a is street-like: bands and boxes in random colours. Domain b is the same world at another
time: darker, bluer, every colour moved by one matrix. Unpaired methods never see a pair. On images
that were not trained on, the translation must be nearer to the true one than the source is, by the
stated share of the distance.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dayshift.train.methods.base import Method
from dayshift.train.methods.cut import CutConfig
from dayshift.train.methods.cyclegan import CycleGanConfig
from dayshift.train.methods.pix2pix import Pix2PixConfig
from dayshift.train.methods.select import MethodConfig, build_method
from dayshift.train.methods.spade import SpadeConfig
from dayshift.train.methods.unit import UnitConfig
from dayshift.train.networks.spade import label_planes

SIDE = 32
RATES = {"lr": 1e-3}
RESNET = {"name": "resnet_6blocks", "settings": {"width": 8, "blocks": 2}}
PATCH = {"name": "patchgan_16", "settings": {"width": 16}}
PATCH_PAIR = {"name": "patchgan_16", "settings": {"width": 16, "in_channels": 6, "norm": "batch"}}
SCALES = {"width": 16, "layers": 2, "scales": 2}

LEARNERS: dict[str, tuple[MethodConfig, int, float]] = {
    # config, steps, largest distance to the truth as a share of the source's
    "pix2pix": (
        Pix2PixConfig.model_validate(
            {"generator": RESNET, "discriminator": PATCH_PAIR, "optimizer": RATES}
        ),
        100,
        0.35,
    ),
    "cyclegan": (
        CycleGanConfig.model_validate(
            {"generator": RESNET, "discriminator": PATCH, "identity": 0.0, "optimizer": RATES}
        ),
        150,
        0.5,
    ),
    "cut": (
        CutConfig.model_validate(
            {
                "generator": RESNET,
                "discriminator": PATCH,
                "layers": [0, 4, 8],
                "patches": 64,
                "length": 64,
                "optimizer": RATES,
            }
        ),
        250,
        0.6,
    ),
    "unit": (
        UnitConfig.model_validate(
            {
                "generator": {"name": "unit", "settings": {"width": 8, "blocks": 1}},
                "discriminator": {"name": "unit_discriminator", "settings": SCALES},
                "optimizer": RATES,
            }
        ),
        100,
        0.5,
    ),
}


def street(seed: int, n: int = 4) -> tuple[Tensor, Tensor]:
    """Return images (n, 3, SIDE, SIDE) in [-1, 1] and their label maps: sky, ground, boxes."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.empty(n, 3, SIDE, SIDE)
    labels = torch.zeros(n, SIDE, SIDE, dtype=torch.int64)
    for index in range(n):
        horizon = int(torch.randint(10, 22, (), generator=rng))
        sky, ground = torch.rand(2, 3, generator=rng) * 0.3
        image[index] = (sky + torch.tensor([0.5, 0.6, 0.7]))[:, None, None]
        image[index, :, horizon:] = (ground + 0.3)[:, None, None]
        labels[index, horizon:] = 1
        for _ in range(3):
            top, left = (int(v) for v in torch.randint(2, SIDE - 12, (2,), generator=rng))
            colour = torch.rand(3, generator=rng)[:, None, None]
            image[index, :, top : top + 10, left : left + 8] = colour
            labels[index, top : top + 10, left : left + 8] = 2
    return image * 2 - 1, labels


def truth(a: Tensor) -> Tensor:
    """Return domain b's image of domain a's: darker, bluer, greens to reds."""
    matrix = torch.tensor([[0.2, 0.35, 0.0], [0.1, 0.3, 0.1], [0.0, 0.2, 0.6]])
    return torch.einsum("ij,njhw->nihw", matrix, (a + 1) / 2) * 2 - 1


def train(method: Method, steps: int, batch_of: Any) -> None:
    def update(optimizer: str, loss: Tensor) -> None:
        method.optimizers[optimizer].zero_grad()
        torch.autograd.backward(loss)
        method.optimizers[optimizer].step()

    for step in range(steps):
        rate = min(1.0, 2 * (1 - step / steps))
        for optimizer in method.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("first_lr", group["lr"]) * rate
        method.training_step(batch_of(step), step, update)


def distance(x: Tensor, y: Tensor) -> float:
    return float((x - y).abs().mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_the_other_domain(name: str) -> None:
    config, steps, share = LEARNERS[name]
    torch.manual_seed(0)
    method = build_method(config)
    paired = name == "pix2pix"

    def batch_of(step: int) -> dict[str, Tensor]:
        a, _ = street(2 * step)
        return {"a": a, "b": truth(a if paired else street(2 * step + 1)[0])}

    train(method, steps, batch_of)
    a, _ = street(10**6, 16)
    generator = method.modules[method.translators["a_to_b"]]
    with torch.no_grad():
        found = distance(generator(a), truth(a)) / distance(a, truth(a))
    assert found < share, found


def painted(labels: Tensor) -> Tensor:
    """Return the photo that a label map stands for: a colour for each, lighter towards the top."""
    palette = torch.tensor([[0.3, 0.5, 0.9], [0.4, 0.4, 0.4], [0.8, 0.3, 0.2]])
    light = torch.linspace(1.0, 0.6, SIDE)[:, None]
    return palette[labels].movedim(-1, 1) * light * 2 - 1


@pytest.mark.slow
def test_spade_learns_to_paint_labels_it_has_not_seen() -> None:
    torch.manual_seed(0)
    config = SpadeConfig.model_validate(
        {
            "labels": 3,
            "instances": False,
            "generator": {"name": "spade", "settings": {"width": 2, "upsampling": "normal"}},
            "discriminator": {"name": "spade_discriminator", "settings": {"width": 8}},
            "g_optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
        }
    )
    method = build_method(config)

    def batch_of(step: int) -> dict[str, Tensor]:
        labels = street(step)[1]
        return {"labels": labels, "b": painted(labels)}

    train(method, 120, batch_of)
    labels = street(10**6, 16)[1]
    wanted = painted(labels)
    with torch.no_grad():
        found = distance(method.modules["generator"](label_planes(labels, 3)), wanted)
    best_constant = distance(wanted.mean((0, 2, 3), keepdim=True).expand_as(wanted), wanted)
    assert found < 0.6 * best_constant, found / best_constant
