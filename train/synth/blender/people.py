"""People on foot and on bicycles."""

from __future__ import annotations

import math
import random
from typing import Any

from dayshift.train.synth.blender.shapes import Point
from dayshift.train.synth.blender.stage import Stage
from dayshift.train.synth.blender.wardrobe import Wardrobe
from dayshift.train.synth.classes import BICYCLE, PERSON, RIDER


def add_person(
    stage: Stage, rng: random.Random, wardrobe: Wardrobe, at: Point, speed: float = 0.0
) -> None:
    """Add a person who stands or walks along the street."""
    entity = stage.entity(PERSON)
    stage.move(at, 0.0 if speed >= 0 else 180.0, abs(speed))
    _figure(stage, rng, wardrobe, entity, 0.0, stride=0.22 if speed else 0.05)
    stage.still()


def add_cyclist(
    stage: Stage,
    rng: random.Random,
    wardrobe: Wardrobe,
    at: Point,
    heading_deg: float,
    speed: float,
) -> None:
    """Add a bicycle, with its rider where it moves."""
    bicycle = stage.entity(BICYCLE)
    stage.move(at, heading_deg, speed)
    for y in (-0.52, 0.52):
        _ring(stage, (0, y, 0.34), 0.33, wardrobe.tyre, bicycle)
    frame = rng.choice(wardrobe.cloth)
    for a, b in (
        ((0, -0.52, 0.34), (0, 0.1, 0.4)),
        ((0, 0.1, 0.4), (0, 0.45, 0.85)),
        ((0, 0.52, 0.34), (0, 0.42, 1.0)),
        ((0, -0.1, 0.9), (0, 0.1, 0.4)),
        ((-0.25, 0.42, 1.0), (0.25, 0.42, 1.0)),
    ):
        stage.tube(a, b, 0.025, frame, bicycle)
    if speed:
        _figure(stage, rng, wardrobe, stage.entity(RIDER), 0.28, stride=0.15)
        stage.boxes([(0, -0.6, 0.7, 0.06, 0.04, 0.05)], wardrobe.tail, bicycle)
    stage.still()


def _figure(
    stage: Stage, rng: random.Random, wardrobe: Wardrobe, entity: int, lift: float, *, stride: float
) -> None:
    coat, legs, skin = (rng.choice(c) for c in (wardrobe.cloth, wardrobe.cloth, wardrobe.skin))
    s = rng.uniform(0.92, 1.06)
    for x in (-0.1, 0.1):
        foot = (x, stride * (1 if x > 0 else -1), lift)
        stage.tube(foot, (x * 0.9, 0, lift + 0.85 * s), 0.075, legs, entity, end_radius=0.1)
        shoulder = (x * 2.2, 0, lift + 1.4 * s)
        hand = (x * 2.6, -stride * (1 if x > 0 else -1), lift + 0.85 * s)
        stage.tube(shoulder, hand, 0.06, coat, entity, end_radius=0.045)
    stage.tube((0, 0, lift + 0.82 * s), (0, 0, lift + 1.46 * s), 0.16, coat, entity, end_radius=0.2)
    stage.ball((0, 0, lift + 1.63 * s), (0.1, 0.12, 0.14), skin, entity)


def _ring(stage: Stage, at: Point, radius: float, material: Any, entity: int) -> None:
    n = 14
    points = [
        (
            at[0],
            at[1] + radius * math.cos(2 * math.pi * k / n),
            at[2] + radius * math.sin(2 * math.pi * k / n),
        )
        for k in range(n)
    ]
    for k in range(n):
        stage.tube(points[k], points[(k + 1) % n], 0.022, material, entity)
