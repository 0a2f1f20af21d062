"""What the loss terms of `methods.relight` look at: parts of images, moved or smaller.

Images are (N, 3, H, W) RGB in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_CRITIC_SHIFT = 16  # pixels; a pretrained network's strides must not meet the maps' in one place


def small_motions(images: Tensor) -> Tensor:
    """Return a sampling grid for each image: up to 2 % of its size aside, up to 2 % larger."""
    n = len(images)
    draw = torch.rand(n, 3, device=images.device) * 2 - 1
    motion = torch.zeros(n, 2, 3, device=images.device)
    motion[:, 0, 0] = motion[:, 1, 1] = 1 - 0.02 * draw[:, 0].abs()
    motion[:, :, 2] = 0.04 * draw[:, 1:]  # half the image is 1 in these units
    return functional.affine_grid(motion, list(images.shape), align_corners=False)


def shifted(images: Tensor) -> Tensor:
    """Cut a strip off two edges, as wide for all of them as is drawn."""
    h, w = (side - _CRITIC_SHIFT for side in images.shape[-2:])
    top, left = (int(offset) for offset in torch.randint(0, _CRITIC_SHIFT + 1, (2,)))
    return images[..., top : top + h, left : left + w].float()


def judged(image: Tensor) -> Tensor:
    """Return what a discriminator sees: [-1, 1], at half size, as maps change nothing finer."""
    return functional.avg_pool2d(image, 2) * 2 - 1
