"""Vehicles: cars, vans, buses, trucks with their lamps, and boats."""

from __future__ import annotations

import random
from typing import Any

from dayshift.train.synth.blender.shapes import Place, Point
from dayshift.train.synth.blender.stage import Colour, Stage
from dayshift.train.synth.blender.wardrobe import Wardrobe
from dayshift.train.synth.classes import BUS, CAR, DYNAMIC, TRUCK


def add_car(
    stage: Stage,
    rng: random.Random,
    wardrobe: Wardrobe,
    at: Point,
    heading_deg: float,
    *,
    speed: float = 0.0,
    parked: bool = False,
) -> None:
    """Add a car, van or estate on `at`, its nose towards `heading_deg` (0 is along the street)."""
    u = rng.uniform
    van = rng.random() < 0.18
    length, width = (u(4.9, 5.8), 1.95) if van else (u(3.8, 4.8), u(1.72, 1.85))
    entity = stage.entity(CAR, van=van, parked=parked)
    stage.move(at, heading_deg, speed)
    paint = stage.material(_paint(rng), 0.22, metallic=u(0.0, 0.5))
    w, half = width / 2, length / 2
    outline = _draw_outline(rng, half, van=van)
    _extrude(stage, outline, w, paint, entity)
    front, roof = outline[3], outline[4]
    _panes(stage, wardrobe, entity, w, front, roof, rear=outline[5], tail=outline[6])
    for y in (half * 0.62, -half * 0.62):
        for x in (-w, w):
            side = 0.02 if x > 0 else -0.02
            stage.tube((x - side * 9, y, 0.32), (x + side, y, 0.32), 0.32, wardrobe.tyre, entity)
    braking = speed < 4 and not parked
    _lamps(stage, rng, wardrobe, entity, w, half, 0.66, watts=320, braking=braking)
    stage.still()


def add_truck(
    stage: Stage,
    rng: random.Random,
    wardrobe: Wardrobe,
    at: Point,
    heading_deg: float,
    speed: float,
) -> None:
    """Add a bus or a truck."""
    is_bus = rng.random() < 0.5
    length, height = (rng.uniform(9.5, 12), 3.1) if is_bus else (rng.uniform(6.5, 10), 3.4)
    entity = stage.entity(BUS if is_bus else TRUCK)
    stage.move(at, heading_deg, speed)
    paint = stage.material(_paint(rng), 0.35)
    w, half = 1.25, length / 2
    if is_bus:
        stage.boxes([(0, 0, 0.4 + height / 2, 2 * w, length, height)], paint, entity)
        glow = stage.shining((1.0, 0.93, 0.8), 1.6, dark=(0.03, 0.04, 0.05), rough=0.07)
        stage.boxes([(x, 0, 2.35, 0.04, length - 0.8, 0.95) for x in (-w, w)], glow, entity)
        stage.boxes([(0, half, 2.2, 2 * w - 0.3, 0.04, 1.5)], wardrobe.glass, entity)
        sign = stage.shining((1.0, 0.6, 0.1), 5, dark=(0.05, 0.03, 0.01))
        stage.boxes([(0, half + 0.02, 3.2, 1.5, 0.05, 0.3)], sign, entity)
    else:
        cabin = stage.material(_paint(rng), 0.3)
        stage.boxes([(0, half - 1.0, 1.75, 2 * w, 2.0, 2.7)], cabin, entity)
        stage.boxes([(0, half + 0.01, 2.25, 2 * w - 0.3, 0.04, 0.95)], wardrobe.glass, entity)
        stage.boxes([(0, -1.1, 0.9 + height / 2, 2 * w, length - 2.3, height)], paint, entity)
        stage.boxes([(0, 0, 0.75, 1.0, length - 0.4, 0.3)], wardrobe.trim, entity)
    for y in (half * 0.68, -half * 0.55):
        for x in (-w, w):
            inner = x - 0.3 if x > 0 else x + 0.3
            stage.tube((inner, y, 0.48), (x, y, 0.48), 0.48, wardrobe.tyre, entity)
    _lamps(stage, rng, wardrobe, entity, w, half, 0.85, watts=380, braking=speed < 4)
    stage.still()


def add_boat(stage: Stage, rng: random.Random, at: Point, heading_deg: float) -> None:
    """Add a moored boat."""
    entity = stage.entity(DYNAMIC, boat=True)
    place = Place(at, heading_deg)
    length, w = rng.uniform(6, 14), rng.uniform(1.1, 2.0)
    hull = stage.material(
        rng.choice(((0.75, 0.75, 0.74), (0.05, 0.1, 0.3), (0.4, 0.05, 0.04))), 0.4
    )
    half = length / 2
    points = [
        (x * s, y, z)
        for z, s in ((-0.3, 0.7), (1.1, 1.0))
        for x, y in ((-w, -half), (w, -half), (w, half * 0.3), (0, half), (-w, half * 0.3))
    ]
    faces = [(k, (k + 1) % 5, 5 + (k + 1) % 5, 5 + k) for k in range(5)]
    stage.mesh([place(p) for p in points], [*faces, (5, 6, 7, 8, 9)], hull, entity)
    cabin = stage.material((0.7, 0.7, 0.68), 0.5)
    glow = stage.shining((1.0, 0.8, 0.5), 1.5, dark=(0.03, 0.04, 0.05))
    stage.boxes([(0, -half * 0.2, 1.8, w * 1.2, length * 0.3, 1.5)], cabin, entity, place)
    stage.boxes([(0, -half * 0.2, 2.05, w * 1.22, length * 0.25, 0.5)], glow, entity, place)
    stage.tube(place((0, 0, 1)), place((0, 0, rng.uniform(4, 9))), 0.06, cabin, entity)


def _paint(rng: random.Random) -> Colour:
    if rng.random() < 0.6:
        grey = rng.choice((0.02, 0.08, 0.3, 0.55, 0.75))
        return (grey, grey, grey * 1.02)
    u = rng.uniform
    return rng.choice(
        (
            (u(0.2, 0.6), 0.02, 0.02),
            (0.02, u(0.05, 0.15), u(0.2, 0.5)),
            (0.03, u(0.1, 0.3), 0.06),
            (u(0.4, 0.7), u(0.25, 0.4), 0.03),
        )
    )


def _draw_outline(rng: random.Random, half: float, *, van: bool) -> list[tuple[float, float]]:
    """Return the side of a car, (y, z) from the nose (y > 0) round the roof to the tail."""
    u = rng.uniform
    low, belt, top = 0.28, 0.95 if van else u(0.82, 0.95), 2.1 if van else u(1.38, 1.6)
    hood = -half * u(0.30, 0.42) if not van else -half * 0.62
    return [
        (half, low),
        (half, belt * 0.72),
        (half * 0.93, belt * 0.9),
        (-hood, belt),
        (-hood - 0.75, top),
        (-half * 0.98, top) if van or rng.random() < 0.4 else (-half * 0.55, top),
        (-half * 0.96, belt),
        (-half, belt * 0.85),
        (-half, low),
    ]


def _extrude(
    stage: Stage, outline: list[tuple[float, float]], w: float, material: Any, entity: int
) -> None:
    """Make a body of an outline (y, z): narrower above the belt, as cars are."""
    belt = max(z for _, z in outline) * 0.62
    points = [(s * (w if z < belt else w * 0.86), y, z) for s in (-1, 1) for y, z in outline]
    n = len(outline)
    faces: list[Any] = [(k, (k + 1) % n, n + (k + 1) % n, n + k) for k in range(n)]
    faces += [tuple(range(n - 1, -1, -1)), tuple(range(n, 2 * n))]
    stage.mesh(points, faces, material, entity)


def _panes(
    stage: Stage,
    wardrobe: Wardrobe,
    entity: int,
    w: float,
    front: tuple[float, float],
    roof: tuple[float, float],
    *,
    rear: tuple[float, float],
    tail: tuple[float, float],
) -> None:
    """Add wind screen, rear and side windows just outside of the body."""
    x = w * 0.8
    for (y0, z0), (y1, z1), out in ((front, roof, 0.03), (tail, rear, -0.03)):
        quad = [
            (-x, y0 + out, z0 + 0.04),
            (x, y0 + out, z0 + 0.04),
            (x, y1 + out, z1 - 0.06),
            (-x, y1 + out, z1 - 0.06),
        ]
        stage.mesh(quad, [(0, 1, 2, 3)], wardrobe.glass, entity)
    for side in (-1, 1):
        outer = side * (w * 0.87 + 0.01)
        low = front[1] + 0.06
        quad = [
            (side * (w * 0.93), front[0] - 0.25, low),
            (outer, roof[0] - 0.1, roof[1] - 0.1),
            (outer, rear[0] + 0.15, roof[1] - 0.1),
            (side * (w * 0.93), tail[0] + 0.35, low),
        ]
        stage.mesh(quad, [(0, 1, 2, 3)], wardrobe.glass, entity)


def _lamps(
    stage: Stage,
    rng: random.Random,
    wardrobe: Wardrobe,
    entity: int,
    w: float,
    half: float,
    z: float,
    *,
    watts: float,
    braking: bool,
) -> None:
    """Add head and rear lamps at height z; of parked cars none is lit."""
    parked = stage.entities[entity - 1].facts.get("parked", False)
    off = stage.material((0.6, 0.6, 0.6), 0.15) if parked else wardrobe.head
    stage.boxes([(x, half + 0.01, z, 0.34, 0.06, 0.16) for x in (-w * 0.7, w * 0.7)], off, entity)
    rear = wardrobe.tail
    number = entity
    if braking and rng.random() < 0.7:
        rear, number = wardrobe.brake, stage.entity(CAR, light="brake", state="on", of=entity)
    elif parked:
        rear = stage.material((0.3, 0.02, 0.02), 0.3)
    spots = [(x, -half - 0.02, z + 0.16, 0.28, 0.06, 0.2) for x in (-w * 0.75, w * 0.75)]
    stage.boxes(spots, rear, number)
    if not parked:
        stage.spot((0, half + 0.1, z), (1.0, 0.94, 0.85), watts, pitch_deg=85, opening_deg=55)
