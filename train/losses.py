"""Loss terms, as pure functions of tensors.

Images are (N, 3, H, W) RGB in [0, 1] unless a term says otherwise; every term returns a scalar.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Derivative of the square root is bounded by adding this under it: about two of 255 levels.
_SQRT_FLOOR = 0.008


def hinge_discriminator(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Return the discriminator's hinge loss (Lim & Ye 2017; Miyato et al. 2018, equation 16)."""
    return functional.relu(1 - real_scores).mean() + functional.relu(1 + fake_scores).mean()


def hinge_generator(fake_scores: Tensor) -> Tensor:
    """Return the generator's hinge loss, -E[D(G(x))] (Miyato et al. 2018, equation 17)."""
    return -fake_scores.mean()


def night_l1(fake: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return L1 on pixels plus half of L1 on their square roots.

    Plain L1 hardly sees a dark picture: ten levels of 255 matter at night and not by day. The
    square root approximates how the eye and the display's curve weigh them.

    Args:
        fake: translated images.
        target: what they should be.
        weight: optional (N, 1, H, W) in [0, 1]; pixels that must not count get 0.
    """
    difference = (fake - target).abs() + 0.5 * (_root(fake) - _root(target)).abs()
    if weight is not None:
        difference = difference * weight
    return difference.mean()


def gradient_l1(fake: Tensor, target: Tensor) -> Tensor:
    """Return L1 between neighbour differences of two images: edges in the right place."""
    across = (_across(fake) - _across(target)).abs().mean()
    down = (_down(fake) - _down(target)).abs().mean()
    return across + down


def edge_aware_smoothness(gain: Tensor, frame: Tensor, *, sharpness: float = 12.0) -> Tensor:
    """Return how much the gain changes where the frame does not.

    Keeps structure by construction: with a gain that is flat inside surfaces, every edge of the
    output is an edge of the input. On log gain, so that a stop counts as a stop in light and in
    shade (the edge-aware smoothness of Godard et al. 2017, equation 3, with illumination in the
    place of disparity).

    Args:
        gain: (N, 3, h, w) in (0, 1].
        frame: the small frame that the gain belongs to, (N, 3, h, w).
        sharpness: how quickly an edge in the frame excuses an edge in the gain.
    """
    stops = torch.log2(gain.clamp_min(1e-3))
    across = _across(stops).abs() * torch.exp(
        -sharpness * _across(frame).abs().amax(1, keepdim=True)
    )
    down = _down(stops).abs() * torch.exp(-sharpness * _down(frame).abs().amax(1, keepdim=True))
    return across.mean() + down.mean()


def _root(image: Tensor) -> Tensor:
    return (image.clamp_min(0) + _SQRT_FLOOR).sqrt()


def _across(x: Tensor) -> Tensor:
    return x[..., :, 1:] - x[..., :, :-1]


def _down(x: Tensor) -> Tensor:
    return x[..., 1:, :] - x[..., :-1, :]
