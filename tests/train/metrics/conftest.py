"""Weights of the measuring networks with random values: their layout is what a test can know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="measuring needs torch: pip install 'dayshift[train]'")

import torch

from dayshift.train.metrics.espnet import EspNet
from dayshift.train.metrics.squeezenet import SqueezeNet

TAPS = (64, 128, 256, 384, 384, 512, 512)
PLACES = {"conv1": 0, "fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7}
PLACES |= {"fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    state = SqueezeNet(ceil_mode=False).state_dict()
    arrays = {key: value.numpy() for key, value in state.items()}
    np.savez(folder / "squeezenet_v1_1_imagenet_notop.npz", **arrays)
    renamed = {}
    for key, value in state.items():
        name, rest = key.split(".", 1)
        # torchvision's names, which are not Caffe's.
        rest = rest.replace("squeeze1x1.", "squeeze.")
        renamed[f"features.{PLACES[name]}.{rest}"] = value
    renamed["classifier.1.bias"] = torch.zeros(1000)
    torch.save(renamed, folder / "squeezenet1_1-b8a52dc0.pth")
    heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(TAPS)}
    torch.save(heads, folder / "lpips_v0.1_squeeze_lin.pth")
    segmenter = {
        k: v for k, v in EspNet().state_dict().items() if not k.endswith("num_batches_tracked")
    }
    torch.save(segmenter, folder / "espnet_p2_q8_cityscapes_decoder.pth")
    return folder
