"""What stands along a street: lamps, signals, signs, billboards, stops, benches, trees, fences."""

from __future__ import annotations

import random
from typing import Any

from dayshift.train.synth.blender.stage import Colour, Stage
from dayshift.train.synth.classes import (
    FENCE,
    GUARD_RAIL,
    POLE,
    SIGN,
    SIGNAL,
    STATIC,
    VEGETATION,
)

_SIGNALS: dict[str, tuple[Colour, int]] = {
    "red": ((1.0, 0.03, 0.02), 0),
    "amber": ((1.0, 0.5, 0.03), 1),
    "green": ((0.03, 1.0, 0.3), 2),
}


def add_street_lamps(stage: Stage, *, x: float, end: float, height: float | None = None) -> None:
    """Add lamps on one or both sides, their arms over the street."""
    rng = stage.plan.dice("lamps")
    colour = stage.plan.lamp_colour
    steel = stage.material((0.12, 0.12, 0.12), 0.5, metallic=0.5)
    glass = stage.shining(colour, 22, dark=(0.6, 0.58, 0.52))
    step = rng.uniform(17, 30)
    tall = height or rng.uniform(6, 9.5)
    sides = (-1, 1) if rng.random() < 0.7 else (rng.choice((-1, 1)),)
    for side in sides:
        for i in range(int((end + 10) / step)):
            y = -8 + i * step + rng.uniform(-1, 1)
            entity = stage.entity(POLE, lamp=True)
            foot, head = (side * x, y, 0), (side * x, y, tall)
            tip = (side * (x - 1.5), y, tall + 0.25)
            stage.tube(foot, head, 0.09, steel, entity, end_radius=0.06)
            stage.tube(head, tip, 0.05, steel, entity)
            stage.boxes([(tip[0], y, tip[2] - 0.03, 0.75, 0.28, 0.1)], steel, entity)
            stage.boxes([(tip[0], y, tip[2] - 0.1, 0.6, 0.22, 0.05)], glass, entity)
            watts = 17 * tall**2 * rng.uniform(0.85, 1.15)
            stage.spot((tip[0], y, tip[2] - 0.2), colour, watts, opening_deg=135)


def add_signals(stage: Stage, *, x: float, y: float) -> None:
    """Add traffic lights on both sides, which show the same at any hour."""
    rng = stage.plan.dice("signals")
    state = rng.choice(tuple(_SIGNALS))
    colour, place = _SIGNALS[state]
    black = stage.material((0.02, 0.02, 0.02), 0.6)
    steel = stage.material((0.15, 0.15, 0.15), 0.5)
    dim = stage.material((0.05, 0.05, 0.05), 0.3)
    glow = stage.shining(colour, 6, dark=colour, always=True)
    for side in (-1, 1):
        pole, signal = stage.entity(POLE), stage.entity(SIGNAL)
        px = side * x
        stage.tube((px, y, 0), (px, y, 4.3), 0.07, steel, pole)
        spots = [(px, y - 0.1, 3.7)]
        if side > 0 and rng.random() < 0.5:  # one on an arm above the lane
            stage.tube((px, y, 5.4), (px - 3.6, y, 5.6), 0.06, steel, pole)
            stage.tube((px, y, 4.2), (px, y, 5.5), 0.07, steel, pole)
            spots.append((px - 3.4, y - 0.1, 5.3))
        for sx, sy, sz in spots:
            stage.boxes([(sx, sy, sz, 0.36, 0.22, 1.05)], black, signal)
            lit = stage.entity(SIGNAL, light="traffic", state=state, of=signal)
            for k in range(3):
                lens = (sx, sy - 0.12, sz + 0.33 * (1 - k))
                material, number = (glow, lit) if k == place else (dim, signal)
                stage.ball(lens, (0.12, 0.04, 0.12), material, number)


def add_signs(stage: Stage, *, x: float, end: float, count: int) -> None:
    """Add road signs on poles."""
    rng = stage.plan.dice("signs")
    steel = stage.material((0.3, 0.3, 0.3), 0.5, metallic=0.5)
    faces = [
        stage.material(c, 0.4)
        for c in ((0.5, 0.02, 0.02), (0.02, 0.08, 0.45), (0.7, 0.7, 0.7), (0.6, 0.45, 0.02))
    ]
    for _ in range(count):
        side, y = rng.choice((-1, 1)), rng.uniform(4, end)
        px = side * (x + rng.uniform(0, 0.8))
        pole, sign = stage.entity(POLE), stage.entity(SIGN)
        stage.tube((px, y, 0), (px, y, 2.9), 0.035, steel, pole)
        face = rng.choice(faces)
        if rng.random() < 0.5:
            stage.tube((px, y - 0.05, 2.6), (px, y - 0.08, 2.6), 0.36, face, sign)
            stage.tube((px, y - 0.08, 2.6), (px, y - 0.09, 2.6), 0.25, faces[2], sign)
        else:
            stage.boxes([(px, y - 0.06, 2.6, 0.7, 0.03, 0.7)], face, sign)


def add_gantry(stage: Stage, *, x: float, y: float) -> None:
    """Add a bridge of signs over a motorway."""
    steel = stage.material((0.3, 0.3, 0.32), 0.5, metallic=0.4)
    blue = stage.material((0.02, 0.1, 0.4), 0.5)
    white = stage.material((0.75, 0.75, 0.75), 0.5)
    pole, sign = stage.entity(POLE), stage.entity(SIGN)
    items = [(s * x, y, 3.3, 0.3, 0.3, 6.6) for s in (-1.0, 1.0)]
    stage.boxes([*items, (0, y, 6.6, 2 * x, 0.3, 0.4)], steel, pole)
    for cx in (-x * 0.45, x * 0.45):
        stage.boxes([(cx, y - 0.2, 6.9, x * 0.7, 0.1, 2.0)], blue, sign)
        lines = [(cx, y - 0.26, 7.3 - 0.5 * k, x * (0.5 - 0.1 * k), 0.02, 0.22) for k in range(3)]
        stage.boxes(lines, white, sign)


def add_billboards(stage: Stage, *, x: float, end: float, count: int) -> None:
    """Add advertisements on posts; they are lit at night."""
    rng = stage.plan.dice("billboards")
    u = rng.uniform
    steel = stage.material((0.15, 0.15, 0.15), 0.5)
    for _ in range(count):
        side, y = rng.choice((-1, 1)), u(12, end)
        px, w, h = side * (x + u(0, 2)), u(2.2, 4.5), u(1.6, 2.6)
        entity = stage.entity(STATIC, billboard=True)
        stage.tube((px, y, 0), (px, y, 2.4), 0.1, steel, entity)
        stage.boxes([(px, y, 2.4 + h / 2, w + 0.2, 0.25, h + 0.2)], steel, entity)
        for k in range(3):  # a picture of three fields
            colour = (u(0.1, 1), u(0.1, 1), u(0.1, 1))
            dark: Colour = tuple(0.5 * c for c in colour)  # type: ignore[assignment]
            field = stage.shining(colour, u(0.8, 2.2), dark=dark)
            stage.boxes(
                [(px + (k - 1) * w / 3, y - 0.14, 2.4 + h / 2, w / 3, 0.04, h)], field, entity
            )


def add_stop(stage: Stage, *, x: float, y: float) -> None:
    """Add a bus shelter with a lit panel."""
    rng = stage.plan.dice("stop")
    side = rng.choice((-1, 1))
    steel = stage.material((0.2, 0.2, 0.22), 0.4, metallic=0.4)
    panel = stage.shining((1.0, 0.97, 0.9), 3, dark=(0.5, 0.5, 0.48))
    bench = stage.material((0.2, 0.12, 0.06), 0.7)
    entity = stage.entity(STATIC, stop=True)
    px = side * x
    stage.boxes([(px, y, 2.45, 1.5, 4.0, 0.1)], steel, entity)
    stage.boxes(
        [(px + side * 0.65, y + d, 1.2, 0.08, 0.08, 2.4) for d in (-1.9, 1.9)], steel, entity
    )
    stage.boxes([(px + side * 0.4, y, 0.45, 0.4, 3.0, 0.08)], bench, entity)
    stage.boxes([(px, y + 1.95, 1.2, 1.1, 0.12, 1.8)], panel, entity)


def add_trees(stage: Stage, spots: list[tuple[float, float]]) -> None:
    """Add trees at (x, y): round, tall or bare."""
    rng = stage.plan.dice("trees")
    u = rng.uniform
    snow = stage.plan.weather.ground == "snow"
    bark = stage.material((0.07, 0.05, 0.03), 0.95)
    leaves = [
        stage.grained((u(0.02, 0.08), u(0.07, 0.16), u(0.01, 0.04)), 0.95, scale=4, depth=0.5)
        for _ in range(3)
    ]
    for x, y in spots:
        entity = stage.entity(VEGETATION)
        trunk, spread = u(1.8, 3.6), u(1.1, 2.1)
        stage.tube((x, y, 0), (x, y, trunk + 1), 0.18, bark, entity, end_radius=0.09)
        if snow or rng.random() < 0.12:
            for _ in range(9):
                tip = (x + u(-1.4, 1.4), y + u(-1.4, 1.4), trunk + u(1, 3))
                stage.tube((x, y, trunk + u(-0.5, 0.8)), tip, 0.06, bark, entity, end_radius=0.015)
            continue
        leaf = rng.choice(leaves)
        if rng.random() < 0.25:
            for k in range(4):
                r = spread * (1 - 0.2 * k)
                base = (x, y, trunk - 0.6 + k * 1.3)
                stage.tube(base, (x, y, base[2] + 2.2), r, leaf, entity, end_radius=0.1)
            continue
        for _ in range(6):
            at = (x + u(-1, 1) * spread * 0.7, y + u(-1, 1) * spread * 0.7, trunk + u(0.4, 2.4))
            r = spread * u(0.5, 0.85)
            stage.ball(at, (r, r, r * u(0.7, 1)), leaf, entity, rough=0.16)


def add_hedges(stage: Stage, *, x: float, end: float) -> None:
    """Add hedges and fences along gardens."""
    rng = stage.plan.dice("hedges")
    u = rng.uniform
    green = stage.grained((0.04, 0.1, 0.02), 0.95, scale=8, depth=0.6)
    wood = stage.material((0.35, 0.25, 0.15), 0.8)
    for side in (-1, 1):
        y = -15.0
        while y < end:
            length = u(5, 12)
            if rng.random() < 0.5:
                h = u(0.7, 1.5)
                stage.boxes(
                    [(side * x, y + length / 2, h / 2, 0.7, length, h)],
                    green,
                    stage.entity(VEGETATION),
                )
            else:
                entity = stage.entity(FENCE)
                bars = [
                    (side * x, y + k * 0.25, 0.5, 0.04, 0.12, 1.0)
                    for k in range(int(length / 0.25))
                ]
                stage.boxes(
                    [*bars, (side * x, y + length / 2, 0.7, 0.06, length, 0.08)], wood, entity
                )
            y += length + u(2, 6)


def add_railing(stage: Stage, *, x: float, start: float, end: float, kind: str = "guard") -> None:
    """Add a guard rail, or a railing with bars, along the street."""
    steel = stage.material((0.4, 0.41, 0.42), 0.45, metallic=0.6)
    entity = stage.entity(GUARD_RAIL if kind == "guard" else FENCE)
    length, middle = end - start, (start + end) / 2
    if kind == "guard":
        stage.boxes([(x, middle, 0.62, 0.06, length, 0.32)], steel, entity)
        posts: list[Any] = [(x, start + 3 * k, 0.35, 0.1, 0.1, 0.7) for k in range(int(length / 3))]
    else:
        stage.boxes([(x, middle, z, 0.06, length, 0.06) for z in (0.15, 1.1)], steel, entity)
        posts = [(x, start + 0.6 * k, 0.6, 0.04, 0.04, 1.1) for k in range(int(length / 0.6))]
    stage.boxes(posts, steel, entity)


def add_benches(stage: Stage, rng: random.Random, spots: list[tuple[float, float]]) -> None:
    """Add benches and bins."""
    wood = stage.material((0.25, 0.15, 0.08), 0.8)
    for x, y in spots:
        entity = stage.entity(STATIC)
        stage.boxes(
            [
                (x, y, 0.45, 0.45, 1.8, 0.08),
                (x + 0.2, y, 0.75, 0.06, 1.8, 0.4),
                (x, y - 0.7, 0.22, 0.4, 0.08, 0.44),
                (x, y + 0.7, 0.22, 0.4, 0.08, 0.44),
            ],
            wood,
            entity,
        )
        if rng.random() < 0.5:
            stage.tube((x, y + 1.4, 0), (x, y + 1.4, 0.9), 0.22, wood, stage.entity(STATIC))
