"""Every method learns a mapping that is known: dusk, an image dimmed and tinted.

Minutes on a CPU. The baseline is the identity, what a method that learned nothing would score; for
SPADE, whose input is no image, the one grey that is nearest to all photos.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dayshift.train.checkpoint import load_checkpoint
from dayshift.train.data import Dataset
from dayshift.train.layouts import LabelData, PairedData
from dayshift.train.loop.devices import Devices
from dayshift.train.loop.fit import fit
from dayshift.train.loop.preview import translate_sample
from dayshift.train.recipe import Recipe

TINT_BGR = np.array([0.75, 0.45, 0.35])
SIDE = 32
MARGIN = 0.6  # of the baseline's error, at most

_RESNET = {"name": "resnet_6blocks", "settings": {"width": 12, "blocks": 2}}
_PATCHES = {"name": "patchgan_16", "settings": {"width": 16}}
SETTINGS: dict[str, dict[str, Any]] = {
    "pix2pix": {
        "generator": _RESNET,
        "discriminator": {
            "name": "patchgan_16",
            "settings": {"width": 16, "in_channels": 6, "norm": "batch"},
        },
    },
    "cyclegan": {
        "generator": _RESNET,
        "discriminator": _PATCHES,
        "identity": 0.0,
        "cycle": 5.0,
        "optimizer": {"lr": 6e-4},
    },
    "unit": {
        "generator": {"name": "unit", "settings": {"width": 12, "blocks": 2}},
        "discriminator": {
            "name": "unit_discriminator",
            "settings": {"width": 16, "scales": 1, "layers": 2},
        },
        "optimizer": {"lr": 1e-3},
    },
    "cut": {
        "generator": {"name": "cut_resnet_6blocks", "settings": {"width": 12, "blocks": 2}},
        "discriminator": {"name": "cut_patchgan_70", "settings": {"width": 16, "layers": 1}},
        "layers": [0, 4, 8],
        "optimizer": {"lr": 6e-4},
        "patches": 32,
        "length": 32,
    },
    "spade": {
        "labels": 3,
        "instances": False,
        "size": [SIDE, SIDE],
        "generator": {"name": "spade", "settings": {"width": 8, "upsampling": "normal"}},
        "discriminator": {"name": "spade_discriminator", "settings": {"width": 16}},
        "g_optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
    },
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Streets of three flat colours; b is a at dusk, labels say which colour is where."""
    root = tmp_path_factory.mktemp("dusk")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for index in range(48 if split == "train" else 8):
            labels = (cv2.resize(rng.random((4, 4)), (SIDE, SIDE)) * 2.999).astype(np.uint8)
            colours = np.array([[220, 190, 160], [90, 110, 100], [150, 160, 230]], np.float64)
            a = colours[labels] + rng.normal(0, 8, (SIDE, SIDE, 1))
            a = a.clip(0, 255).astype(np.uint8)
            b = (a * TINT_BGR).astype(np.uint8)
            for name, content in (("a", a), ("b", b), ("labels", labels)):
                path = root / name / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), content)
    return root


def recipe_of(method: str, steps: int) -> Recipe:
    data: dict[str, Any] = {"layout": "unpaired", "a": "a/train", "b": "b/train"}
    if method == "pix2pix":
        data = {**data, "layout": "paired"}
    if method == "spade":
        data = {"layout": "labels", "labels": "labels/train", "photos": "b/train"}
        data |= {"classes": 3, "ignore": -1}
    batch_size, epoch = 2, 48 // 2
    length: dict[str, Any] = {
        "schedule": {"constant_epochs": steps // epoch // 2, "decay_epochs": steps // epoch // 2}
    }
    if method == "unit":
        length = {"steps": steps}
    return Recipe.model_validate(
        {
            "name": method,
            "summary": "for tests",
            "method": method,
            method: {**SETTINGS[method], **length},
            "data": {**data, "preprocess": {"mode": "none", "multiple": SIDE}},
            "run": {
                "batch_size": batch_size,
                "workers": 0,
                "loggers": [],
                "sample_images": 0,
                "ema": 0.98,
            },
        }
    )


def validation_set(method: str, root: Path) -> Dataset:
    preprocess = {"mode": "none", "multiple": SIDE}
    if method == "spade":
        return LabelData.model_validate(
            {
                "labels": "labels/test",
                "photos": "b/test",
                "classes": 3,
                "ignore": -1,
                "preprocess": preprocess,
            }
        ).open_validation(root)
    return PairedData.model_validate(
        {"a": "a/test", "b": "b/test", "preprocess": preprocess}
    ).open_validation(root)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "steps"),
    [("pix2pix", 192), ("cyclegan", 192), ("unit", 240), ("cut", 192), ("spade", 192)],
)
def test_a_method_beats_the_identity(method: str, steps: int, root: Path, tmp_path: Path) -> None:
    path = fit(recipe_of(method, steps), root, tmp_path, devices=Devices("cpu"))
    checkpoint = load_checkpoint(path)
    direction = next(iter(checkpoint.networks))
    network = checkpoint.network(direction)
    dataset = validation_set(method, root)
    samples = [dataset.sample(index, 0) for index in range(len(dataset))]
    truths = torch.stack([sample["b"] for sample in samples])
    grey = truths.mean((0, 2, 3), keepdim=True)[0]
    errors, baseline = [], []
    for sample in samples:
        made = translate_sample(network, direction, sample)
        errors.append(float((made - sample["b"]).abs().mean()))
        nothing = sample.get("a", grey)
        baseline.append(float((nothing - sample["b"]).abs().mean()))
    assert np.mean(errors) < MARGIN * np.mean(baseline), (np.mean(errors), np.mean(baseline))
