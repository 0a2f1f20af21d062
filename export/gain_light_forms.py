"""The two forms of a gain-and-light model, as ONNX around one core.

* maps: small frame to gain and light, both uint8; the runtime shrinks, enlarges and applies.
* full: frame to image, all inside. It shrinks by the integer that brings the short side nearest to
  `short_side`, as `runtime.image.shrink_factor` does. TensorRT runs this one, and there uint8 is a
  type of the graph's edge alone: a frame may only be cast, an image only come from a cast.

Both have a recurrent state, the maps and the blurred small frame of the frame before, so that a
video does not flicker. Where the picture did not change, the new maps only begin to replace those
before; where it did, and after a cut, they do at once. Zeros stand for no frame before. All this is
done on the blocks of fold x fold pixels that the core's channels are, before depth-to-space: one
gate serves a block, and engines fuse the whole of it.
"""

from __future__ import annotations

import numpy as np
import onnx

from dayshift.export.forms import HEADER, assemble, model_part, text_part
from dayshift.runtime.spec import State
from dayshift.train.networks.gain_light import BORDER, GainLightConfig

# Of the maps before, so much is replaced where nothing changed: sensor noise is averaged over about
# twenty frames.
FLOOR = 0.1
# Of 1: a change of the blurred frame that adds as much as all of the gate. Noise stays far below.
REACH = 6 / 255
# Of 1: a change that is a cut when it is the picture's mean.
CUT = 28 / 255

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

_STATES_IN = """
    float[1, cb, hb, wb] state_gain, float[1, cb, hb, wb] state_light,
    float[1, 3, hb, wb] state_seen
"""
_STATES_OUT = """
    float[1, cb, hb, wb] state_gain_next, float[1, cb, hb, wb] state_light_next,
    float[1, 3, hb, wb] state_seen_next
"""

# Crops the maps and draws them to those before: next = before + gate * (new - before).
# The gate is of the frame's means over blocks, blurred by three. What was seen is kept as 1 + its
# level, so that it differs from zeros by at least 1 and the gate is open.
_STEADY = """
    over = Add(small_sides, block_less_one)
    blocks = Div(over, block)
    ends = Add(blocks, border_blocks)
    core_shape = Shape(core_frame)
    core_sides = Slice(core_shape, two, four)
    core_blocks = Div(core_sides, block)
    core_rows = Slice(core_blocks, zero, one)
    core_columns = Slice(core_blocks, one, two)
    core_width = Slice(core_sides, one, two)
    rows_shape = Concat<axis = 0>(three, core_rows, block, core_width)
    in_rows = Reshape(core_frame, rows_shape)
    row_means = ReduceMean(in_rows, across_rows)
    columns_shape = Concat<axis = 0>(three, core_rows, core_columns, block)
    in_columns = Reshape(row_means, columns_shape)
    column_means = ReduceMean(in_columns, across_columns)
    means_shape = Concat<axis = 0>(one, three, core_blocks)
    means = Reshape(column_means, means_shape)
    blurred = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(means)
    seen = Slice(blurred, border_blocks, ends, sides)
    state_seen_next = Add(seen, full)
    difference = Sub(state_seen_next, state_seen)
    distance = Abs(difference)
    change = ReduceMax(distance, channels)
    reached = Mul(change, per_change)
    begun = Add(reached, floor)
    mean_change = ReduceMean(change, picture)
    is_cut = Greater(mean_change, cut)
    cut_gate = Cast<to = 1>(is_cut)
    wide_gate = Max(begun, cut_gate)
    gate = Min(wide_gate, full)
    new_gain = Slice(core_gain, border_blocks, ends, sides)
    gain_step = Sub(new_gain, state_gain)
    gain_gated = Mul(gain_step, gate)
    state_gain_next = Add(state_gain, gain_gated)
    new_light = Slice(core_light, border_blocks, ends, sides)
    light_step = Sub(new_light, state_light)
    light_gated = Mul(light_step, gate)
    state_light_next = Add(state_light, light_gated)
"""

_MAPS_AFTER = f"""{HEADER}
after (uint8[1, h, w, 3] frame, float[1, 3, hp, wp] core_frame, float[1, cb, hc, wc] core_gain,
    float[1, cb, hc, wc] core_light, {_STATES_IN})
    => (uint8[1, h, w, 3] gain, uint8[1, h, w, 3] light, {_STATES_OUT}) {{
    shape = Shape(frame)
    small_sides = Slice(shape, one, three)
    {_STEADY}
    rows_of_blocks = Slice(blocks, zero, one)
    columns_of_blocks = Slice(blocks, one, two)
    depth_shape = Concat<axis = 0>(one, three, block, block, rows_of_blocks, columns_of_blocks)
    whole_sides = Mul(blocks, block)
    space_shape = Concat<axis = 0>(one, whole_sides, three)
    gain_scaled = Mul(state_gain_next, levels)
    gain_rounded = Round(gain_scaled)
    gain_clipped = Clip(gain_rounded, black, levels)
    gain_pixels = Cast<to = 2>(gain_clipped)
    gain_deep = Reshape(gain_pixels, depth_shape)
    gain_blocks = Transpose<perm = [0, 4, 2, 5, 3, 1]>(gain_deep)
    gain_whole = Reshape(gain_blocks, space_shape)
    gain = Slice(gain_whole, two_zeros, small_sides, space_sides)
    light_scaled = Mul(state_light_next, levels)
    light_rounded = Round(light_scaled)
    light_clipped = Clip(light_rounded, black, levels)
    light_pixels = Cast<to = 2>(light_clipped)
    light_deep = Reshape(light_pixels, depth_shape)
    light_blocks = Transpose<perm = [0, 4, 2, 5, 3, 1]>(light_deep)
    light_whole = Reshape(light_blocks, space_shape)
    light = Slice(light_whole, two_zeros, small_sides, space_sides)
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
    mean = ReduceMean<keepdims = 0>(blocked, shrunk)
    small = Round(mean)
    {_EXTEND}
}}"""

_DEPTH_TO_SPACE = 'DepthToSpace<blocksize = BLOCK, mode = "CRD">'

_FULL_AFTER = f"""{HEADER}
after (uint8[1, h, w, 3] frame, float[1, 3, hp, wp] core_frame, float[1, cb, hc, wc] core_gain,
    float[1, cb, hc, wc] core_light, {_STATES_IN})
    => (uint8[1, h, w, 3] image, {_STATES_OUT}) {{
    {_SHRINK_FACTOR}
    small_sides = Concat<axis = 0>(rows, columns)
    {_STEADY}
    size = Concat<axis = 0>(one, three, height, width)
    gain_whole = {_DEPTH_TO_SPACE}(state_gain_next)
    gain_small = Slice(gain_whole, two_zeros, small_sides, sides)
    gain = {_RESIZE}(gain_small, , , size)
    light_whole = {_DEPTH_TO_SPACE}(state_light_next)
    light_small = Slice(light_whole, two_zeros, small_sides, sides)
    light = {_RESIZE}(light_small, , , size)
    pixels = Transpose<perm = [0, 3, 1, 2]>(floats)
    dimmed = Mul(gain, pixels)
    lamps = Mul(light, levels)
    relit = Add(dimmed, lamps)
    relit_rounded = Round(relit)
    relit_clipped = Clip(relit_rounded, black, levels)
    interleaved = Transpose<perm = [0, 2, 3, 1]>(relit_clipped)
    image = Cast<to = 2>(interleaved)
}}"""


def states(fold: int) -> dict[str, State]:
    """Return the states of both forms by name."""
    maps = State(channels=3 * fold**2, block=fold)
    return {"state_gain": maps, "state_light": maps, "state_seen": State(channels=3, block=fold)}


def maps_form(core: onnx.ModelProto, config: GainLightConfig) -> onnx.ModelProto:
    """Wrap a core as `frame`, controls, `states` to `gain`, `light`, the next states."""
    return _wrap(core, _MAPS_BEFORE, _MAPS_AFTER, config)


def full_form(core: onnx.ModelProto, config: GainLightConfig) -> onnx.ModelProto:
    """Wrap a core as `frame`, controls, `states` to `image`, the next states."""
    return _wrap(core, _FULL_BEFORE, _FULL_AFTER, config)


def _wrap(
    core: onnx.ModelProto, before: str, after: str, config: GainLightConfig
) -> onnx.ModelProto:
    names = {"frame": "core_frame", "gain": "core_gain", "light": "core_light"}
    constants = _constants(config)
    return assemble(
        text_part(before, constants, "in/"),
        model_part(core, "core/", names),
        text_part(after.replace("BLOCK", str(config.fold)), constants, "out/"),
    )


def _constants(config: GainLightConfig) -> dict[str, np.ndarray]:
    fold, stride, short_side = config.fold, config.stride, config.short_side
    integers = {
        "zero": [0],
        "one": [1],
        "two": [2],
        "three": [3],
        "four": [4],
        "two_zeros": [0, 0],
        "stride": [stride, stride],
        "both_borders": [2 * BORDER, 2 * BORDER],
        "border": [BORDER, BORDER],
        "sides": [2, 3],  # axes of height and width in NCHW
        "shrunk": [2, 4],  # axes inside what becomes a pixel of the small frame
        "space_sides": [1, 2],  # and in NHWC
        "block": [fold],
        "block_less_one": [fold - 1],
        "border_blocks": [BORDER // fold, BORDER // fold],
        "channels": [1],
        "picture": [1, 2, 3],
        "across_rows": [2],  # of a block; engines reduce over one axis fast, over two slowly
        "across_columns": [3],
        "short_side": [short_side],
        "twice_short_side": [2 * short_side],
    }
    floats = {"unit": 1 / 255, "levels": 255.0, "black": 0.0, "full": 1.0}
    floats |= {"floor": FLOOR, "per_change": 1 / REACH, "cut": CUT}
    return {name: np.array(value, dtype=np.int64) for name, value in integers.items()} | {
        name: np.array(value, dtype=np.float32) for name, value in floats.items()
    }
