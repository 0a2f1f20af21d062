"""What is built and is no building: bridges, tunnels, cranes, monuments."""

from __future__ import annotations

import random
from typing import Any

from dayshift.train.synth.blender import furniture, ground
from dayshift.train.synth.blender.stage import Stage
from dayshift.train.synth.classes import BRIDGE, STATIC, TERRAIN, TUNNEL


def add_bridge(stage: Stage, rng: random.Random) -> None:
    """Carry the street on a deck, hung from pylons or between trusses."""
    deck = stage.material((0.3, 0.3, 0.3), 0.8)
    steel = stage.material(
        rng.choice(((0.3, 0.32, 0.34), (0.35, 0.06, 0.04), (0.1, 0.2, 0.16))), 0.5
    )
    entity = stage.entity(BRIDGE)
    edge = stage.plan.half_width + 2.2
    stage.boxes([(0, 90, -1.0, 2 * edge + 0.4, 260, 1.6)], deck, entity)
    for x in (-edge, edge):
        furniture.add_railing(stage, x=x, start=ground.START, end=ground.END, kind="bars")
    add_carrier = _add_pylons if rng.random() < 0.5 else _add_trusses
    add_carrier(stage, edge, steel, entity)


def _add_pylons(stage: Stage, edge: float, steel: Any, entity: int) -> None:
    for y in (35.0, 150.0):
        for s in (-1, 1):
            stage.boxes([(s * (edge + 0.6), y, 9, 1.0, 1.6, 36)], steel, entity)
            for k in range(1, 8):
                for d in (-1, 1):
                    top, foot = (s * (edge + 0.5), y, 26), (s * edge, y + d * 7 * k, 0.2)
                    stage.tube(top, foot, 0.05, steel, entity)
        stage.boxes([(0, y, 24, 2 * edge + 2, 1.0, 1.2)], steel, entity)


def _add_trusses(stage: Stage, edge: float, steel: Any, entity: int) -> None:
    for s in (-1, 1):
        x = s * (edge + 0.3)
        stage.boxes([(x, 90, 5.6, 0.4, 260, 0.5)], steel, entity)
        for k in range(-4, 27):
            a, b = (x, k * 8.0, 0.2), (x, k * 8.0 + 4, 5.5)
            stage.tube(a, b, 0.16, steel, entity)
            stage.tube(b, (x, k * 8.0 + 8, 0.2), 0.16, steel, entity)


def add_tunnel(stage: Stage, *, mouth: float) -> None:
    """Lead the street under a hill from y = `mouth` on; its lamps burn at any hour."""
    top = 6.2
    concrete = stage.grained((0.32, 0.31, 0.29), 0.85, scale=0.7)
    entity, w = stage.entity(TUNNEL), stage.plan.half_width + 1.5
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
        at = (0, mouth + 8 + 20.0 * k, top - 0.4)
        stage.spot(at, (1.0, 0.82, 0.55), 260, opening_deg=150, always=True)


def add_monument(stage: Stage, rng: random.Random, *, x: float, y: float) -> None:
    """Add a pillar on a round base, lit from below."""
    stone = stage.material((0.4, 0.38, 0.34), 0.8)
    entity = stage.entity(STATIC, monument=True)
    tip = (x, y, rng.uniform(4, 8))
    stage.tube((x, y, 0), (x, y, 0.5), 4.0, stone, entity)
    stage.tube((x, y, 0.5), (x, y, 2.2), 1.0, stone, entity, end_radius=0.7)
    stage.tube((x, y, 2.2), tip, 0.4, stone, entity, end_radius=0.2)
    lamp, warm = (x - 3, y - 3, 0.6), (1.0, 0.8, 0.55)
    stage.spot(lamp, warm, 120, pitch_deg=140, heading_deg=-45, opening_deg=70)


def add_crane(stage: Stage, *, x: float, y: float) -> None:
    """Add a crane of the harbour, its arm over the water."""
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
