"""From rendered layers to pictures and ground truth, as a camera would take them.

A layer is linear light. A picture at time t is sky(t) * its level + lamps * how many burn, seen
through haze, lens (bloom, distortion), exposure, a film curve and the sensor's noise. The truth
goes through the lens too, so that both stay aligned to the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.image import Pixels
from dayshift.train.synth.light import Hour, illumination, sky_name
from dayshift.train.synth.plan import CameraPlan, ScenePlan, dice

try:
    import OpenEXR
except ImportError as error:
    raise missing_dependency("OpenEXR", error) from error

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

# Beyond this lies the sky; Blender writes 1e10 there.
FAR_M = 900.0
_BLOOM_SIGMAS = (0.006, 0.02, 0.06)  # of the picture's width
# Automatic exposure brings the mean towards this, by day and by night, but only part of the way and
# within limits in stops: a snowy day stays brighter than a dark street.
_METER_DAY, _METER_NIGHT = 0.2, 0.07
_METER_SHARE, _METER_LIMITS_EV = 0.7, (-2.2, 2.0)


@dataclass(frozen=True)
class Truth:
    """What is where in a frame, through the lens.

    Attributes:
        numbers: Entity numbers (H, W); 0 is the sky.
        depth: Metres along the view axis (H, W), float32; infinite in the sky.
        flow: Where each pixel goes in the next frame: (H, W, 2), x and y in pixels; None where
            there is no other frame.
    """

    numbers: Integers
    depth: Floats
    flow: Floats | None


class Negative:
    """The layers of one frame, read from a worker's folder.

    Args:
        folder: With truth, lamps and sky layers as EXR files.
        plan: The scene's.
        frame: Counted from 1.
    """

    def __init__(self, folder: Path, plan: ScenePlan, frame: int = 1) -> None:
        self._folder = folder
        self._plan = plan
        self._frame = frame
        self._lamps = self._colour("lamps")
        self._skies: dict[str, Floats] = {}
        height, width = self._lamps.shape[:2]
        self._lens = Lens(plan.camera, width, height)
        raw = _read(folder / f"truth.{frame:03d}.exr")
        self._depth = np.where(raw["Depth.Z"] < FAR_M, raw["Depth.Z"], np.inf).astype(np.float32)
        self._numbers = np.rint(raw["Object Index.X"]).astype(np.int32)
        # Blender's vector points from where a pixel comes (X, Y) and to where it goes (Z, W), the
        # second one backwards; its y grows upwards.
        self._flow: Floats | None = None
        if "Vector.Z" in raw:
            self._flow = np.stack([-raw["Vector.Z"], raw["Vector.W"]], axis=-1)

    def truth(self) -> Truth:
        """Return the ground truth through the lens."""
        return Truth(
            numbers=self._lens.nearest(self._numbers),
            depth=self._lens.nearest(self._depth),
            flow=None if self._flow is None else self._lens.flow(self._flow),
        )

    def picture(self, hour: Hour) -> Pixels:
        """Return the frame as uint8 BGR (H, W, 3); the hour's sky must have been rendered.

        The exposure is the one for the lamps that the time has by itself: turning them down
        darkens the picture and nothing else.
        """
        plan, t = self._plan, hour.t
        light = illumination(plan, t)
        name = sky_name(plan, t)
        if name not in self._skies:
            self._skies[name] = self._colour(f"sky.{name}")
        sky = self._skies[name] * np.array(light.sky, np.float32)
        linear = self._through_air(sky + self._lamps * np.float32(light.lamps))
        ev = light.ev + _metered_ev(linear, t)
        if hour.lamps is not None:
            linear = self._through_air(sky + self._lamps * np.float32(hour.lamps))
        night = max(0.0, (t - 0.3) / 0.7)
        return self._develop(linear, ev, plan.camera.noise * night, f"noise {t}")

    def lamps_alone(self) -> Pixels:
        """Return what all lamps add, exposed as by night without a sky: uint8 BGR (H, W, 3)."""
        ev = illumination(self._plan, 1.0).ev + _metered_ev(self._lamps, 1.0)
        return self._develop(self._lamps, ev, 0.0, "")

    def _colour(self, name: str) -> Floats:
        raw = _read(self._folder / f"{name}.{self._frame:03d}.exr")
        return np.stack([raw[f"Combined.{c}"] for c in "RGB"], axis=-1)

    def _through_air(self, linear: Floats) -> Floats:
        """Veil the distance: what is lost on the way is replaced by the light of the air."""
        seen = np.exp(-self._plan.weather.haze * np.minimum(self._depth, FAR_M))[..., None]
        is_sky = np.isinf(self._depth)
        source = linear[is_sky] if is_sky.any() else linear.reshape(-1, 3)
        air = np.median(source, axis=0) * 0.85
        # The sky already is the light of all the air before it.
        return np.asarray(
            np.where(is_sky[..., None], linear, linear * seen + air * (1 - seen)), np.float32
        )

    def _develop(self, linear: Floats, ev: float, noise: float, part: str) -> Pixels:
        glare = sum(blurred(linear, sigma * linear.shape[1]) for sigma in _BLOOM_SIGMAS)
        share = self._plan.camera.bloom
        light = linear * (1 - share) + np.asarray(glare, np.float32) * (share / len(_BLOOM_SIGMAS))
        # Bent after the film: beside the sun, cubic weights of its linear light are black rings.
        display = self._lens.smooth(_film(light * np.float32(2.0**ev)))
        if noise:
            rng = np.random.default_rng(dice(self._plan.seed, part).getrandbits(64))
            grain = rng.normal(0, noise, display.shape).astype(np.float32)
            # Sensors filter their noise: it is softer than single pixels, and strongest in greys.
            display += cv2.GaussianBlur(grain, (0, 0), 0.6) * 1.6 * np.sqrt(display + 0.05)
        levels = np.clip(np.rint(display * 255), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels[..., ::-1])


class Lens:
    """Radial distortion r_source = r * (1 - k1 r^2) / (1 - k1), r = 1 in the corners.

    The corners stay where they are, so nothing of the picture is empty.
    """

    def __init__(self, camera: CameraPlan, width: int, height: int) -> None:
        self._k1 = camera.distortion
        self._centre = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
        self._radius = float(np.hypot(*self._centre))
        y, x = np.mgrid[:height, :width].astype(np.float32)
        self._points = np.stack([x, y], axis=-1)
        self._source = self._to_source(self._points)

    def smooth(self, image: npt.NDArray[Any]) -> Floats:
        """Distort an image."""
        if not self._k1:
            return np.asarray(image, np.float32)
        x, y = self._source[..., 0], self._source[..., 1]
        seen = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.float32).clip(0)

    def nearest(self, image: Any) -> Any:
        """Distort without mixing values."""
        if not self._k1:
            return image
        rows, columns = (np.rint(self._source[..., axis]).astype(int) for axis in (1, 0))
        height, width = image.shape[:2]
        return image[rows.clip(0, height - 1), columns.clip(0, width - 1)]

    def flow(self, flow: Floats) -> Floats:
        """Distort a flow: its places and its arrows."""
        if not self._k1:
            return flow
        goal = self._source + self.nearest(flow)
        return np.asarray(self._from_source(goal) - self._points, np.float32)

    def _to_source(self, points: Floats) -> Floats:
        offset = (points - self._centre) / self._radius
        r2 = (offset**2).sum(axis=-1, keepdims=True)
        scaled = offset * (1 - self._k1 * r2) / (1 - self._k1)
        return np.asarray(scaled * self._radius + self._centre, np.float32)

    def _from_source(self, points: Floats) -> Floats:
        """Invert `_to_source` by fixed-point steps; k1 is small."""
        offset = (points - self._centre) / self._radius
        guess = offset
        for _ in range(12):
            r2 = (guess**2).sum(axis=-1, keepdims=True)
            guess = offset * (1 - self._k1) / (1 - self._k1 * r2)
        return np.asarray(guess * self._radius + self._centre, np.float32)


def blurred(image: Floats, sigma: float) -> Any:
    """Return an image under a Gaussian; a wide one on a smaller image, which shows nothing less."""
    step = max(1, int(sigma / 4))
    if step == 1:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    height, width = image.shape[:2]
    small = cv2.resize(image, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)


def _metered_ev(linear: Floats, t: float) -> float:
    """Return the stops of a camera's automatic exposure."""
    # Highlights count up to white: a lamp in the picture does not make the street black.
    mean = float(np.minimum(linear.mean(axis=-1), 1.0).mean())
    target = _METER_DAY ** (1 - t) * _METER_NIGHT**t
    wanted = _METER_SHARE * np.log2(target / max(mean, 1e-6))
    return float(np.clip(wanted, *_METER_LIMITS_EV))


def _film(linear: Floats) -> Floats:
    """Return display values in [0, 1]: a film curve (Narkowicz 2015), then the sRGB transfer."""
    x = linear * np.float32(0.8)
    y = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    return np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055).astype(np.float32)


def _read(path: Path) -> dict[str, Floats]:
    """Return the channels of an EXR file by name, without the name of their view layer."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {
            name.partition(".")[2]: np.array(channel.pixels, np.float32)
            for part in file.parts
            for name, channel in part.channels.items()
        }
