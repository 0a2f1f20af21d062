"""The materials that vehicles and people share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dayshift.train.synth.blender.stage import Stage


@dataclass(frozen=True)
class Wardrobe:
    """The materials that all traffic of a scene shares."""

    tyre: Any
    glass: Any
    trim: Any
    head: Any
    tail: Any
    brake: Any
    skin: tuple[Any, ...]
    cloth: tuple[Any, ...]


def make_wardrobe(stage: Stage) -> Wardrobe:
    """Return the materials of a scene's traffic."""
    rng = stage.plan.dice("wardrobe")
    u = rng.uniform
    return Wardrobe(
        tyre=stage.material((0.02, 0.02, 0.02), 0.9),
        glass=stage.material((0.02, 0.025, 0.03), 0.06),
        trim=stage.material((0.05, 0.05, 0.055), 0.5),
        head=stage.shining((1.0, 0.94, 0.85), 25, dark=(0.8, 0.8, 0.82), rough=0.1),
        tail=stage.shining((1.0, 0.04, 0.02), 4, dark=(0.3, 0.015, 0.015)),
        # A brake lamp shines by day too: its state is part of the truth.
        brake=stage.shining((1.0, 0.05, 0.03), 5, dark=(0.35, 0.02, 0.02), always=True),
        skin=tuple(stage.material(c, 0.6) for c in ((0.5, 0.32, 0.24), (0.25, 0.14, 0.09))),
        cloth=tuple(
            stage.material((u(0.02, 0.5), u(0.02, 0.45), u(0.02, 0.5)), 0.9) for _ in range(6)
        ),
    )
