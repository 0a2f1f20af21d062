"""Training: methods, networks, data, losses and recipes, in PyTorch.

The classes are imported when they are first asked for: naming the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dayshift.train.api import CUT, SPADE, UNIT, CycleGAN, Pix2Pix, Student

__all__ = ["CUT", "SPADE", "UNIT", "CycleGAN", "Pix2Pix", "Student"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dayshift.train import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
