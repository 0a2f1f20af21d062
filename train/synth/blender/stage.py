"""The stage: an empty scene, its materials and lights, and the entities that stand on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy

from dayshift.train.synth.plan import ScenePlan

Point = tuple[float, float, float]
Colour = tuple[float, float, float]
Box = tuple[float, float, float, float, float, float]
Place = Callable[[Point], Point]

_CUBE = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_ROUND = 12


@dataclass(frozen=True)
class Light:
    """Something that shines, and how much of it does when all lamps are on.

    `always` shines at any hour, as signals do. The others are the lamps.
    """

    set_level: Callable[[float], None]
    level: float
    always: bool


@dataclass(frozen=True)
class Entity:
    """What the index layer's number stands for."""

    number: int
    class_id: int
    facts: dict[str, Any] = field(default_factory=dict)


class Stage:
    """A scene under construction.

    Args:
        plan: Its dice decide what is not said.
    """

    def __init__(self, plan: ScenePlan) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.plan = plan
        self.scene = bpy.context.scene
        self.entities: list[Entity] = []
        self.lights: list[Light] = []
        self.movers: list[tuple[Any, Point]] = []  # object and metres a second
        self._parent: Any = None

    def entity(self, class_id: int, **facts: Any) -> int:
        """Return the number of a new entity."""
        self.entities.append(Entity(len(self.entities) + 1, class_id, facts))
        return len(self.entities)

    def move(self, at: Point, heading_deg: float, speed: float) -> None:
        """Put what is added next on an empty object that moves ahead; `still` ends that."""
        heading = math.radians(heading_deg)
        self._parent = bpy.data.objects.new("mover", None)
        self._parent.location = at
        self._parent.rotation_euler = (0.0, 0.0, heading)
        self.scene.collection.objects.link(self._parent)
        velocity = (-speed * math.sin(heading), speed * math.cos(heading), 0.0)
        self.movers.append((self._parent, velocity))

    def still(self) -> None:
        """Add what follows to the scene itself again."""
        self._parent = None

    # Materials

    def material(
        self, colour: Colour, rough: float = 0.75, *, metallic: float = 0.0, name: str = "m"
    ) -> Any:
        """Return a new surface; colour is linear RGB reflectance."""
        made = bpy.data.materials.new(name)
        made.use_nodes = True
        shader = made.node_tree.nodes["Principled BSDF"]
        shader.inputs["Base Color"].default_value = (*colour, 1)
        shader.inputs["Roughness"].default_value = rough
        shader.inputs["Metallic"].default_value = metallic
        return made

    def grained(
        self, colour: Colour, rough: float, *, scale: float, depth: float = 0.25, gloss: float = 0.0
    ) -> Any:
        """Return a surface whose colour and, with `gloss`, roughness vary like asphalt or grass."""
        made = self.material(colour, rough)
        tree = made.node_tree
        shader = tree.nodes["Principled BSDF"]
        noise = tree.nodes.new("ShaderNodeTexNoise")
        noise.inputs["Scale"].default_value = scale
        noise.inputs["Detail"].default_value = 6
        where = tree.nodes.new("ShaderNodeTexCoord")
        tree.links.new(where.outputs["Object"], noise.inputs["Vector"])
        ramp = tree.nodes.new("ShaderNodeValToRGB")
        low, high = (tuple(c * k for c in colour) for k in (1 - depth, 1 + depth))
        ramp.color_ramp.elements[0].color = (*low, 1)
        ramp.color_ramp.elements[1].color = (*high, 1)
        tree.links.new(noise.outputs["Fac"], ramp.inputs["Fac"])
        tree.links.new(ramp.outputs["Color"], shader.inputs["Base Color"])
        if gloss:
            span = tree.nodes.new("ShaderNodeMapRange")
            span.inputs["From Min"].default_value = 0.42
            span.inputs["From Max"].default_value = 0.58
            span.inputs["To Min"].default_value = max(0.04, rough - gloss)
            span.inputs["To Max"].default_value = rough
            tree.links.new(noise.outputs["Fac"], span.inputs["Value"])
            tree.links.new(span.outputs["Result"], shader.inputs["Roughness"])
        return made

    def shining(
        self,
        colour: Colour,
        level: float,
        *,
        dark: Colour = (0.05, 0.05, 0.05),
        rough: float = 0.25,
        always: bool = False,
    ) -> Any:
        """Return a surface that shines in `colour`, and looks `dark` when it does not."""
        made = self.material(dark, rough)
        shader = made.node_tree.nodes["Principled BSDF"]
        shader.inputs["Emission Color"].default_value = (*colour, 1)
        strength = shader.inputs["Emission Strength"]

        def set_level(value: float) -> None:
            strength.default_value = value

        set_level(0.0)
        self.lights.append(Light(set_level, level, always))
        return made

    def spot(
        self,
        at: Point,
        colour: Colour,
        watts: float,
        *,
        pitch_deg: float = 0.0,
        heading_deg: float = 0.0,
        opening_deg: float = 125.0,
        always: bool = False,
    ) -> None:
        """Add a lamp that shines down, or forward with a pitch of 90."""
        lamp = bpy.data.lights.new("spot", "SPOT")
        lamp.color = colour
        lamp.energy = 0.0
        lamp.spot_size = math.radians(opening_deg)
        lamp.spot_blend = 0.6
        lamp.shadow_soft_size = 0.12
        thing = bpy.data.objects.new("spot", lamp)
        thing.location = at
        thing.rotation_euler = (math.radians(pitch_deg), 0.0, math.radians(heading_deg))
        thing.parent = self._parent
        self.scene.collection.objects.link(thing)

        def set_level(value: float) -> None:
            lamp.energy = value

        self.lights.append(Light(set_level, watts, always))

    # Shapes

    def mesh(
        self,
        points: Sequence[Point],
        faces: Sequence[Sequence[int]],
        material: Any,
        entity: int,
        *,
        smooth: bool = False,
    ) -> None:
        """Add a mesh."""
        data = bpy.data.meshes.new("mesh")
        data.from_pydata(points, [], faces)
        data.materials.append(material)
        if smooth:
            data.shade_smooth()
        thing = bpy.data.objects.new("thing", data)
        thing.pass_index = entity
        thing.parent = self._parent
        self.scene.collection.objects.link(thing)

    def boxes(
        self, items: Sequence[Box], material: Any, entity: int, place: Place | None = None
    ) -> None:
        """Add boxes (x, y, z of the centre, three full sizes) as one mesh; `place` maps points."""
        points: list[Point] = []
        faces: list[tuple[int, ...]] = []
        for x, y, z, a, b, c in items:
            first = len(points)
            for i in (-0.5, 0.5):
                for j in (-0.5, 0.5):
                    for k in (-0.5, 0.5):
                        point = (x + i * a, y + j * b, z + k * c)
                        points.append(place(point) if place else point)
            faces += [tuple(first + corner for corner in face) for face in _CUBE]
        if points:
            self.mesh(points, faces, material, entity)

    def tube(
        self,
        start: Point,
        end: Point,
        radius: float,
        material: Any,
        entity: int,
        *,
        end_radius: float | None = None,
    ) -> None:
        """Add a closed cylinder or cone between two points."""
        axis = [b - a for a, b in zip(start, end, strict=True)]
        length = math.sqrt(sum(c * c for c in axis))
        axis = [c / length for c in axis]
        helper = (1.0, 0.0, 0.0) if abs(axis[2]) > 0.9 else (0.0, 0.0, 1.0)
        u = _unit(_cross(axis, helper))
        v = _cross(axis, u)
        points: list[Point] = []
        for centre, r in ((start, radius), (end, radius if end_radius is None else end_radius)):
            for k in range(_ROUND):
                a = 2 * math.pi * k / _ROUND
                p = [centre[i] + r * (math.cos(a) * u[i] + math.sin(a) * v[i]) for i in range(3)]
                points.append((p[0], p[1], p[2]))
        n = _ROUND
        faces: list[Sequence[int]] = [(k, (k + 1) % n, n + (k + 1) % n, n + k) for k in range(n)]
        faces += [range(n - 1, -1, -1), range(n, 2 * n)]
        self.mesh(points, faces, material, entity)

    def ball(
        self,
        at: Point,
        size: Point,
        material: Any,
        entity: int,
        *,
        rough: float = 0.0,
        part: str = "ball",
    ) -> None:
        """Add an ellipsoid with radii `size`; `rough` moves its points by that share."""
        rng = self.plan.dice(f"{part} {at}") if rough else None
        rings, n = 8, _ROUND
        points: list[Point] = []
        for i in range(rings + 1):
            t = math.pi * i / rings
            for j in range(n):
                p = 2 * math.pi * j / n
                k = rng.uniform(1 - rough, 1 + rough) if rng else 1.0
                ring = k * math.sin(t)
                points.append(
                    (
                        at[0] + size[0] * ring * math.cos(p),
                        at[1] + size[1] * ring * math.sin(p),
                        at[2] + size[2] * k * math.cos(t),
                    )
                )
        faces = [
            (i * n + j, (i + 1) * n + j, (i + 1) * n + (j + 1) % n, i * n + (j + 1) % n)
            for i in range(rings)
            for j in range(n)
        ]
        self.mesh(points, faces, material, entity, smooth=True)


def turned(at: Point, heading_deg: float) -> Place:
    """Return a placement: points turned counter-clockwise about z, then moved to `at`."""
    c, s = math.cos(math.radians(heading_deg)), math.sin(math.radians(heading_deg))
    return lambda p: (at[0] + c * p[0] - s * p[1], at[1] + s * p[0] + c * p[1], at[2] + p[2])


def _cross(a: Sequence[float], b: Sequence[float]) -> Point:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def _unit(a: Sequence[float]) -> Point:
    length = math.sqrt(sum(c * c for c in a))
    return a[0] / length, a[1] / length, a[2] / length
