"""A tiny data folder of every kind of sample, and a recipe that trains on it in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'dayshift[train]'")

import torch

from dayshift.train.recipe import Recipe


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small lose more to threads than they gain, on a busy machine by far."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _street(rng: np.random.Generator, height: int = 96, width: int = 128) -> np.ndarray:
    """A bright sky above a darker, textured ground."""
    image = np.full((height, width, 3), (230, 200, 170), np.uint8)
    image[height // 2 :] = rng.integers(60, 140, (height - height // 2, width, 3))
    return image


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    rng = np.random.default_rng(0)

    def write(name: str, image: np.ndarray) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)

    for index in range(3):
        day = _street(rng)
        for time, level in (("day", 1.0), ("dusk", 0.5), ("night", 0.15)):
            write(f"synth/{time}/train/{index:05d}.png", (day * level).astype(np.uint8))
    rows = ["day,night,source,scene,tier"]
    for index in range(2):
        day = _street(rng)
        write(f"day/train/A_cam_{index}.png", day)
        write(f"night/train/A_cam_{index}.png", (day * 0.4).astype(np.uint8))
        rows.append(f"day/train/A_cam_{index}.png,night/train/A_cam_{index}.png,cam,one,A")
    write("day/train/B_forbidden_0.png", _street(rng))
    write("night/train/B_forbidden_0.png", _street(rng))
    rows.append("day/train/B_forbidden_0.png,night/train/B_forbidden_0.png,other,two,B")
    (root / "paired").mkdir()
    (root / "paired/pairs_train.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def tiny_recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "summary": "for tests",
            "method": "relight",
            "relight": {
                "network": {"channels": [4, 4, 8], "blocks": 1, "discriminator_width": 4},
                "steps": 4,
                "supervised_steps": 2,
            },
            "data": {
                "layout": "relight",
                "rendered_count": 1,
                "paired_count": 1,
                "photo_count": 1,
                "height": 64,
                "width": 80,
                "shrink": 2.0,
            },
            "run": {"precision": "bf16", "ema": 0.9, "channels_last": True, "clip_norm": 10.0},
        }
    )


_SMALL = {"width": 4}
_UNPAIRED = {"layout": "unpaired", "a": "a", "b": "b"}
_METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pix2pix": (
        {
            "generator": {"name": "unet_128", "settings": {"width": 4, "downsamplings": 5}},
            "discriminator": {
                "name": "patchgan_70",
                "settings": {"in_channels": 6, "norm": "batch", "width": 4},
            },
        },
        {"layout": "paired", "a": "a", "b": "b"},
    ),
    "cyclegan": (
        {
            "generator": {"name": "resnet_6blocks", "settings": {"width": 4, "blocks": 1}},
            "discriminator": {"name": "patchgan_70", "settings": _SMALL},
            "pool_size": 3,
        },
        _UNPAIRED,
    ),
    "unit": (
        {
            "generator": {"name": "unit", "settings": {"width": 4, "blocks": 1}},
            "discriminator": {"name": "unit_discriminator", "settings": _SMALL},
            "steps": 8,
        },
        _UNPAIRED,
    ),
    "spade": (
        {
            "labels": 3,
            "dont_care": True,
            "instances": False,
            "vae": True,
            "latent": 8,
            "size": [64, 64],
            "generator": {"name": "spade", "settings": {"width": 4, "upsampling": "normal"}},
            "discriminator": {"name": "spade_discriminator", "settings": _SMALL},
            "encoder": {"name": "spade_encoder", "settings": {"width": 4}},
        },
        {"layout": "labels", "labels": "labels", "photos": "b", "classes": 3},
    ),
    "cut": (
        {
            "generator": {"name": "cut_resnet_6blocks", "settings": {"width": 4, "blocks": 1}},
            "discriminator": {"name": "cut_patchgan_70", "settings": _SMALL},
            "patches": 8,
            "length": 8,
            "layers": [0, 4],
            "variant": "fastcut",
        },
        _UNPAIRED,
    ),
}
METHOD_NAMES = tuple(_METHODS)


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    """Four images of each domain by the same names: b is a in negative, labels its thirds."""
    root = tmp_path / "domains"
    rng = np.random.default_rng(0)
    for folder in ("a", "b", "labels"):
        (root / folder).mkdir(parents=True)
    for index in range(4):
        image = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (64, 64))
        labels = (image[..., 1] // 86).astype(np.uint8)
        labels[:2] = 255
        for folder, content in (("a", image), ("b", 255 - image), ("labels", labels)):
            assert cv2.imwrite(str(root / folder / f"{index}.png"), content)
    return root


@pytest.fixture
def small_recipe() -> Callable[..., Recipe]:
    """Make a recipe of any of the five methods that takes 8 steps: two epochs of 4 images."""

    def make(method: str, **run: Any) -> Recipe:
        settings, data = _METHODS[method]
        if method != "unit":
            settings = {**settings, "schedule": {"constant_epochs": 1, "decay_epochs": 1}}
        preprocess = {"mode": "resize_and_crop", "load_size": 70, "crop_size": 64}
        return Recipe.model_validate(
            {
                "name": f"small-{method}",
                "summary": "for tests",
                "method": method,
                method: settings,
                "data": {**data, "preprocess": preprocess},
                "run": {"workers": 0, "loggers": [], "sample_images": 0, **run},
            }
        )

    return make
