"""The two forms of a gain-and-light model, as ONNX around one core.

* maps: small frame to gain and light, both uint8; the runtime shrinks, enlarges and applies.
* full: frame to image, all inside. It shrinks by the integer that brings the short side nearest to
  `short_side`, as `runtime.image.shrink_factor` does. TensorRT runs this one, and there uint8 is a
  type of the graph's edge alone: a frame may only be cast, an image only come from a cast.
"""

from __future__ import annotations

import numpy as np
import onnx

from dayshift.export.forms import HEADER, assemble, model_part, text_part
from dayshift.train.networks.gain_light import BORDER

_RESIZE = 'Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">'

# Extends the small frame as `networks.gain_light.extend` does, then makes it float NCHW.
_EXTEND = """
    small_shape = Shape(small)
    small_sides = Slice(small_shape, one, three)
    bordered = Add(small_sides, both_borders)
    below = Neg(bordered)
    missing = Mod(below, stride)
    after_sides = Add(missing, border)
    pads = Concat<axis = 0>(zero, border, two_zeros, after_sides, zero)
    extended = Pad<mode = "edge">(small, pads)
    planar = Transpose<perm = [0, 3, 1, 2]>(extended)
    core_frame = Mul(planar, unit)
"""

_MAPS_BEFORE = f"""{HEADER}
before (uint8[1, h, w, 3] frame) => (float[1, 3, hp, wp] core_frame) {{
    small = Cast<to = 1>(frame)
    {_EXTEND}
}}"""

_MAPS_AFTER = f"""{HEADER}
after (uint8[1, h, w, 3] frame, float[1, 3, hp, wp] core_gain, float[1, 3, hp, wp] core_light)
    => (uint8[1, h, w, 3] gain, uint8[1, h, w, 3] light) {{
    shape = Shape(frame)
    frame_sides = Slice(shape, one, three)
    ends = Add(frame_sides, border)
    gain_crop = Slice(core_gain, border, ends, sides)
    gain_scaled = Mul(gain_crop, levels)
    gain_rounded = Round(gain_scaled)
    gain_clipped = Clip(gain_rounded, black, levels)
    gain_pixels = Cast<to = 2>(gain_clipped)
    gain = Transpose<perm = [0, 2, 3, 1]>(gain_pixels)
    light_crop = Slice(core_light, border, ends, sides)
    light_scaled = Mul(light_crop, levels)
    light_rounded = Round(light_scaled)
    light_clipped = Clip(light_rounded, black, levels)
    light_pixels = Cast<to = 2>(light_clipped)
    light = Transpose<perm = [0, 2, 3, 1]>(light_pixels)
}}"""

# `runtime.image.shrink_factor`: max(1, (2 * short + short_side) // (2 * short_side)).
_SHRINK_FACTOR = """
    floats = Cast<to = 1>(frame)
    shape = Shape(floats)
    height = Slice(shape, one, two)
    width = Slice(shape, two, three)
    short = Min(height, width)
    twice_short = Mul(short, two)
    half_more = Add(twice_short, short_side)
    rounded = Div(half_more, twice_short_side)
    factor = Max(rounded, one)
    rows = Div(height, factor)
    columns = Div(width, factor)
"""

_FULL_BEFORE = f"""{HEADER}
before (uint8[1, h, w, 3] frame) => (float[1, 3, hp, wp] core_frame) {{
    {_SHRINK_FACTOR}
    blocked_shape = Concat<axis = 0>(one, rows, factor, columns, factor, three)
    blocked = Reshape(floats, blocked_shape)
    mean = ReduceMean<keepdims = 0>(blocked, blocks)
    small = Round(mean)
    {_EXTEND}
}}"""

_FULL_AFTER = f"""{HEADER}
after (uint8[1, h, w, 3] frame, float[1, 3, hp, wp] core_gain, float[1, 3, hp, wp] core_light)
    => (uint8[1, h, w, 3] image) {{
    {_SHRINK_FACTOR}
    small_sides = Concat<axis = 0>(rows, columns)
    ends = Add(small_sides, border)
    size = Concat<axis = 0>(one, three, height, width)
    gain_crop = Slice(core_gain, border, ends, sides)
    gain = {_RESIZE}(gain_crop, , , size)
    light_crop = Slice(core_light, border, ends, sides)
    light = {_RESIZE}(light_crop, , , size)
    pixels = Transpose<perm = [0, 3, 1, 2]>(floats)
    dimmed = Mul(gain, pixels)
    lamps = Mul(light, levels)
    relit = Add(dimmed, lamps)
    relit_rounded = Round(relit)
    relit_clipped = Clip(relit_rounded, black, levels)
    interleaved = Transpose<perm = [0, 2, 3, 1]>(relit_clipped)
    image = Cast<to = 2>(interleaved)
}}"""


def maps_form(core: onnx.ModelProto, stride: int) -> onnx.ModelProto:
    """Wrap a core as `frame`, `strength`, `lamps` to `gain`, `light`; `stride` is the branch's."""
    return _wrap(core, _MAPS_BEFORE, _MAPS_AFTER, _constants(stride))


def full_form(core: onnx.ModelProto, stride: int, short_side: int) -> onnx.ModelProto:
    """Wrap a core as `frame`, `strength`, `lamps` to `image`."""
    return _wrap(core, _FULL_BEFORE, _FULL_AFTER, _constants(stride, short_side))


def _wrap(
    core: onnx.ModelProto, before: str, after: str, constants: dict[str, np.ndarray]
) -> onnx.ModelProto:
    names = {"frame": "core_frame", "gain": "core_gain", "light": "core_light"}
    return assemble(
        text_part(before, constants, "in/"),
        model_part(core, "core/", names),
        text_part(after, constants, "out/"),
    )


def _constants(stride: int, short_side: int = 0) -> dict[str, np.ndarray]:
    integers = {
        "zero": [0],
        "one": [1],
        "two": [2],
        "three": [3],
        "two_zeros": [0, 0],
        "stride": [stride, stride],
        "both_borders": [2 * BORDER, 2 * BORDER],
        "border": [BORDER, BORDER],
        "sides": [2, 3],  # axes of height and width in NCHW
        "blocks": [2, 4],  # axes inside a block after the reshape
        "short_side": [short_side],
        "twice_short_side": [2 * short_side],
    }
    floats = {"unit": 1 / 255, "levels": 255.0, "black": 0.0}
    return {name: np.array(value, dtype=np.int64) for name, value in integers.items()} | {
        name: np.array(value, dtype=np.float32) for name, value in floats.items()
    }
