"""The eight kinds of places, each put together from the parts of its neighbours here."""

from __future__ import annotations

import random

from dayshift.train.synth.blender import (
    blocks,
    buildings,
    furniture,
    ground,
    population,
    structures,
    traffic,
)
from dayshift.train.synth.blender.buildings import Plot
from dayshift.train.synth.blender.shapes import Place
from dayshift.train.synth.blender.stage import Stage
from dayshift.train.synth.blender.wardrobe import make_wardrobe
from dayshift.train.synth.classes import (
    PARKING,
    STATIC,
    TERRAIN,
    WALL,
)

_FAR = 165.0


def build(stage: Stage) -> None:
    """Put everything on the stage that the plan asks for."""
    panes = buildings.make_panes(stage)
    wardrobe = make_wardrobe(stage)
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
        blocks.add_row(
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
                Place((-front - off, y, 0), 90)
                if side < 0
                else Place((front + off, y + width, 0), -90)
            )
            buildings.add_house(stage, rng, panes, Plot(place, width, u(3.2, 6.5), u(7, 10)))
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
        buildings.add_skyline(stage, rng, panes, y=190)
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
        blocks.add_row(stage, rng, panes, side=side, x=x, start=-28, end=95, low=9, high=22)
    x = -60.0
    while x < 80:  # the far side, beyond a cross street
        width = u(10, 24)
        blocks.add_block(stage, rng, panes, Plot(Place((x, 112, 0), 0), width, u(10, 30), 12))
        x += width + rng.choice((0.0, 0.0, 4.0))
    structures.add_monument(stage, rng, x=half + 12, y=u(25, 45))
    furniture.add_trees(stage, [(half + u(4, 20), u(2, 80)) for _ in range(rng.randint(4, 12))])
    furniture.add_benches(stage, rng, [(half + u(5, 19), u(4, 60)) for _ in range(6)])
    furniture.add_street_lamps(stage, x=half + 0.6, end=100, height=u(4.5, 7))
    furniture.add_signals(stage, x=half + 0.4, y=u(60, 90))


def _bridge(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    ground.add_floor(stage, "water", z=-9)
    ground.add_road(stage)
    ground.add_pavement(stage, width=2.0)
    structures.add_bridge(stage, rng)
    buildings.add_skyline(stage, rng, panes, y=u(235, 265))
    bank = stage.material((0.1, 0.12, 0.08), 0.95)
    stage.boxes([(0, 300, -5, 700, 90, 8)], bank, stage.entity(TERRAIN))
    furniture.add_street_lamps(stage, x=half + 0.4, end=200)


def _tunnel(stage: Stage, rng: random.Random, panes: buildings.Panes) -> None:
    half, u = stage.plan.half_width, rng.uniform
    ground.add_floor(stage, "grass")
    ground.add_road(stage)
    mouth = u(45, 85)
    structures.add_tunnel(stage, mouth=mouth)
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
    cars = make_wardrobe(stage)
    for s in (-1, 1):
        for row in range(2):
            for k in range(-1, 21):
                if rng.random() < 0.55:
                    at = (s * (half + 3.2 + row * 17), (k + 0.5) * 2.6, 0.0)
                    traffic.add_car(stage, rng, cars, at, rng.choice((90.0, -90.0)), parked=True)
    buildings.add_hall(stage, rng, panes, Plot(Place((-40, 72, 0), 0), 80, u(7, 11), 25))
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
            stage, rng, panes, Plot(Place((-half - u(5, 9), y, 0), 90), width, u(6, 12), 20)
        )
        y += width + u(2, 9)
    for k in range(rng.randint(3, 8)):
        traffic.add_boat(stage, rng, (edge + u(4, 22), 8 + 16.0 * k + u(-3, 3), -2.0), u(-25, 25))
    iron = stage.material((0.04, 0.04, 0.045), 0.6)
    for k in range(14):
        at = (edge - 0.7, -6 + 9.0 * k)
        stage.tube((*at, -0.1), (*at, 0.6), 0.2, iron, stage.entity(STATIC))
    if rng.random() < 0.7:
        structures.add_crane(stage, x=edge - 4, y=u(50, 110))
    buildings.add_skyline(stage, rng, panes, y=230)
    furniture.add_street_lamps(stage, x=half + 1.2, end=150)
