"""The eight kinds of places, each put together from the parts of its neighbours here."""

from __future__ import annotations

import random

from dayshift.train.synth.blender import buildings, furniture, ground, population, traffic
from dayshift.train.synth.blender.stage import Stage, turned
from dayshift.train.synth.classes import (
    BRIDGE,
    BUILDING,
    PARKING,
    STATIC,
    TERRAIN,
    TUNNEL,
    WALL,
)

_FAR = 165.0


def build(stage: Stage) -> None:
    """Put everything on the stage that the plan asks for."""
    panes = buildings.make_panes(stage)
    wardrobe = traffic.make_wardrobe(stage)
    {
        "city": _city,
        "suburb": _suburb,
        "highway": _highway,
        "square": _square,
        "bridge": _bridge,
        "tunnel": _tunnel,
        "parking": _parking,
        "harbour": _harbour,
    }[stage.plan.kind](stage, stage.plan.dice("place"), panes)
    population.add_traffic(stage, wardrobe)
    population.add_people(stage, wardrobe)


def _city(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, walk = stage.plan.half_width, rng.uniform(3, 4.5)
    ground.add_floor(stage, "paved")
    ground.add_road(stage, lit_crossing=rng.random() < 0.6)
    ground.add_pavement(stage, width=walk)
    low, high = rng.choice(((7, 16), (9, 24), (16, 40)))
    for side in (-1, 1):
        buildings.add_row(
            stage,
            rng,
            panes,
            side=side,
            x=half + walk + 0.1,
            start=-28,
            end=_FAR,
            low=low,
            high=high,
        )
    if rng.random() < 0.7:
        spots = [
            (s * (half + 0.9), y + rng.uniform(-1, 1))
            for s in (-1, 1)
            for y in range(4, 130, rng.choice((9, 13, 18)))
            if rng.random() < 0.75
        ]
        furniture.add_trees(stage, spots)
    furniture.add_street_lamps(stage, x=half + 0.5, end=150)
    if rng.random() < 0.65:
        furniture.add_signals(stage, x=half + 0.4, y=rng.uniform(12, 55))
    furniture.add_signs(stage, x=half + 0.5, end=90, count=rng.randint(1, 6))
    furniture.add_billboards(stage, x=half + 1.5, end=90, count=rng.randint(0, 2))
    if rng.random() < 0.4:
        furniture.add_stop(stage, x=half + 1.6, y=rng.uniform(10, 50))


def _suburb(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, walk, u = stage.plan.half_width, 2.2, rng.uniform
    ground.add_floor(stage, "grass")
    ground.add_road(stage, marks=rng.random() < 0.6)
    ground.add_pavement(stage, width=walk)
    front = half + walk + 4
    for side in (-1, 1):
        y = -22.0
        while y < _FAR:
            width, off = u(8, 13), u(1, 6)
            place = (
                turned((-front - off, y, 0), 90)
                if side < 0
                else turned((front + off, y + width, 0), -90)
            )
            buildings.add_house(stage, rng, panes, place, width, u(3.2, 6.5), u(7, 10))
            y += width + u(4, 12)
    furniture.add_hedges(stage, x=half + walk + 0.8, end=_FAR)
    spots = [
        (rng.choice((-1, 1)) * (half + walk + u(1.6, 3.4)), u(4, 140))
        for _ in range(rng.randint(6, 16))
    ]
    spots += [(rng.choice((-1, 1)) * (half + u(22, 40)), u(10, 160)) for _ in range(20)]
    furniture.add_trees(stage, spots)
    furniture.add_street_lamps(stage, x=half + 0.4, end=150, height=u(4.5, 7))
    furniture.add_signs(stage, x=half + 0.5, end=70, count=rng.randint(0, 3))


def _highway(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    ground.add_floor(stage, "grass")
    ground.add_road(stage)
    for x in (-half - 1.2, half + 1.2):
        furniture.add_railing(stage, x=x, start=ground.START, end=ground.END)
    furniture.add_railing(stage, x=0.0, start=ground.START, end=ground.END)
    if rng.random() < 0.3:
        wall = stage.material((0.3, 0.28, 0.25), 0.9)
        stage.boxes(
            [(s * (half + 4), 90, 2, 0.3, 260, 4) for s in (-1, 1)], wall, stage.entity(WALL)
        )
    elif rng.random() < 0.6:
        _skyline(stage, rng, panes, y=190)
    spots = [
        (rng.choice((-1, 1)) * (half + u(6, 40)), u(0, 190)) for _ in range(rng.randint(20, 45))
    ]
    furniture.add_trees(stage, spots)
    if rng.random() < 0.75:
        furniture.add_street_lamps(stage, x=half + 1.6, end=200, height=u(9, 12))
    if rng.random() < 0.6:
        furniture.add_gantry(stage, x=half + 1.5, y=u(30, 80))
    furniture.add_billboards(stage, x=half + 5, end=120, count=rng.randint(0, 2))


def _square(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    ground.add_floor(stage, "paved")
    ground.add_road(stage, lit_crossing=True)
    ground.add_pavement(stage, width=3.0)
    for side in (-1, 1):
        x = half + (u(22, 34) if side > 0 else 4.5)
        buildings.add_row(stage, rng, panes, side=side, x=x, start=-28, end=95, low=9, high=22)
    x = -60.0
    while x < 80:  # the far side, beyond a cross street
        width = u(10, 24)
        buildings.add_block(stage, rng, panes, turned((x, 112, 0), 0), width, u(10, 30), 12)
        x += width + rng.choice((0.0, 0.0, 4.0))
    stone = stage.material((0.4, 0.38, 0.34), 0.8)
    cx, cy, entity = half + 12, u(25, 45), stage.entity(STATIC, monument=True)
    stage.tube((cx, cy, 0), (cx, cy, 0.5), 4.0, stone, entity)
    stage.tube((cx, cy, 0.5), (cx, cy, 2.2), 1.0, stone, entity, end_radius=0.7)
    stage.tube((cx, cy, 2.2), (cx, cy, u(4, 8)), 0.4, stone, entity, end_radius=0.2)
    stage.spot(
        (cx - 3, cy - 3, 0.6), (1.0, 0.8, 0.55), 120, pitch_deg=140, heading_deg=-45, opening_deg=70
    )
    furniture.add_trees(stage, [(half + u(4, 20), u(2, 80)) for _ in range(rng.randint(4, 12))])
    furniture.add_benches(stage, rng, [(half + u(5, 19), u(4, 60)) for _ in range(6)])
    furniture.add_street_lamps(stage, x=half + 0.6, end=100, height=u(4.5, 7))
    furniture.add_signals(stage, x=half + 0.4, y=u(60, 90))


def _bridge(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    ground.add_floor(stage, "water", z=-9)
    ground.add_road(stage)
    ground.add_pavement(stage, width=2.0)
    deck = stage.material((0.3, 0.3, 0.3), 0.8)
    steel = stage.material(
        rng.choice(((0.3, 0.32, 0.34), (0.35, 0.06, 0.04), (0.1, 0.2, 0.16))), 0.5
    )
    entity = stage.entity(BRIDGE)
    edge = half + 2.2
    stage.boxes([(0, 90, -1.0, 2 * edge + 0.4, 260, 1.6)], deck, entity)
    for x in (-edge, edge):
        furniture.add_railing(stage, x=x, start=ground.START, end=ground.END, kind="bars")
    if rng.random() < 0.5:  # pylons and cables
        for y in (35.0, 150.0):
            for s in (-1, 1):
                stage.boxes([(s * (edge + 0.6), y, 9, 1.0, 1.6, 36)], steel, entity)
                for k in range(1, 8):
                    for d in (-1, 1):
                        stage.tube(
                            (s * (edge + 0.5), y, 26),
                            (s * edge, y + d * 7 * k, 0.2),
                            0.05,
                            steel,
                            entity,
                        )
            stage.boxes([(0, y, 24, 2 * edge + 2, 1.0, 1.2)], steel, entity)
    else:  # a truss
        for s in (-1, 1):
            x = s * (edge + 0.3)
            stage.boxes([(x, 90, 5.6, 0.4, 260, 0.5)], steel, entity)
            for k in range(-4, 27):
                a, b = (x, k * 8.0, 0.2), (x, k * 8.0 + 4, 5.5)
                stage.tube(a, b, 0.16, steel, entity)
                stage.tube(b, (x, k * 8.0 + 8, 0.2), 0.16, steel, entity)
    _skyline(stage, rng, panes, y=u(235, 265))
    bank = stage.material((0.1, 0.12, 0.08), 0.95)
    stage.boxes([(0, 300, -5, 700, 90, 8)], bank, stage.entity(TERRAIN))
    furniture.add_street_lamps(stage, x=half + 0.4, end=200)


def _tunnel(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    ground.add_floor(stage, "grass")
    ground.add_road(stage)
    mouth, top = u(45, 85), 6.2
    concrete = stage.grained((0.32, 0.31, 0.29), 0.85, scale=0.7)
    entity, w = stage.entity(TUNNEL), half + 1.5
    length = ground.END + 30 - mouth
    middle = mouth + length / 2
    stage.boxes(
        [(s * (w + 0.6), middle, top / 2, 1.2, length, top) for s in (-1, 1)], concrete, entity
    )
    stage.boxes([(0, middle, top + 0.6, 2 * w + 2.4, length, 1.2)], concrete, entity)
    stage.boxes([(0, mouth, top + 1.6, 2 * w + 8, 1.0, 3.2)], concrete, entity)
    grass = ground.soft_ground(stage, (0.07, 0.13, 0.03), scale=1, depth=0.4)
    hill = stage.entity(TERRAIN)
    stage.boxes([(s * (w + 26), middle, 4, 50, length, 8.5) for s in (-1, 1)], grass, hill)
    stage.boxes([(0, middle + 6, top + 2.2, 2 * w + 6, length - 12, 2)], grass, hill)
    lamp = stage.shining((1.0, 0.8, 0.5), 9, dark=(0.5, 0.5, 0.45), always=True)
    strips = [
        (s * w * 0.55, mouth + 4 + 7.0 * k, top - 0.1, 0.35, 2.2, 0.1)
        for s in (-1, 1)
        for k in range(20)
    ]
    stage.boxes(strips, lamp, entity)
    for k in range(6):
        stage.spot(
            (0, mouth + 8 + 20.0 * k, top - 0.4),
            (1.0, 0.82, 0.55),
            260,
            opening_deg=150,
            always=True,
        )
    for x in (-half - 1.0, half + 1.0):
        furniture.add_railing(stage, x=x, start=ground.START, end=mouth)
    spots = [(rng.choice((-1, 1)) * (half + u(5, 20)), u(0, mouth - 6)) for _ in range(12)]
    furniture.add_trees(stage, spots)
    furniture.add_street_lamps(stage, x=half + 1.4, end=mouth - 12, height=u(8, 11))
    furniture.add_signs(stage, x=half + 1.2, end=mouth - 5, count=3)


def _parking(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    surface = ground.road_surface(stage, u(0.05, 0.1))
    stage.boxes([(0, 30, -0.14, 110, 140, 0.2)], surface, stage.entity(PARKING))
    ground.add_floor(stage, "grass", z=-0.3)
    ground.add_road(stage, marks=False)
    white = stage.material((0.7, 0.7, 0.68), 0.6)
    lines = [
        (s * (half + 3.2 + row * 17), y * 2.6, 0.0, 5.0, 0.1, 0.02)
        for s in (-1, 1)
        for row in range(2)
        for y in range(-2, 22)
    ]
    if stage.plan.weather.ground != "snow":
        stage.boxes(lines, white, stage.entity(PARKING, marking=True))
    cars = traffic.make_wardrobe(stage)
    for s in (-1, 1):
        for row in range(2):
            for k in range(-1, 21):
                if rng.random() < 0.55:
                    at = (s * (half + 3.2 + row * 17), (k + 0.5) * 2.6, 0.0)
                    traffic.add_car(stage, rng, cars, at, rng.choice((90.0, -90.0)), parked=True)
    buildings.add_hall(stage, rng, panes, turned((-40, 72, 0), 0), 80, u(7, 11), 25)
    furniture.add_street_lamps(stage, x=half + 7.5, end=70, height=u(8, 11))
    furniture.add_trees(stage, [(s * u(44, 60), u(0, 120)) for s in (-1, 1) for _ in range(8)])
    furniture.add_billboards(stage, x=half + 9, end=60, count=1)


def _harbour(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    ground.add_floor(stage, "water", z=-2.2)
    quay = stage.grained((0.26, 0.25, 0.24), 0.85, scale=1)
    edge = half + u(5, 9)
    stage.boxes(
        [((edge - 90) / 2, 90, -1.4, edge + 90, 300, 2.5)], quay, stage.entity(STATIC, quay=True)
    )
    ground.add_road(stage, marks=rng.random() < 0.6)
    y = -20.0
    while y < _FAR:
        width = u(22, 40)
        buildings.add_hall(
            stage, rng, panes, turned((-half - u(5, 9), y, 0), 90), width, u(6, 12), 20
        )
        y += width + u(2, 9)
    for k in range(rng.randint(3, 8)):
        traffic.add_boat(stage, rng, (edge + u(4, 22), 8 + 16.0 * k + u(-3, 3), -2.0), u(-25, 25))
    iron = stage.material((0.04, 0.04, 0.045), 0.6)
    for k in range(14):
        at = (edge - 0.7, -6 + 9.0 * k)
        stage.tube((*at, -0.1), (*at, 0.6), 0.2, iron, stage.entity(STATIC))
    if rng.random() < 0.7:
        _crane(stage, x=edge - 4, y=u(50, 110))
    _skyline(stage, rng, panes, y=230)
    furniture.add_street_lamps(stage, x=half + 1.2, end=150)


def _crane(stage: Stage, *, x: float, y: float) -> None:
    steel = stage.material((0.45, 0.2, 0.03), 0.5)
    entity = stage.entity(STATIC, crane=True)
    warn = stage.shining((1.0, 0.05, 0.03), 25, dark=(0.3, 0.02, 0.02))
    for dx in (-3.0, 3.0):
        for dy in (-4.0, 4.0):
            stage.tube((x + dx, y + dy, 0), (x + dx * 0.6, y + dy * 0.6, 24), 0.35, steel, entity)
    stage.boxes(
        [(x, y, 24, 5, 7, 1.2), (x + 12, y, 27, 40, 1.4, 1.4), (x, y, 27, 3, 3, 5)], steel, entity
    )
    stage.tube((x, y, 29), (x, y, 40), 0.4, steel, entity)
    stage.tube((x, y, 40), (x + 30, y, 27.5), 0.1, steel, entity)
    stage.ball((x, y, 40.4), (0.3, 0.3, 0.3), warn, entity)


def _skyline(stage: Stage, rng: random.Random, panes: buildings.Panes, *, y: float) -> None:
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
