"""How much the images of one graph differ from those of another, and how much may.

A number for the whole picture hides what the eye finds first: one ruined corner, or steps in a
dark sky. So the worst tile and the banding of dark gradients are measured besides PSNR and SSIM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dayshift.runtime.errors import GateError
from dayshift.runtime.image import Pixels
from dayshift.runtime.quality import psnr, ssim

_TILE_PX = 32
# Dark and smooth: luma below this, and changing by less than this from one pixel to the next.
_DARK, _SMOOTH = 64, 1.5
_STEP = 3  # levels; a step of two is what rounding alone can make


@dataclass(frozen=True)
class Difference:
    """Images against their references, over all frames; levels are of 255.

    Attributes:
        psnr_db: Of the mean squared error over all frames; None where they are identical.
        psnr_db_worst: Of the worst frame.
        psnr_db_tile: Of the worst tile of 32x32.
        ssim: The mean.
        banding: The share of dark, smooth pixels at which a step appears that the reference does
            not have.
        max_abs: The largest difference of a value.
        n_frames: How many frames.
    """

    psnr_db: float | None
    psnr_db_worst: float | None
    psnr_db_tile: float | None
    ssim: float
    banding: float
    max_abs: int
    n_frames: int


@dataclass(frozen=True)
class Limits:
    """What a difference must keep to."""

    psnr_db: float
    ssim: float
    psnr_db_tile: float = 0.0
    banding: float = 1.0
    max_abs: int = 255


def measure_difference(images: Sequence[Pixels], references: Sequence[Pixels]) -> Difference:
    """Compare images with references of the same sizes, uint8 BGR."""
    pairs = list(zip(images, references, strict=True))
    errors = [10 ** (-psnr(*pair) / 10) for pair in pairs]  # of 255 squared
    return Difference(
        psnr_db=_decibel(float(np.mean(errors))),
        psnr_db_worst=_decibel(max(errors)),
        psnr_db_tile=_decibel(max(_worst_tile(*pair) for pair in pairs)),
        ssim=round(float(np.mean([ssim(*pair) for pair in pairs])), 5),
        banding=round(max(measure_banding(*pair) for pair in pairs), 5),
        max_abs=max(int(cv2.absdiff(*pair).max()) for pair in pairs),
        n_frames=len(pairs),
    )


def shortfall(difference: Difference, limits: Limits) -> str | None:
    """Say in a few words by which limit a difference fails; None where it keeps to all."""
    for name, got, least in (
        ("PSNR", difference.psnr_db, limits.psnr_db),
        ("PSNR of the worst tile", difference.psnr_db_tile, limits.psnr_db_tile),
    ):
        if got is not None and got < least:
            return f"{name} {got:.1f} dB, expected at least {least:g} dB"
    if difference.ssim < limits.ssim:
        return f"SSIM {difference.ssim:.4f}, expected at least {limits.ssim:g}"
    if difference.banding > limits.banding:
        return (
            f"banding in {difference.banding:.1%} of a dark gradient, "
            f"expected at most {limits.banding:.0%}"
        )
    if difference.max_abs > limits.max_abs:
        return f"a difference of {difference.max_abs} levels, expected at most {limits.max_abs}"
    return None


def check_difference(difference: Difference, limits: Limits, what: str, remedy: str) -> None:
    """Refuse images that changed too much.

    Raises:
        GateError: A limit is not kept to.
    """
    reason = shortfall(difference, limits)
    if reason is not None:
        raise GateError(f"{what}: got {reason}: {remedy}")


def measure_banding(image: Pixels, reference: Pixels) -> float:
    """Return the share of dark, smooth pixels at which a step appears.

    A gradient that lost levels is flat and then jumps: at a jump, the image changes from one pixel
    to the next by at least three levels more than the reference does. Noise of a level or two, as
    rounding makes, is none. 0 where hardly anything is dark and smooth.
    """
    luma, before = (
        cv2.cvtColor(p, cv2.COLOR_BGR2GRAY).astype(np.float32) for p in (image, reference)
    )
    even = cv2.GaussianBlur(before, (7, 7), 2)
    steps = seen = 0
    for axis in (0, 1):
        slope = np.abs(np.diff(even, axis=axis))
        dark = np.take(even, range(slope.shape[axis]), axis=axis) < _DARK
        smooth = dark & (slope < _SMOOTH)
        jump = np.abs(np.diff(luma, axis=axis)) - np.abs(np.diff(before, axis=axis)) >= _STEP
        steps += int(np.count_nonzero(smooth & jump))
        seen += int(np.count_nonzero(smooth))
    return steps / seen if seen > luma.size // 100 else 0.0


def _worst_tile(image: Pixels, reference: Pixels) -> float:
    """Return the largest mean squared error of a tile, of 255 squared."""
    squared = cv2.absdiff(image, reference).astype(np.float32) ** 2
    means = cv2.blur(squared.mean(axis=2), (_TILE_PX, _TILE_PX), borderType=cv2.BORDER_REFLECT)
    half = _TILE_PX // 2
    inside = means[half : 1 - half, half : 1 - half]
    return float((inside if inside.size else means).max()) / 255**2


def _decibel(error: float) -> float | None:
    return None if error == 0 else round(float(-10 * np.log10(error)), 2)


def draw_worst(images: Sequence[Pixels], references: Sequence[Pixels]) -> Pixels:
    """Return reference | image | eight times their difference, where they differ most."""
    reference, image = min(zip(references, images, strict=True), key=lambda pair: psnr(*pair))
    return np.hstack(
        [reference, image, cv2.convertScaleAbs(cv2.absdiff(reference, image), alpha=8)]
    )
