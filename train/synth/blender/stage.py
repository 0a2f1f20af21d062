"""The stage: an empty scene, its materials and lights, and the entities that stand on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np

from dayshift.train.synth.blender import shapes
from dayshift.train.synth.blender.shapes import Faces, Place, Point, Points, Shape
from dayshift.train.synth.plan import ScenePlan

Colour = tuple[float, float, float]
Box = tuple[float, float, float, float, float, float]


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
        self._shapes: dict[tuple[str, int], tuple[Any, Shape]] = {}

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
            if strength.default_value != value:  # else the renderer would take it for a change
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
            if lamp.energy != value:
                lamp.energy = value

        self.lights.append(Light(set_level, watts, always))

    # Shapes

    def mesh(
        self,
        points: Sequence[Point] | Points,
        faces: Faces,
        material: Any,
        entity: int,
        *,
        smooth: bool = False,
    ) -> None:
        """Add a mesh to what the entity has."""
        key = (self._parent.name if self._parent else "", entity)
        if key not in self._shapes:
            self._shapes[key] = (self._parent, Shape())
        self._shapes[key][1].add(np.asarray(points, np.float64), faces, material, smooth=smooth)

    def finish(self) -> None:
        """Put the shapes into the scene, one object for all of an entity."""
        for (_, entity), (parent, shape) in self._shapes.items():
            thing = bpy.data.objects.new("thing", shape.to_mesh())
            thing.pass_index = entity
            thing.parent = parent
            self.scene.collection.objects.link(thing)

    def boxes(
        self, items: Sequence[Box], material: Any, entity: int, place: Place | None = None
    ) -> None:
        """Add boxes (x, y, z of the centre, three full sizes); `place` maps points."""
        if items:
            points, faces = shapes.cubes(items)
            self.mesh(place.all(points) if place else points, faces, material, entity)

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
        points, faces = shapes.tube(
            start, end, radius, radius if end_radius is None else end_radius
        )
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
        points, faces = shapes.ball(
            at, size, lambda: rng.uniform(1 - rough, 1 + rough) if rng else 1.0
        )
        self.mesh(points, faces, material, entity, smooth=True)
