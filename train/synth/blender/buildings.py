"""Buildings: facades with depth, shop fronts, balconies, roofs; houses with gables; halls."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from dayshift.train.synth.blender.stage import Box, Colour, Place, Stage, turned
from dayshift.train.synth.classes import BUILDING

_WARM: tuple[Colour, ...] = ((1.0, 0.66, 0.3), (1.0, 0.76, 0.46), (1.0, 0.88, 0.7), (0.8, 0.9, 1.0))
_SIGNS: tuple[Colour, ...] = (
    *_WARM,
    (1.0, 0.12, 0.1),
    (0.15, 0.5, 1.0),
    (0.2, 1.0, 0.4),
    (1.0, 0.25, 0.6),
)
_RECESS = 0.16
# Piers stand at 0.08; bands a little before them, as faces in one plane would flicker black.
_BAND = 0.065


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


def add_block(
    stage: Stage,
    rng: random.Random,
    panes: Panes,
    place: Place,
    width: float,
    height: float,
    depth: float,
) -> None:
    """Add a city building. Locally x runs along its front, y into it, z up; the front is y = 0."""
    entity = stage.entity(BUILDING)
    u = rng.uniform
    tone = u(0.1, 0.6)
    wall = stage.grained(
        (tone * u(0.92, 1.15), tone * u(0.85, 1.02), tone * u(0.7, 1.0)),
        0.85,
        scale=u(0.4, 3),
        depth=0.12,
    )
    trim = stage.material(tuple(min(0.8, tone * k) for k in (u(0.6, 1.5),) * 3), 0.8)  # type: ignore[arg-type]
    ground = rng.choice((3.2, 4.0)) if rng.random() < 0.7 else 0.0  # height of a shop front
    step_x, step_z = u(1.7, 3.4), u(2.8, 3.6)
    columns = max(1, int((width - 0.8) / step_x))
    rows = max(1, int((height - ground - 0.6) / step_z))
    margin, top = (width - columns * step_x) / 2, ground + rows * step_z
    pane_x, pane_z = step_x * u(0.45, 0.82), step_z * u(0.42, 0.75)
    # The body stands back by the recess; piers and bands in front of it leave the windows open.
    solid: list[Box] = [(width / 2, depth / 2 + _RECESS, height / 2, width, depth, height)]
    solid += [(width / 2, _BAND, (top + height) / 2, width, 0.2, height - top)]
    edge = margin + (step_x - pane_x) / 2
    solid += [(x, 0.08, height / 2, edge, 0.2, height) for x in (edge / 2, width - edge / 2)]
    solid += [
        (margin + k * step_x, 0.08, (ground + top) / 2, step_x - pane_x, 0.2, top - ground)
        for k in range(1, columns)
    ]
    windows: dict[Any, list[Box]] = {}
    sills: list[Box] = []
    for row in range(rows):
        z = ground + row * step_z
        low, high = (step_z - pane_z) * 0.45, (step_z - pane_z) * 0.55
        solid += [
            (width / 2, _BAND, z + low / 2, width, 0.2, low),
            (width / 2, _BAND, z + step_z - high / 2, width, 0.2, high),
        ]
        for k in range(columns):
            x = margin + (k + 0.5) * step_x
            pane = (x, _RECESS - 0.01, z + low + pane_z / 2, pane_x, 0.05, pane_z)
            windows.setdefault(panes.pick(rng), []).append(pane)
            sills.append((x, -0.08, z + low - 0.04, pane_x + 0.1, 0.22, 0.07))
    if ground:
        _add_shops(stage, rng, panes, place, entity, width, ground)
    else:
        sills.append((width * u(0.3, 0.7), -0.05, 1.05, 1.1, 0.15, 2.1))  # a door
    if rng.random() < 0.35:
        _add_balconies(
            stage,
            rng,
            place,
            entity,
            [
                (margin + (k + 0.5) * step_x, ground + row * step_z)
                for row in range(rows)
                for k in range(columns)
            ],
            pane_x,
        )
    stage.boxes(solid, wall, entity, place)
    stage.boxes(sills, trim, entity, place)
    for material, items in windows.items():
        stage.boxes(items, material, entity, place)
    roof: list[Box] = [(width / 2, 0.05, height + 0.12, width + 0.3, 0.45, 0.3)]
    roof += [
        (u(1, width - 1), u(1.5, depth - 1), height + s / 2, u(1, 2.5), u(1, 2.5), s)
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


def add_house(
    stage: Stage,
    rng: random.Random,
    panes: Panes,
    place: Place,
    width: float,
    height: float,
    depth: float,
) -> None:
    """Add a house with a gable roof; locally as `add_block`."""
    entity = stage.entity(BUILDING)
    u = rng.uniform
    tone = u(0.25, 0.7)
    wall = stage.material((tone, tone * u(0.85, 1.0), tone * u(0.7, 0.98)), 0.85)
    trim = stage.material((0.6, 0.58, 0.55), 0.7)
    snow = stage.plan.weather.ground == "snow"
    roof = stage.material((0.78, 0.8, 0.84) if snow else (u(0.08, 0.35), u(0.05, 0.14), 0.06), 0.9)
    stage.boxes([(width / 2, depth / 2, height / 2, width, depth, height)], wall, entity, place)
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


def add_hall(
    stage: Stage,
    rng: random.Random,
    panes: Panes,
    place: Place,
    width: float,
    height: float,
    depth: float,
) -> None:
    """Add a low wide building: a store, a warehouse; locally as `add_block`."""
    entity = stage.entity(BUILDING)
    u = rng.uniform
    tone = u(0.25, 0.6)
    sheet = stage.material((tone * u(0.8, 1), tone, tone * u(0.8, 1.1)), 0.6, metallic=0.2)
    door = stage.material((u(0.1, 0.5), u(0.1, 0.4), u(0.1, 0.5)), 0.7)
    stage.boxes([(width / 2, depth / 2, height / 2, width, depth, height)], sheet, entity, place)
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
        place = turned((-x, y, 0), 90) if side < 0 else turned((x, y + width, 0), -90)
        add_block(stage, rng, panes, place, width, height, rng.uniform(9, 14))
        y += width + gap
