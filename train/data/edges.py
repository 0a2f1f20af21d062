"""Sketches made of photos: the input of edges-to-photo training, and at inference."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from dayshift.runtime.image import Pixels

EdgeFilter = Literal["canny", "scharr"]

_BLUR_SIGMA = 1.4  # Canny's own; below it sensor noise and foliage draw lines
_LINE_SHARE = 0.9  # quantile of the gradient above which an edge is strong
_SOFT_SHARE = 0.99  # quantile of the gradient that is drawn black


def draw_sketch(image: Pixels, edge_filter: EdgeFilter = "canny") -> Pixels:
    """Return the edges of a BGR photo (H, W, 3) as dark lines on white, of the same shape.

    The authors' edges2shoes used a trained detector (HED) with thinning; these need no weights.
    Both follow the gradient by Scharr's 3x3 kernels, whose direction errs least, of the blurred
    luma, and take their levels from each photo's own gradients, so that a dim photo has as many
    lines as a bright one.

    Args:
        image: the photo.
        edge_filter: `canny` gives lines of one pixel, black or white, as a pen draws (Canny 1986;
            strong edges are the steepest tenth, weak ones start at 0.4 of that). `scharr` gives
            soft lines as dark as the edge is steep, as a pencil does.
    """
    luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    blurred = cv2.GaussianBlur(luma, (0, 0), _BLUR_SIGMA)
    across = cv2.Scharr(blurred, cv2.CV_16S, 1, 0)
    down = cv2.Scharr(blurred, cv2.CV_16S, 0, 1)
    steepness = cv2.magnitude(across.astype(np.float32), down.astype(np.float32))
    if edge_filter == "canny":
        high = max(1.0, float(np.quantile(steepness, _LINE_SHARE)))
        lines = cv2.Canny(across, down, 0.4 * high, high, L2gradient=True)
    else:
        black = max(1.0, float(np.quantile(steepness, _SOFT_SHARE)))
        lines = np.rint(np.clip(steepness * (255 / black), 0, 255)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(255 - lines, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
