"""What stands in a scene and what looks at it: drawn from the scene's seed alone.

Shared by Blender's process and ours, so it needs nothing but Python. Every part draws from a
generator of its own, named after it: a change of one part leaves the others of all scenes as
they were.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Kind = Literal["city", "suburb", "highway", "square", "bridge", "tunnel", "parking", "harbour"]
Mount = Literal["dashcam", "webcam", "cctv", "pedestrian", "window"]
Sky = Literal["clear", "overcast"]
Ground = Literal["dry", "wet", "snow"]

KINDS: tuple[Kind, ...] = get_args(Kind)
# How often each is drawn. Streets are what cameras see most.
_KIND_SHARES = (30, 16, 14, 9, 8, 7, 8, 8)
_LAMP_COLOURS = ((1.0, 0.58, 0.24), (1.0, 0.72, 0.42), (1.0, 0.86, 0.68), (0.88, 0.94, 1.0))


@dataclass(frozen=True)
class Weather:
    """Sky and ground.

    Attributes:
        sky: Clear has a sun and shadows, overcast has neither.
        cloud: Share of a clear sky that clouds cover, 0 to 1.
        ground: Wet shines, snow is white.
        haze: Extinction per metre; 0.005 hides half of what is 140 m away.
        sun_elevation_deg: At t = 0.
        sun_azimuth_deg: Clockwise from where the street leads to.
    """

    sky: Sky
    cloud: float
    ground: Ground
    haze: float
    sun_elevation_deg: float
    sun_azimuth_deg: float


@dataclass(frozen=True)
class CameraPlan:
    """Where the camera is and what it does to a picture.

    Attributes:
        mount: What kind of camera it is.
        position: Metres: right of the street's middle, along it, above the ground.
        pitch_deg: Above the horizon; negative looks down.
        yaw_deg: To the left of the street's direction.
        roll_deg: Counter-clockwise.
        fov_deg: Horizontal field of view.
        distortion: k1 of the radial model; negative is a barrel.
        noise: Standard deviation at night of a grey of 0.5, in [0, 1] display units.
        bloom: Share of the light that the lens scatters.
        night_ev: Stops that automatic exposure adds at night.
        speed: Metres a second along the street, in sequences.
    """

    mount: Mount
    position: tuple[float, float, float]
    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    fov_deg: float
    distortion: float
    noise: float
    bloom: float
    night_ev: float
    speed: float


@dataclass(frozen=True)
class ScenePlan:
    """A scene.

    Attributes:
        seed: What everything is drawn from.
        kind: What place it is.
        lanes: Of the carriageway, both directions together.
        weather: Sky and ground.
        camera: What looks at it.
        lamp_colour: Linear RGB of the street lamps.
        lit_share: Share of the windows with light at night.
        traffic: Cars per 10 m of lane, about.
    """

    seed: int
    kind: Kind
    lanes: int
    weather: Weather
    camera: CameraPlan
    lamp_colour: tuple[float, float, float]
    lit_share: float
    traffic: float

    def dice(self, part: str) -> random.Random:
        """Return the generator of a part of this scene."""
        return dice(self.seed, part)

    @property
    def half_width(self) -> float:
        """Return half of the carriageway's width in metres."""
        return self.lanes * 1.75 + 0.5

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return asdict(self)


def dice(seed: int, part: str) -> random.Random:
    """Return the generator of a part: the same on every machine and Python."""
    return random.Random(f"{seed}/{part}")  # strings are hashed by SHA-512, not by `hash`


def draw_plan(seed: int) -> ScenePlan:
    """Draw a scene."""
    rng = dice(seed, "scene")
    kind = rng.choices(KINDS, _KIND_SHARES)[0]
    wide = kind in ("highway", "bridge", "tunnel")
    lanes = rng.choice((4, 6)) if kind == "highway" else rng.choice((2, 4) if wide else (2, 2, 4))
    return ScenePlan(
        seed=seed,
        kind=kind,
        lanes=lanes,
        weather=_draw_weather(dice(seed, "weather")),
        camera=_draw_camera(dice(seed, "camera"), kind, lanes * 1.75 + 0.5),
        lamp_colour=rng.choice(_LAMP_COLOURS),
        lit_share=rng.uniform(0.12, 0.5),
        traffic=rng.uniform(0.05, 0.5),
    )


def _draw_weather(rng: random.Random) -> Weather:
    overcast = rng.random() < 0.4
    ground: Ground = rng.choices(("dry", "wet", "snow"), (66, 26, 8))[0]
    return Weather(
        sky="overcast" if overcast else "clear",
        cloud=0.0 if overcast else rng.choice((0.0, rng.uniform(0.2, 0.7))),
        ground=ground,
        haze=rng.choices((0.0005, rng.uniform(0.002, 0.008)), (75, 25))[0],
        sun_elevation_deg=rng.uniform(15, 62),
        sun_azimuth_deg=rng.uniform(0, 360),
    )


def _draw_camera(rng: random.Random, kind: Kind, half: float) -> CameraPlan:
    mounts: tuple[Mount, ...] = get_args(Mount)
    shares = (60, 12, 28, 0, 0) if kind in ("highway", "tunnel") else (34, 14, 20, 20, 12)
    mount = rng.choices(mounts, shares)[0]
    x, z, pitch, yaw, fov, k1 = _draw_view(rng, mount, half)
    speed = rng.uniform(6, 16) if mount == "dashcam" else 0.0
    u = rng.uniform
    return CameraPlan(
        mount=mount,
        position=(x, -12.0, z),
        pitch_deg=pitch,
        yaw_deg=yaw,
        roll_deg=u(-1.2, 1.2),
        fov_deg=fov,
        distortion=k1,
        noise=u(0.003, 0.018),
        bloom=u(0.02, 0.12),
        night_ev=u(0.0, 0.8),
        speed=speed,
    )


def _draw_view(rng: random.Random, mount: Mount, half: float) -> tuple[float, ...]:
    """Return x, z, pitch, yaw, field of view and distortion; see `CameraPlan`."""
    u = rng.uniform
    side = rng.choice((-1, 1))
    match mount:
        case "dashcam":
            return u(1.2, half - 1), u(1.2, 1.6), u(-4, 1), u(-4, 4), u(58, 95), u(-0.12, 0)
        case "webcam":
            x = side * u(0, half + 3)
            return x, u(8, 18), u(-22, -9), u(-14, 14), u(55, 85), u(-0.08, 0)
        case "cctv":
            x = side * (half + 1)
            return x, u(5, 9), u(-20, -8), side * u(2, 18), u(50, 90), u(-0.18, -0.02)
        case "pedestrian":
            x = side * (half + u(0.8, 2.4))
            return x, u(1.5, 1.8), u(-4, 5), side * u(-2, 16), u(45, 75), 0.0
        case "window":
            x = side * (half + 2.5)
            return x, u(6, 14), u(-20, -6), side * u(6, 28), u(45, 70), 0.0
