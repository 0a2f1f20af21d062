"""Buildings, their glass and plots: houses with gables, halls, and towers far away."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from dayshift.train.synth.blender.shapes import Place
from dayshift.train.synth.blender.stage import Box, Colour, Stage
from dayshift.train.synth.classes import BUILDING

_WARM: tuple[Colour, ...] = ((1.0, 0.66, 0.3), (1.0, 0.76, 0.46), (1.0, 0.88, 0.7), (0.8, 0.9, 1.0))
_SIGNS: tuple[Colour, ...] = (
    *_WARM,
    (1.0, 0.12, 0.1),
    (0.15, 0.5, 1.0),
    (0.2, 1.0, 0.4),
    (1.0, 0.25, 0.6),
)


@dataclass(frozen=True)
class Panes:
    """The glass of a scene: dark, lit in a few colours, shop windows, signs."""

    dark: Any
    lit: tuple[Any, ...]
    shops: tuple[Any, ...]
    signs: tuple[Any, ...]
    lit_share: float

    def pick(self, rng: random.Random) -> Any:
        """Return the glass of one window."""
        return rng.choice(self.lit) if rng.random() < self.lit_share else self.dark


def make_panes(stage: Stage) -> Panes:
    """Return the glass of a scene."""
    rng = stage.plan.dice("glass")
    u = rng.uniform
    dark_glass = (0.03, 0.04, 0.05)
    return Panes(
        dark=stage.material(dark_glass, 0.07),
        lit=tuple(
            stage.shining(rng.choice(_WARM), u(0.4, 2.2), dark=dark_glass, rough=0.08)
            for _ in range(7)
        ),
        shops=tuple(
            stage.shining(rng.choice(_WARM), u(1.2, 4), dark=(0.06, 0.06, 0.06)) for _ in range(4)
        ),
        signs=tuple(
            stage.shining(colour, u(2, 6), dark=tuple(0.35 * c + 0.05 for c in colour))  # type: ignore[arg-type]
            for colour in rng.sample(_SIGNS, 4)
        ),
        lit_share=stage.plan.lit_share,
    )


@dataclass(frozen=True)
class Plot:
    """Where a building stands, and its size in metres.

    Attributes:
        place: Maps its points: locally x runs along its front, y into it, z up; the front is y = 0.
        width: Along the front.
        height: Of the walls.
        depth: Behind the front.
    """

    place: Place
    width: float
    height: float
    depth: float

    def body(self, y: float = 0.0) -> Box:
        """Return the walls as one box whose front is at y."""
        return (
            self.width / 2,
            self.depth / 2 + y,
            self.height / 2,
            self.width,
            self.depth,
            self.height,
        )


def add_house(stage: Stage, rng: random.Random, panes: Panes, plot: Plot) -> None:
    """Add a house with a gable roof."""
    entity = stage.entity(BUILDING)
    u = rng.uniform
    place, width, height, depth = plot.place, plot.width, plot.height, plot.depth
    tone = u(0.25, 0.7)
    wall = stage.material((tone, tone * u(0.85, 1.0), tone * u(0.7, 0.98)), 0.85)
    trim = stage.material((0.6, 0.58, 0.55), 0.7)
    snow = stage.plan.weather.ground == "snow"
    roof = stage.material((0.78, 0.8, 0.84) if snow else (u(0.08, 0.35), u(0.05, 0.14), 0.06), 0.9)
    stage.boxes([plot.body()], wall, entity, place)
    e, ridge = 0.5, height + u(1.8, 3.4)
    points = [
        (-e, -e, height - 0.1),
        (width + e, -e, height - 0.1),
        (width + e, depth + e, height - 0.1),
        (-e, depth + e, height - 0.1),
        (-e, depth / 2, ridge),
        (width + e, depth / 2, ridge),
    ]
    stage.mesh(
        [place(p) for p in points], [(0, 1, 5, 4), (2, 3, 4, 5), (3, 0, 4), (1, 2, 5)], roof, entity
    )
    step = u(2.2, 3.2)
    for row in range(max(1, int(height / 2.9))):
        for k in range(max(1, int(width / step))):
            x, z = (k + 0.5) * width / max(1, int(width / step)), 1.5 + row * 2.8
            pane = (x, -0.02, z, 1.1, 0.06, 1.2)
            if row == 0 and k == 0:
                stage.boxes([(x, -0.03, 1.0, 1.0, 0.08, 2.0)], trim, entity, place)
                continue
            stage.boxes([(x, 0.0, z, 1.3, 0.05, 1.4)], trim, entity, place)
            stage.boxes([pane], panes.pick(rng), entity, place)
    if rng.random() < 0.6:
        chimney = (width * u(0.2, 0.8), depth * 0.55, ridge - 0.2, 0.6, 0.6, 1.6)
        stage.boxes([chimney], wall, entity, place)


def add_hall(stage: Stage, rng: random.Random, panes: Panes, plot: Plot) -> None:
    """Add a low wide building: a store, a warehouse."""
    entity = stage.entity(BUILDING)
    u = rng.uniform
    place, width, height = plot.place, plot.width, plot.height
    tone = u(0.25, 0.6)
    sheet = stage.material((tone * u(0.8, 1), tone, tone * u(0.8, 1.1)), 0.6, metallic=0.2)
    door = stage.material((u(0.1, 0.5), u(0.1, 0.4), u(0.1, 0.5)), 0.7)
    stage.boxes([plot.body()], sheet, entity, place)
    ribs = [(k * 0.8, -0.03, height / 2, 0.1, 0.06, height) for k in range(1, int(width / 0.8))]
    stage.boxes(ribs, sheet, entity, place)
    count = max(1, int(width / 9))
    for k in range(count):
        x = (k + 0.5) * width / count
        stage.boxes(
            [(x, -0.08, 1.7, 4.2, 0.1, 3.4)], rng.choice((door, *panes.shops)), entity, place
        )
        if rng.random() < 0.7:
            stage.boxes([(x, -0.25, 4.3, 0.5, 0.4, 0.2)], rng.choice(panes.lit), entity, place)
    sign = (width / 2, -0.15, height - 0.9, min(10.0, width * 0.4), 0.2, 1.0)
    stage.boxes([sign], rng.choice(panes.signs), entity, place)


def add_skyline(stage: Stage, rng: random.Random, panes: Panes, *, y: float) -> None:
    """Add towers far away: plain bodies with rows of lights."""
    u = rng.uniform
    for _ in range(rng.randint(14, 26)):
        x, w, h = u(-190, 190), u(10, 26), u(14, 75)
        entity = stage.entity(BUILDING, far=True)
        tone = u(0.15, 0.5)
        body = stage.material((tone, tone, tone * 1.05), 0.7)
        at = y + u(0, 30)
        stage.boxes([(x, at + 8, h / 2 - 2, w, 16, h)], body, entity)
        for material in (*rng.sample(panes.lit, 2), panes.dark):
            spots = [
                (x + (k + 0.5) / 6 * w - w / 2, at - 0.05, 3 + 3.2 * row, w / 9, 0.1, 1.5)
                for k in range(6)
                for row in range(int((h - 6) / 3.2))
                if rng.random() < 0.4
            ]
            stage.boxes(spots, material, entity)
