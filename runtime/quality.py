"""How alike two images are: PSNR and SSIM, for uint8 images of one shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.image import Pixels

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

# The constants of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error
# visibility to structural similarity", 2004, for levels 0 to 255.
_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


def psnr(a: Pixels, b: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels and channels; inf when equal."""
    _check_pair(a, b)
    squared = cv2.norm(a, b, cv2.NORM_L2SQR)
    if squared == 0:
        return math.inf
    return 10 * math.log10(255**2 * a.size / squared)


def ssim(a: Pixels, b: Pixels) -> float:
    """Return the structural similarity: its mean over pixels and channels, 1 when equal.

    The published definition, an 11x11 Gaussian window of sigma 1.5 kept inside the image, on each
    colour channel by itself.
    """
    _check_pair(a, b)
    if min(a.shape[:2]) < _WINDOW:
        raise ValueError(f"expected images of at least {_WINDOW}x{_WINDOW}, got shape {a.shape}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    likeness /= (mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2)
    return float(likeness.mean())


def _blur(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Average over the Gaussian window, without the border where it would hang over."""
    blurred = cv2.GaussianBlur(values, (_WINDOW, _WINDOW), _SIGMA)
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))
    return np.asarray(blurred)[inside, inside]


def _check_pair(a: Pixels, b: Pixels) -> None:
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        got = f"{a.dtype} {a.shape} and {b.dtype} {b.shape}"
        raise ValueError(f"expected two uint8 images of one shape, got {got}")
