"""How alike a row's images are to the reference's, and whether they are images at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dayshift.runtime.image import Pixels
from dayshift.runtime.quality import psnr, ssim


def compare_images(images: Sequence[Pixels], references: Sequence[Pixels]) -> dict[str, Any]:
    """Return PSNR and SSIM over all pairs, of the worst pair, and how many images are distinct.

    `psnr_db` is that of the mean squared error over all frames, None where they are identical or
    there is no reference; `identical` tells which.
    """
    distinct = len({image.tobytes() for image in images})
    result: dict[str, Any] = {"n_frames": len(images), "distinct_images": distinct}
    if not references:
        return {**result, "psnr_db": None, "psnr_db_worst": None, "ssim": None, "identical": False}
    pairs = list(zip(images, references, strict=True))
    ratios = [psnr(image, reference) for image, reference in pairs]
    error = float(np.mean([10 ** (-ratio / 10) for ratio in ratios]))
    worst = min(ratios)
    return {
        **result,
        "psnr_db": None if error == 0 else round(-10 * math.log10(error), 2),
        "psnr_db_worst": None if math.isinf(worst) else round(worst, 2),
        "ssim": round(float(np.mean([ssim(*pair) for pair in pairs])), 5),
        "identical": error == 0,
    }
