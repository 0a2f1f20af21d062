"""ESPNet, a small street segmenter (Mehta et al. 2018), for the weights trained on Cityscapes.

Written from the paper; the names of its parts are those of the published weights.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.runtime.image import Pixels
from dayshift.train.metrics.structure import ClassMap
from dayshift.train.metrics.weights import WeightsError, find_weights, read_weights

CLASS_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
    "motorcycle", "bicycle", "none",
)  # fmt: skip
NO_CLASS = 19

_EPS = 1e-3  # of every batch norm
_DILATIONS = (1, 2, 4, 8, 16)
# What the published weights were trained with, BGR.
_MEAN_BGR = np.array((72.3923111, 82.90893555, 73.15840149), np.float32)
_STD_BGR = np.array((45.3192215, 46.15289307, 44.91483307), np.float32)
_INPUT_SIZE_WH = (1024, 512)


class _Conv(nn.Module):
    """A convolution without bias that keeps the size, up to its stride."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, dilation: int = 1):
        super().__init__()
        padding = (kernel - 1) // 2 * dilation
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class _ConvNormAct(_Conv):
    """Convolution, batch norm, PReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1):
        super().__init__(c_in, c_out, kernel, stride=stride)
        self.bn = nn.BatchNorm2d(c_out, eps=_EPS)
        self.act = nn.PReLU(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class _NormAct(nn.Module):
    """Batch norm, PReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=_EPS)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))  # type: ignore[no-any-return]


class _Pyramid(nn.Module):
    """The paper's unit: reduce, five dilated convolutions side by side, summed step by step."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1):
        super().__init__()
        narrow = c_out // 5
        self.c1 = _Conv(c_in, narrow, kernel, stride=stride)
        for dilation in _DILATIONS:
            width = c_out - 4 * narrow if dilation == 1 else narrow
            self.add_module(f"d{dilation}", _Conv(narrow, width, 3, dilation=dilation))

    def _branches(self, x: Tensor) -> Tensor:
        reduced = self.c1(x)
        first, *wider = (self.get_submodule(f"d{d}")(reduced) for d in _DILATIONS)
        # Sums of growing fields: alone, a dilated convolution leaves a grid.
        sums = [wider[0]]
        for branch in wider[1:]:
            sums.append(sums[-1] + branch)
        return torch.cat([first, *sums], dim=1)


class _Down(_Pyramid):
    """The unit at half the size."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out, 3, stride=2)
        self.bn = nn.BatchNorm2d(c_out, eps=_EPS)
        self.act = nn.PReLU(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self._branches(x)))  # type: ignore[no-any-return]


class _Block(_Pyramid):
    """The unit at the same size, with a skip where the width stays."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out, 1)
        self.bn = _NormAct(c_out)
        self._adds = c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        out = self._branches(x)
        return self.bn(x + out if self._adds else out)  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    def __init__(self, classes: int, depth_quarter: int, depth_eighth: int):
        super().__init__()
        self.level1 = _ConvNormAct(3, 16, 3, stride=2)
        self.b1 = _NormAct(19)
        self.level2_0 = _Down(19, 64)
        self.level2 = nn.Sequential(*(_Block(64, 64) for _ in range(depth_quarter)))
        self.b2 = _NormAct(131)
        self.level3_0 = _Down(131, 128)
        self.level3 = nn.Sequential(*(_Block(128, 128) for _ in range(depth_eighth)))
        self.b3 = _NormAct(256)
        self.classifier = _Conv(256, classes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features at a half and a quarter, and class scores at an eighth of the size."""
        small = functional.avg_pool2d(x, 3, 2, 1)
        half = self.level1(x)
        down = self.level2_0(self.b1(torch.cat([half, small], dim=1)))
        small = functional.avg_pool2d(small, 3, 2, 1)
        quarter = self.b2(torch.cat([self.level2(down), down, small], dim=1))
        down = self.level3_0(quarter)
        eighth = self.b3(torch.cat([down, self.level3(down)], dim=1))
        return half, quarter, self.classifier(eighth)


class EspNet(nn.Module):
    """Class scores (N, 20, H, W) of images (N, 3, H, W); H and W multiples of 8."""

    def __init__(self, classes: int = 20, depth_quarter: int = 2, depth_eighth: int = 8):
        super().__init__()
        self.encoder = _Encoder(classes, depth_quarter, depth_eighth)
        self.level3_C = _Conv(131, classes, 1)
        self.br = nn.BatchNorm2d(classes, eps=_EPS)
        self.conv = _ConvNormAct(16 + classes, classes, 3)
        self.up_l3 = nn.Sequential(_double(classes))
        self.combine_l2_l3 = nn.Sequential(_NormAct(2 * classes), _Block(2 * classes, classes))
        self.up_l2 = nn.Sequential(_double(classes), _NormAct(classes))
        self.classifier = _double(classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        half, quarter, coarse = self.encoder(x)
        coarse = self.up_l3(self.br(coarse))
        both = self.combine_l2_l3(torch.cat([self.level3_C(quarter), coarse], dim=1))
        fine = self.conv(torch.cat([self.up_l2(both), half], dim=1))
        return self.classifier(fine)  # type: ignore[no-any-return]


def _double(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)


class CityscapesSegmenter:
    """Class numbers of a street photo, by ESPNet trained on Cityscapes."""

    def __init__(self, folder: Path | None) -> None:
        """Load the weights.

        Raises:
            WeightsError: They are not in the folder, or are another network's.
        """
        path = find_weights("espnet_p2_q8_cityscapes_decoder.pth", folder)
        self._network = EspNet().eval().requires_grad_(False)
        state = read_weights(path)
        # Saved by a torch that did not count batches.
        missing, unexpected = self._network.load_state_dict(state, strict=False)
        if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
            raise WeightsError(f"{path} holds another network than ESPNet p2 q8: copy it again")

    @torch.no_grad()
    def __call__(self, image: Pixels) -> ClassMap:
        """Return class numbers (512, 1024), places in CLASS_NAMES, of a BGR image of any size."""
        scaled = (image.astype(np.float32) - _MEAN_BGR) / _STD_BGR
        scaled = np.asarray(cv2.resize(scaled, _INPUT_SIZE_WH)) / 255  # sic: so it was trained
        planar = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)
        scores: Tensor = self._network(torch.from_numpy(planar))
        return np.asarray(scores[0].argmax(dim=0).numpy(), dtype=np.int64)
