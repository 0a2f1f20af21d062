"""What the sky and the lamps do at a time of day t: 0 is day, 1 is night.

    t     0      0.25      0.5     0.75       1
          day    golden    dusk    blue hour  night
    sun   plan   5 deg     -2.5    -6         -18

Light is linear: a picture is the sky's light at t plus the lamps' light, and how many lamps burn is
a second parameter. Only what the sun does needs a rendering for every t.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from dayshift.runtime.errors import UsageError
from dayshift.train.synth.plan import ScenePlan

TIMES = {"day": 0.0, "golden": 0.25, "dusk": 0.5, "blue": 0.75, "night": 1.0}

_SUN_OF = ((0.25, 5.0), (0.5, -2.5), (0.75, -6.0), (1.0, -18.0))
# Below this the sky's own gradient is gone, and an even dome does.
LOWEST_SUN_DEG = -5.0

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Hour:
    """A time of day, and how much artificial light burns.

    Attributes:
        t: 0 (day) to 1 (night).
        lamps: Share of the lamps that burn, 0 to 1; None is what the time has by itself.
    """

    t: float
    lamps: float | None = None


@dataclass(frozen=True)
class Illumination:
    """The light of one moment.

    Attributes:
        sun_deg: The sun's elevation; None where an even dome gives all the sky's light.
        sky: Linear RGB that the sky's rendering is multiplied by.
        lamps: How much of the artificial light is on, 0 to 1.
        ev: Stops of exposure.
    """

    sun_deg: float | None
    sky: RGB
    lamps: float
    ev: float


def parse_times(text: str) -> dict[str, Hour]:
    """Read hours such as "day,dusk,0.6,night@0.3"; the keys are the names of their folders.

    An hour is a name of `TIMES`, or t, whose folder is then t0600. A share of the lamps may follow
    after an @: night@0.3 goes to night-lamps030.

    Raises:
        UsageError: An hour is neither.
    """
    times: dict[str, Hour] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        time, at, share = word.partition("@")
        t, lamps = TIMES.get(time, _share(time)), _share(share) if at else None
        if t is None or (at and lamps is None):
            raise UsageError(
                f"got hour {word!r}: expected {', '.join(TIMES)}, or a number from 0 (day) to 1 "
                "(night); a share of the lamps may follow: night@0.3"
            )
        name = time if time in TIMES else f"t{round(t * 1000):04d}"
        times[name if lamps is None else f"{name}-lamps{round(lamps * 100):03d}"] = Hour(t, lamps)
    if not times:
        raise UsageError(f"got no hours: expected some of {', '.join(TIMES)}")
    return times


def _share(text: str) -> float | None:
    """Return a number from 0 to 1, or None where the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def sun_elevation_deg(plan: ScenePlan, t: float) -> float:
    """Return the sun's elevation, straight lines between the hours of the table."""
    points = ((0.0, plan.weather.sun_elevation_deg), *_SUN_OF)
    for (t0, e0), (t1, e1) in pairwise(points):
        if t <= t1:
            return e0 + (e1 - e0) * (t - t0) / (t1 - t0)
    return points[-1][1]


def lamps_at(t: float) -> float:
    """Return the share of the lamps that burn by default: none by day, all from the blue hour."""
    return min(1.0, max(0.0, (t - 0.3) / 0.4))


def illumination(plan: ScenePlan, t: float, lamps: float | None = None) -> Illumination:
    """Return the light of a scene at t.

    Args:
        plan: The scene.
        t: 0 (day) to 1 (night).
        lamps: Share of the artificial light, 0 to 1; by default what the hour has.
    """
    sun = sun_elevation_deg(plan, t)
    burning = lamps_at(t) if lamps is None else lamps
    ev = plan.camera.night_ev * max(0.0, (t - 0.35) / 0.65)
    if plan.weather.sky == "clear" and sun > LOWEST_SUN_DEG:
        return Illumination(sun, _gain(_CLEAR_LEVELS, t), burning, ev)
    return Illumination(None, _dome_colour(plan, t), burning, ev)


def sky_name(plan: ScenePlan, t: float) -> str:
    """Return the name of the sky that is rendered for t: one per sun, one dome for all others."""
    is_dome = illumination(plan, t).sun_deg is None
    return "dome" if is_dome else f"{round(t * 1000):04d}"


# Multiplies the sky texture, whose light falls by itself as the sun sets: a camera opens meanwhile.
_CLEAR_LEVELS = (
    (0.0, (0.17, 0.17, 0.17)),
    (0.25, (0.42, 0.42, 0.42)),
    (0.5, (3.0, 3.0, 3.2)),
    (0.75, (3.0, 3.0, 3.4)),
    (1.0, (3.0, 3.0, 3.4)),
)
_DOME_LEVELS = (
    (0.0, (1.05, 1.08, 1.1)),
    (0.25, (0.62, 0.6, 0.6)),
    (0.5, (0.17, 0.19, 0.24)),
    (0.75, (0.045, 0.06, 0.105)),
    (1.0, (0.011, 0.0135, 0.022)),
)


def _dome_colour(plan: ScenePlan, t: float) -> RGB:
    red, green, blue = _gain(_DOME_LEVELS, t)
    rng = plan.dice("night sky")
    glow, tint = rng.uniform(0.6, 1.6), rng.uniform(-0.3, 0.35)  # a city's light on the clouds
    share = max(0.0, (t - 0.5) / 0.5)
    scale = 1 + share * (glow - 1)
    return red * scale * (1 + share * tint), green * scale, blue * scale * (1 - share * tint)


def _gain(levels: tuple[tuple[float, RGB], ...], t: float) -> RGB:
    """Interpolate geometrically: light is seen by its ratios."""
    for (t0, a), (t1, b) in pairwise(levels):
        if t <= t1:
            w = (t - t0) / (t1 - t0)
            red, green, blue = (x ** (1 - w) * y**w for x, y in zip(a, b, strict=True))
            return red, green, blue
    return levels[-1][1]
