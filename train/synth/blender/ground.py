"""Roads, pavements, markings, water, and what lies on them: wet or snow."""

from __future__ import annotations

from typing import Any

from dayshift.train.synth.blender.stage import Box, Stage
from dayshift.train.synth.classes import GROUND, ROAD, SIDEWALK, TERRAIN

START, END = -40.0, 220.0
_LENGTH, _MIDDLE = END - START, (END + START) / 2
_SNOW = (0.72, 0.75, 0.8)


def add_road(stage: Stage, *, marks: bool = True, lit_crossing: bool = False) -> None:
    """Add the carriageway and its markings."""
    plan, rng = stage.plan, stage.plan.dice("road")
    half = plan.half_width
    grey = rng.uniform(0.035, 0.1)
    stage.boxes(
        [(0, _MIDDLE, -0.1, 2 * half, _LENGTH, 0.2)], road_surface(stage, grey), stage.entity(ROAD)
    )
    if marks and plan.weather.ground != "snow":
        white = stage.material((0.7, 0.7, 0.67), 0.6)
        stage.boxes(_markings(plan.lanes, half), white, stage.entity(ROAD, marking=True))
    if lit_crossing:
        y = rng.uniform(8, 38)
        bars = [
            (-half + 0.7 + i * 1.1, y, 0.012, 0.55, 3.0, 0.02) for i in range(int(2 * half / 1.1))
        ]
        stage.boxes(bars, stage.material((0.7, 0.7, 0.67), 0.6), stage.entity(ROAD, marking=True))


def road_surface(stage: Stage, grey: float) -> Any:
    """Return asphalt: dry, wet with puddles, or under packed snow."""
    ground = stage.plan.weather.ground
    if ground == "snow":
        return stage.grained((0.35, 0.36, 0.38), 0.8, scale=0.6, depth=0.5)
    if ground == "wet":
        return stage.grained((grey * 0.7,) * 3, 0.38, scale=0.35, depth=0.25, gloss=0.33)
    return stage.grained((grey, grey, grey * 1.04), 0.8, scale=2.5, depth=0.18)


def _markings(lanes: int, half: float) -> list[Box]:
    marks: list[Box] = [(s * (half - 0.3), _MIDDLE, 0.01, 0.12, _LENGTH, 0.02) for s in (-1, 1)]
    marks += [(0, START + i * 6, 0.01, 0.14, 2.8, 0.02) for i in range(int(_LENGTH / 6))]
    for k in range(1, lanes // 2):
        marks += [
            (s * k * 3.5, START + i * 9, 0.01, 0.12, 3, 0.02)
            for i in range(int(_LENGTH / 9))
            for s in (-1, 1)
        ]
    return marks


def add_pavement(stage: Stage, *, width: float) -> None:
    """Add a raised pavement with a kerb on both sides."""
    rng, half = stage.plan.dice("pavement"), stage.plan.half_width
    tone = rng.uniform(0.2, 0.4)
    surface = soft_ground(stage, (tone, tone * 0.98, tone * 0.94), scale=3)
    kerb = stage.material((tone * 1.2,) * 3, 0.8)
    entity = stage.entity(SIDEWALK)
    x = half + width / 2
    stage.boxes([(s * x, _MIDDLE, 0.02, width, _LENGTH, 0.24) for s in (-1, 1)], surface, entity)
    stage.boxes(
        [(s * (half + 0.08), _MIDDLE, 0.03, 0.16, _LENGTH, 0.25) for s in (-1, 1)], kerb, entity
    )


def add_floor(stage: Stage, kind: str, *, z: float = -0.16) -> None:
    """Add the land around: "grass", "paved" or "water"."""
    rng = stage.plan.dice("floor")
    u = rng.uniform
    if kind == "grass":
        surface = soft_ground(
            stage, (u(0.05, 0.11), u(0.1, 0.18), u(0.02, 0.05)), scale=1.2, depth=0.45
        )
        number = stage.entity(TERRAIN)
    elif kind == "paved":
        tone = u(0.18, 0.36)
        surface, number = (
            soft_ground(stage, (tone, tone * 0.98, tone * 0.94), scale=2),
            stage.entity(SIDEWALK),
        )
    else:
        surface, number = (
            stage.material((0.015, 0.03, 0.035), 0.09),
            stage.entity(GROUND, water=True),
        )
        _ripple(stage, surface)
    stage.boxes([(0, 700, z, 2400, 1600, 0.1)], surface, number)  # to the horizon


def soft_ground(
    stage: Stage, colour: tuple[float, float, float], *, scale: float, depth: float = 0.15
) -> Any:
    """Return ground beside the road: white under snow, darker and shinier when wet."""
    ground = stage.plan.weather.ground
    if ground == "snow":
        return stage.grained(_SNOW, 0.9, scale=scale, depth=0.08)
    if ground == "wet":
        dark = (colour[0] * 0.75, colour[1] * 0.75, colour[2] * 0.75)
        return stage.grained(dark, 0.5, scale=scale, depth=depth, gloss=0.25)
    return stage.grained(colour, 0.9, scale=scale, depth=depth)


def _ripple(stage: Stage, surface: Any) -> None:
    tree = surface.node_tree
    shader = tree.nodes["Principled BSDF"]
    noise, bump = tree.nodes.new("ShaderNodeTexNoise"), tree.nodes.new("ShaderNodeBump")
    where = tree.nodes.new("ShaderNodeTexCoord")
    noise.inputs["Scale"].default_value = 0.7
    bump.inputs["Strength"].default_value = 0.25
    tree.links.new(where.outputs["Object"], noise.inputs["Vector"])
    tree.links.new(noise.outputs["Fac"], bump.inputs["Height"])
    tree.links.new(bump.outputs["Normal"], shader.inputs["Normal"])
