"""Parity: is the picture of every exported graph still the one PyTorch makes, on real frames?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dayshift.runtime.errors import GateError
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import load
from dayshift.runtime.quality import psnr, ssim

Translate = Callable[[Pixels], Pixels]

# Below these an int8 graph is refused (design: at least 38 dB and 0.97); fp16 must be invisible,
# fp32 exact.
LIMITS = {"fp32": (48.0, 0.99), "bf16": (40.0, 0.97), "fp16": (48.0, 0.99), "int8": (38.0, 0.97)}

# What is compared: each form where it is meant to run, and the full fp32 graph also by the
# reference engine.
_COMBINATIONS = (
    ("onnxruntime", "full", "fp32"),
    ("openvino", "full", "fp32"),
    ("openvino", "full", "fp16"),
    ("openvino", "full", "int8"),
    ("openvino", "maps", "fp32"),
    ("openvino", "maps", "int8"),
)


@dataclass(frozen=True)
class ParityRow:
    """One graph on one engine against PyTorch float32, over all frames.

    `psnr_db` is of the mean squared error over all frames (None: identical), `psnr_db_worst` of the
    worst frame; `ssim` is the mean and `max_abs` the largest difference, in levels of 255.
    """

    backend: str
    form: str
    precision: str
    psnr_db: float | None
    psnr_db_worst: float | None
    ssim: float
    max_abs: int
    n_frames: int

    def as_json(self) -> dict[str, str | float | int | None]:
        """Return the row's fields by name."""
        return asdict(self)


def measure_parity(
    folder: Path, frames: Sequence[Pixels], references: Sequence[Pixels]
) -> list[ParityRow]:
    """Compare every graph of a model folder with the reference images of the same frames.

    Args:
        folder: a model folder with both forms.
        frames: real frames, BGR (H, W, 3), of any sizes.
        references: what PyTorch made of them, same order.
    """
    rows = []
    for backend, form, precision in _COMBINATIONS:
        with load(
            folder, backend=backend, form=form, precision=precision, size=frames[0].shape[:2]
        ) as model:
            rows.append(_compare(model, frames, references, (backend, form, precision)))
    return rows


def check_parity(rows: Sequence[ParityRow]) -> None:
    """Refuse a model whose pictures changed.

    Raises:
        GateError: A row is below `LIMITS`.
    """
    for row in rows:
        least_psnr, least_ssim = LIMITS[row.precision]
        if (row.psnr_db is not None and row.psnr_db < least_psnr) or row.ssim < least_ssim:
            raise GateError(
                f"{row.form} {row.precision} on {row.backend}: got {row.psnr_db} dB and SSIM "
                f"{row.ssim} against PyTorch, expected at least {least_psnr:g} dB and "
                f"{least_ssim:g}: "
                "calibrate on frames like those it will see, or train longer"
            )


def _compare(
    translate: Translate,
    frames: Sequence[Pixels],
    references: Sequence[Pixels],
    which: tuple[str, str, str],
) -> ParityRow:
    images = [translate(frame) for frame in frames]
    ratios = [psnr(image, reference) for image, reference in zip(images, references, strict=True)]
    error = np.mean(
        [10 ** (-ratio / 10) for ratio in ratios]
    )  # mean squared error over 255 squared
    return ParityRow(
        *which,
        psnr_db=None if error == 0 else round(float(-10 * np.log10(error)), 2),
        psnr_db_worst=None if np.isinf(min(ratios)) else round(min(ratios), 2),
        ssim=round(
            float(np.mean([ssim(*pair) for pair in zip(images, references, strict=True)])), 5
        ),
        max_abs=max(
            int(np.abs(i.astype(np.int16) - r).max())
            for i, r in zip(images, references, strict=True)
        ),
        n_frames=len(frames),
    )
