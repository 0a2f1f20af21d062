"""The presets are the authors' networks: same keys, same shapes, same numbers."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train.networks.presets import build_network
from dayshift.train.networks.spectral import SpectralConv2d

GOLDEN = Path(__file__).parents[1] / "data" / "golden"

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "cyclegan_resnet_9blocks": ("resnet_9blocks", {"width": 8}),
    "cyclegan_resnet_6blocks": ("resnet_6blocks", {"width": 8}),
    "pix2pix_resnet_9blocks_batch_dropout": (
        "resnet_9blocks",
        {"width": 8, "norm": "batch", "dropout": True},
    ),
    "pix2pix_unet_256": ("unet_256", {"width": 8}),
    "pix2pix_unet_128": ("unet_128", {"width": 8, "dropout": False}),
    "cut_resnet_9blocks": ("cut_resnet_9blocks", {"width": 8}),
    "patchgan_70_instance": ("patchgan_70", {"width": 8}),
    "spade_generator": ("spade_coco", {"width": 4, "label_planes": 12}),
    "unit_gen": ("unit", {"width": 8}),
}


def build(name: str) -> nn.Module:
    preset, settings = PRESETS[name]
    return build_network(preset, **settings)


def find(file: str) -> Path:
    folders = [GOLDEN, *(Path(f) for f in [os.environ.get("DAYSHIFT_GOLDEN", "")] if f)]
    for folder in folders:
        if (folder / file).exists():
            return folder / file
    pytest.skip(f"{file} is too large for git: set DAYSHIFT_GOLDEN to a folder that has it")


def load(name: str) -> dict[str, Tensor]:
    state: dict[str, Any] = torch.load(find(f"{name}.pth"), weights_only=True)
    if name != "unit_gen":
        return state
    parts = {"enc.": state["a"], "dec.": state["b"]}
    return {k: v for start, part in parts.items() for k, v in part.items() if k.startswith(start)}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_keys_shapes_and_parameters_of_the_authors_network(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    keys = golden.get("state_dict", golden.get("state_dict_a"))
    ours = build(name)
    assert {k: list(v.shape) for k, v in ours.state_dict().items()} == keys
    halves = 2 if name == "unit_gen" else 1  # the file counts both domains
    assert sum(p.numel() for p in ours.parameters()) * halves == golden["parameters"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_golden_checkpoint_loads_and_gives_the_stored_output(name: str) -> None:
    network = build(name)
    network.load_state_dict(load(name))
    with np.load(find(f"{name}.npz")) as vectors, torch.no_grad():
        output = network.eval()(torch.from_numpy(vectors["input0"])).numpy()
        assert np.abs(output - vectors["output"]).max() < 1e-5


def set_by_formula(network: nn.Module) -> None:
    """Weights that any machine computes alike: sines, scaled by fan-in."""
    with torch.no_grad():
        for index, (key, value) in enumerate(network.state_dict().items()):
            if value.is_floating_point():
                phase = torch.arange(value.numel(), dtype=torch.float64) * 0.7311 + index
                wave = torch.sin(phase * phase.sqrt()).reshape(value.shape)
                if value.dim() > 1:
                    value.copy_(wave / math.sqrt(value[0].numel()))
                else:
                    value.copy_(0.3 * wave + (not key.endswith("bias")))
        for module in network.modules():
            if isinstance(module, SpectralConv2d):
                matrix = module.weight_orig.flatten(1)
                for _ in range(8):
                    module.weight_v.copy_(functional.normalize(module.weight_u @ matrix, dim=0))
                    module.weight_u.copy_(functional.normalize(matrix @ module.weight_v, dim=0))


def fingerprint(name: str) -> list[float]:
    network = build(name).eval()
    set_by_formula(network)
    planes, size = (12, 128) if name == "spade_generator" else (3, 256)
    position = torch.arange(planes * size * size, dtype=torch.float64) * 0.0137
    image = torch.sin(position * position.sqrt()).float().reshape(1, planes, size, size)
    if name == "spade_generator":
        image = functional.one_hot(image.argmax(1), planes).movedim(-1, 1).float()
    with torch.no_grad():
        output = network(image).flatten()
    return [float(v) for v in output[:: len(output) // 61]]


@pytest.mark.parametrize(
    "name", ["pix2pix_unet_256", "pix2pix_unet_128", "spade_generator", "cyclegan_resnet_6blocks"]
)
def test_networks_whose_golden_file_is_not_here_compute_what_they_did_when_it_was(
    name: str,
) -> None:
    stored = json.loads((GOLDEN / "fingerprints.json").read_text())[name]
    assert 0.1 < np.std(stored) < 0.9  # neither flat nor saturated
    assert np.abs(np.array(fingerprint(name)) - np.array(stored)).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "settings", "millions"),
    [
        ("resnet_9blocks", {}, "11.378"),
        ("resnet_6blocks", {}, "7.838"),
        ("cut_resnet_9blocks", {}, "11.378"),
        ("unet_256", {}, "54.414"),
        ("patchgan_70", {}, "2.765"),
        ("patchgan_70", {"in_channels": 6, "norm": "batch"}, "2.769"),
        ("spade", {}, "93.048"),
        ("spade_coco", {}, "97.481"),
        ("unit", {}, "11.140"),
    ],
)
def test_parameter_counts_are_the_published_ones(
    name: str, settings: dict[str, Any], millions: str
) -> None:
    with torch.device("meta"):
        network = build_network(name, **settings)
    assert f"{sum(p.numel() for p in network.parameters()) / 1e6:.3f}" == millions
