"""Meshes under construction: the parts of one thing become one object, faster to render."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Corners = npt.NDArray[np.int32]
Faces = Sequence[Sequence[int]] | Corners

Point = tuple[float, float, float]

_ROUND = 12
_BALL_RINGS = 8
# Corners of a unit cube, and its six faces.
_CUBE = np.array([(i, j, k) for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (-0.5, 0.5)])
_CUBE_FACES = np.array(
    [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)], np.int32
)
_ANGLES = 2 * np.pi * np.arange(_ROUND)[:, None] / _ROUND
_BALL_FACES = [
    (
        i * _ROUND + j,
        (i + 1) * _ROUND + j,
        (i + 1) * _ROUND + (j + 1) % _ROUND,
        i * _ROUND + (j + 1) % _ROUND,
    )
    for i in range(_BALL_RINGS)
    for j in range(_ROUND)
]


@dataclass(frozen=True)
class Place:
    """A placement: points turned counter-clockwise about z, then moved to `at`."""

    at: Point
    heading_deg: float

    def __call__(self, point: Point) -> Point:
        """Return where a point comes to lie."""
        x, y, z = self.all(np.array([point]))[0].tolist()
        return x, y, z

    def all(self, points: Points) -> Points:
        """Return where points (N, 3) come to lie."""
        c, s = math.cos(math.radians(self.heading_deg)), math.sin(math.radians(self.heading_deg))
        turn = np.array([(c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)])
        return np.asarray(points @ turn + np.array(self.at), np.float64)


class Shape:
    """One mesh: parts, each with its material."""

    def __init__(self) -> None:
        self._points: list[Points] = []
        self._corners: list[Corners] = []
        self._sizes: list[Corners] = []  # corners of each face
        self._slots: list[Corners] = []
        self._smooth: list[npt.NDArray[np.bool_]] = []
        self._materials: dict[str, Any] = {}
        self._count = 0

    def add(self, points: Points, faces: Faces, material: Any, *, smooth: bool) -> None:
        """Add points (N, 3) and faces, which count from the first of these points."""
        sizes = np.array([len(face) for face in faces], np.int32)
        corners = np.fromiter(chain.from_iterable(faces), np.int32)
        self._materials.setdefault(material.name, material)
        slot = list(self._materials).index(material.name)
        self._points.append(points)
        self._corners.append(corners + np.int32(self._count))
        self._sizes.append(sizes)
        self._slots.append(np.full(len(sizes), slot, np.int32))
        self._smooth.append(np.full(len(sizes), smooth))
        self._count += len(points)

    def to_mesh(self) -> Any:
        """Return Blender's mesh of all parts."""
        corners, sizes = np.concatenate(self._corners), np.concatenate(self._sizes)
        made = bpy.data.meshes.new("mesh")
        made.vertices.add(self._count)
        made.vertices.foreach_set("co", np.concatenate(self._points).astype(np.float32).ravel())
        made.loops.add(len(corners))
        made.loops.foreach_set("vertex_index", corners)
        made.polygons.add(len(sizes))
        starts = (np.cumsum(sizes) - sizes).astype(np.int32)
        made.polygons.foreach_set("loop_start", starts)
        made.polygons.foreach_set("material_index", np.concatenate(self._slots))
        made.polygons.foreach_set("use_smooth", np.concatenate(self._smooth))
        for material in self._materials.values():
            made.materials.append(material)
        made.update(calc_edges=True)
        return made


def cubes(items: Sequence[Sequence[float]]) -> tuple[Points, Corners]:
    """Return points and faces of boxes (x, y, z of the centre, three full sizes)."""
    boxes = np.array(items, np.float64)
    points = boxes[:, None, :3] + _CUBE * boxes[:, None, 3:]
    first = 8 * np.arange(len(boxes), dtype=np.int32)
    return points.reshape(-1, 3), (_CUBE_FACES + first[:, None, None]).reshape(-1, 4)


def tube(start: Point, end: Point, radius: float, end_radius: float) -> tuple[Points, Faces]:
    """Return points and faces of a closed cylinder or cone between two points."""
    a, b = np.array(start), np.array(end)
    axis = (b - a) / np.linalg.norm(b - a)
    helper = (1.0, 0.0, 0.0) if abs(axis[2]) > 0.9 else (0.0, 0.0, 1.0)
    u = np.cross(axis, helper)
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    ring = np.cos(_ANGLES) * u + np.sin(_ANGLES) * v
    n = _ROUND
    faces: list[Sequence[int]] = [(k, (k + 1) % n, n + (k + 1) % n, n + k) for k in range(n)]
    faces += [range(n - 1, -1, -1), range(n, 2 * n)]
    return np.concatenate([a + radius * ring, b + end_radius * ring]), faces


def ball(at: Point, size: Point, swell: Callable[[], float]) -> tuple[Points, Faces]:
    """Return points and faces of an ellipsoid with radii `size`, each point moved by `swell`."""
    points: list[Point] = []
    for i in range(_BALL_RINGS + 1):
        t = math.pi * i / _BALL_RINGS
        for j in range(_ROUND):
            p = 2 * math.pi * j / _ROUND
            k = swell()
            ring = k * math.sin(t)
            x, y, z = ring * math.cos(p), ring * math.sin(p), k * math.cos(t)
            points.append((at[0] + size[0] * x, at[1] + size[1] * y, at[2] + size[2] * z))
    return np.array(points), _BALL_FACES
