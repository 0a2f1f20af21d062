"""City blocks: buildings whose facades have depth, shop fronts, balconies and flat roofs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from dayshift.train.synth.blender.buildings import Panes, Plot
from dayshift.train.synth.blender.shapes import Place
from dayshift.train.synth.blender.stage import Box, Stage
from dayshift.train.synth.classes import BUILDING

_RECESS = 0.16
# Piers stand at 0.08; bands a little before them, as faces in one plane would flicker black.
_BAND = 0.065


@dataclass(frozen=True)
class _Facade:
    """The front of a city building: rows and columns of windows above a shop, or a door."""

    plot: Plot
    shop: float  # height of the shop front; 0 without one
    step_x: float
    step_z: float
    pane_x: float
    pane_z: float
    columns: int
    rows: int

    @property
    def margin(self) -> float:
        return (self.plot.width - self.columns * self.step_x) / 2

    @property
    def low(self) -> float:
        """How much wall is below each window."""
        return (self.step_z - self.pane_z) * 0.45

    def cells(self) -> list[tuple[float, float]]:
        """Return each window's middle x and the z where its storey begins."""
        return [
            (self.margin + (k + 0.5) * self.step_x, self.shop + row * self.step_z)
            for row in range(self.rows)
            for k in range(self.columns)
        ]

    def walls(self) -> list[Box]:
        """Return the body, which stands back, and piers and bands that leave the windows open."""
        width, height = self.plot.width, self.plot.height
        top, gap = self.shop + self.rows * self.step_z, self.step_x - self.pane_x
        edge, high = self.margin + gap / 2, (self.step_z - self.pane_z) * 0.55
        solid = [
            self.plot.body(_RECESS),
            (width / 2, _BAND, (top + height) / 2, width, 0.2, height - top),
        ]
        solid += [(x, 0.08, height / 2, edge, 0.2, height) for x in (edge / 2, width - edge / 2)]
        solid += [
            (self.margin + k * self.step_x, 0.08, (self.shop + top) / 2, gap, 0.2, top - self.shop)
            for k in range(1, self.columns)
        ]
        for row in range(self.rows):
            z = self.shop + row * self.step_z
            solid += [
                (width / 2, _BAND, z + self.low / 2, width, 0.2, self.low),
                (width / 2, _BAND, z + self.step_z - high / 2, width, 0.2, high),
            ]
        return solid


def _draw_facade(rng: random.Random, plot: Plot) -> _Facade:
    u = rng.uniform
    shop = rng.choice((3.2, 4.0)) if rng.random() < 0.7 else 0.0
    step_x, step_z = u(1.7, 3.4), u(2.8, 3.6)
    return _Facade(
        plot,
        shop,
        step_x,
        step_z,
        pane_x=step_x * u(0.45, 0.82),
        pane_z=step_z * u(0.42, 0.75),
        columns=max(1, int((plot.width - 0.8) / step_x)),
        rows=max(1, int((plot.height - shop - 0.6) / step_z)),
    )


def add_block(stage: Stage, rng: random.Random, panes: Panes, plot: Plot) -> None:
    """Add a city building."""
    entity = stage.entity(BUILDING)
    u = rng.uniform
    place, width, height = plot.place, plot.width, plot.height
    tone = u(0.1, 0.6)
    wall = stage.grained(
        (tone * u(0.92, 1.15), tone * u(0.85, 1.02), tone * u(0.7, 1.0)),
        0.85,
        scale=u(0.4, 3),
        depth=0.12,
    )
    trim = stage.material(tuple(min(0.8, tone * k) for k in (u(0.6, 1.5),) * 3), 0.8)  # type: ignore[arg-type]
    facade = _draw_facade(rng, plot)
    windows: dict[Any, list[Box]] = {}
    sills: list[Box] = []
    for x, z in facade.cells():
        middle = z + facade.low + facade.pane_z / 2
        pane = (x, _RECESS - 0.01, middle, facade.pane_x, 0.05, facade.pane_z)
        windows.setdefault(panes.pick(rng), []).append(pane)
        sills.append((x, -0.08, z + facade.low - 0.04, facade.pane_x + 0.1, 0.22, 0.07))
    if facade.shop:
        _add_shops(stage, rng, panes, place, entity, width, facade.shop)
    else:
        sills.append((width * u(0.3, 0.7), -0.05, 1.05, 1.1, 0.15, 2.1))  # a door
    if rng.random() < 0.35:
        _add_balconies(stage, rng, place, entity, facade.cells(), facade.pane_x)
    stage.boxes(facade.walls(), wall, entity, place)
    stage.boxes(sills, trim, entity, place)
    for material, items in windows.items():
        stage.boxes(items, material, entity, place)
    roof: list[Box] = [(width / 2, 0.05, height + 0.12, width + 0.3, 0.45, 0.3)]
    roof += [
        (u(1, width - 1), u(1.5, plot.depth - 1), height + s / 2, u(1, 2.5), u(1, 2.5), s)
        for s in (u(0.6, 2.4) for _ in range(rng.randint(0, 3)))
    ]
    stage.boxes(roof, trim, entity, place)


def _add_shops(
    stage: Stage,
    rng: random.Random,
    panes: Panes,
    place: Place,
    entity: int,
    width: float,
    height: float,
) -> None:
    x = 0.4
    while x < width - 2.2:
        w = min(rng.uniform(2.4, 5.5), width - x - 0.3)
        glass = rng.choice((*panes.shops, panes.dark))
        stage.boxes([(x + w / 2, 0.06, 1.35, w - 0.4, 0.05, 2.2)], glass, entity, place)
        if rng.random() < 0.6:
            sign = (x + w / 2, -0.1, height - 0.45, w * rng.uniform(0.4, 0.85), 0.16, 0.5)
            stage.boxes([sign], rng.choice(panes.signs), entity, place)
        if rng.random() < 0.35:
            cloth = stage.material((rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.4), 0.1), 0.9)
            stage.boxes([(x + w / 2, -0.55, 2.7, w - 0.3, 1.1, 0.06)], cloth, entity, place)
        x += w


def _add_balconies(
    stage: Stage,
    rng: random.Random,
    place: Place,
    entity: int,
    spots: list[tuple[float, float]],
    width: float,
) -> None:
    slab = stage.material((0.4, 0.39, 0.37), 0.8)
    rail = stage.material((0.08, 0.08, 0.09), 0.5)
    kept = [spot for spot in spots if rng.random() < 0.4]
    w = width + 0.5
    stage.boxes([(x, -0.5, z + 0.05, w, 1.0, 0.12) for x, z in kept], slab, entity, place)
    bars = [(x, -0.97, z + 1.05, w, 0.05, 0.06) for x, z in kept]
    bars += [
        (x + (k / 6 - 0.5) * w, -0.97, z + 0.55, 0.03, 0.03, 1.0) for x, z in kept for k in range(7)
    ]
    stage.boxes(bars, rail, entity, place)


def add_row(
    stage: Stage,
    rng: random.Random,
    panes: Panes,
    *,
    side: int,
    x: float,
    start: float,
    end: float,
    low: float,
    high: float,
) -> None:
    """Add a closed row of city buildings along the street, their fronts at `side` * x."""
    y = start
    while y < end:
        width, height = rng.uniform(8, 22), rng.uniform(low, high)
        gap = rng.choice((0.0, 0.0, 0.0, rng.uniform(2, 6)))
        # Turned so that the front looks at the street.
        place = Place((-x, y, 0), 90) if side < 0 else Place((x, y + width, 0), -90)
        add_block(stage, rng, panes, Plot(place, width, height, rng.uniform(9, 14)))
        y += width + gap
