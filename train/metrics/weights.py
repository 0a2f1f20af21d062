"""Where the pretrained networks that measure are: a folder of files, nothing is downloaded."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dayshift.runtime.errors import DayshiftError

WEIGHTS_VARIABLE = "DAYSHIFT_WEIGHTS"

WeightsName = Literal[
    "squeezenet_v1_1_imagenet_notop.npz",
    "pt_inception-2015-12-05-6726825d.pth",
    "squeezenet1_1-b8a52dc0.pth",
    "lpips_v0.1_squeeze_lin.pth",
    "espnet_p2_q8_cityscapes_decoder.pth",
    "nanodet_m_coco.onnx",
]

_ORIGINS: dict[WeightsName, str] = {
    "squeezenet_v1_1_imagenet_notop.npz": "KID, FID and the day/night probe; Caffe's SqueezeNet "
    "1.1 (GitHub: DeepCognition/keras-squeezenet, its notop .h5), kernels as OIHW float32 named "
    "conv1.weight, fire2.squeeze1x1.weight, ...",
    "pt_inception-2015-12-05-6726825d.pth": "KID and FID as in papers; a file of the releases of "
    "GitHub: mseitzer/pytorch-fid (toshas/torch-fidelity has it as weights-inception-2015-12-05-"
    "6726825d.pth)",
    "squeezenet1_1-b8a52dc0.pth": "LPIPS, the backbone; torchvision's file, which its "
    "models.squeezenet1_1(weights='DEFAULT') leaves in ~/.cache/torch/hub/checkpoints",
    "lpips_v0.1_squeeze_lin.pth": "LPIPS, the heads; lpips/weights/v0.1/squeeze.pth of "
    "GitHub: richzhang/PerceptualSimilarity",
    "espnet_p2_q8_cityscapes_decoder.pth": "segmentation; pretrained/decoder of "
    "GitHub: sacmehta/ESPNet",
    "nanodet_m_coco.onnx": "detections; NanoDet-m at 416x416 (GitHub: RangiLyu/nanodet)",
}


class WeightsError(DayshiftError):
    """Weights of a measuring network are missing or unreadable."""


def weights_folder(chosen: Path | None = None) -> Path | None:
    """Return the folder that was chosen, else that of the environment, else None."""
    if chosen is not None:
        return chosen
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named) if named else None


def find_weights(name: WeightsName, folder: Path | None) -> Path:
    """Return the file of that name.

    Raises:
        WeightsError: It is not there.
    """
    if folder is not None and (folder / name).is_file():
        return folder / name
    where = f"is not in {folder}" if folder else "was looked for nowhere"
    raise WeightsError(
        f"{name} {where}: put it into a folder and name that with --weights DIR or "
        f"{WEIGHTS_VARIABLE}. It is for {_ORIGINS[name]}"
    )


def has_weights(name: WeightsName, folder: Path | None) -> bool:
    """Say whether `find_weights` would find it."""
    return folder is not None and (folder / name).is_file()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from .npz or .pth; no code in the file is run.

    Raises:
        WeightsError: The file holds something else, or was cut short.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"cannot read the weights {path} ({error}): copy it again") from error
    return state
