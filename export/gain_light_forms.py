"""The two forms of a gain-and-light model, as ONNX around one core.

* maps: small frame to gain and light, both uint8; the runtime shrinks, enlarges and applies.
* full: frame to image, all inside. It shrinks by the integer that brings the short side nearest to
  `short_side`, as `runtime.image.shrink_factor` does. TensorRT runs this one, and there uint8 is a
  type of the graph's edge alone: a frame may only be cast, an image only come from a cast.

Both have a recurrent state, the maps and the blurred small frame of the frame before, so that a
video does not flicker. Where the picture did not change, the new maps only begin to replace those
before; where it did, and after a cut, they do at once. Zeros stand for no frame before. All this is
done on the blocks of fold x fold pixels that the core's channels are: one gate serves a block, and
engines fuse the whole of it.

Everything but the core has channels last, as pictures have and as engines compute on a CPU: a state
is read and written as it lies there, and rows of blocks become rows of pixels by one transposition
of runs of pixels.
"""

from __future__ import annotations

import numpy as np
import onnx

from dayshift.export.forms import HEADER, assemble, model_part, text_part
from dayshift.runtime.spec import State
from dayshift.train.networks.gain_light import BORDER, FAR_BORDER, GainLightConfig

# Of the maps before, so much is replaced where nothing changed: sensor noise is averaged over about
# twenty frames.
FLOOR = 0.1
# Of 1: a change of the blurred frame that adds as much as all of the gate. With less, the maps of
# driving clips are less steady (warping error 1.21 of the source's at 6, 1.15 at this); more hardly
# helps. A change of half of this is taken over to 0.84 in two frames: no trace of a car was seen.
REACH = 32 / 255
# Of 1: a change that is a cut when it is the picture's mean.
CUT = 28 / 255

_RESIZE = 'Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">'

# Extends the small frame as `networks.gain_light.extend` does, then makes it blocks of floats.
_EXTEND = """
    small_shape = Shape(small)
    small_sides = Slice(small_shape, one, three)
    bordered = Add(small_sides, both_borders)
    below = Neg(bordered)
    missing = Mod(below, stride)
    after_sides = Add(missing, far_border)
    pads = Concat<axis = 0>(zero, border, two_zeros, after_sides, zero)
    extended = Pad<mode = "edge">(small, pads)
    extended_sides = Add(bordered, missing)
    core_sides = Div(extended_sides, block)
    core_rows = Slice(core_sides, zero, one)
    core_columns = Slice(core_sides, one, two)
    lines_shape = Concat<axis = 0>(core_rows, block, core_columns, run)
    in_lines = Reshape(extended, lines_shape)
    in_blocks = Transpose<perm = [0, 2, 1, 3]>(in_lines)
    blocks_shape = Concat<axis = 0>(one, core_rows, core_columns, all_of_block)
    levels_in = Reshape(in_blocks, blocks_shape)
    pixels = Mul(levels_in, unit)
    core_blocks = Transpose<perm = [0, 3, 1, 2]>(pixels)
    flat = Squeeze(pixels, zero)
    means = MatMul(flat, averaging)
"""

_CORE_IN = "float[hc, wc, 3] means, float[1, cb, hc, wc] core_blocks"
_CORE_OUT = "float[1, cb, hc, wc] core_gain, float[1, cb, hc, wc] core_light"

_MAPS_BEFORE = f"""{HEADER}
before (uint8[1, h, w, 3] frame) => ({_CORE_IN}) {{
    small = Cast<to = 1>(frame)
    {_EXTEND}
}}"""

_STATES_IN = """
    float[1, hb, wb, cb] state_gain, float[1, hb, wb, cb] state_light,
    float[1, hb, wb, 3] state_seen
"""
_STATES_OUT = """
    float[1, hb, wb, cb] state_gain_next, float[1, hb, wb, cb] state_light_next,
    float[1, hb, wb, 3] state_seen_next
"""


def _drawn(name: str) -> str:
    """Return what crops a map and draws it to the one before it."""
    return f"""
    last_{name} = Transpose<perm = [0, 2, 3, 1]>(core_{name})
    whole_{name} = Squeeze(last_{name}, zero)
    new_{name} = Slice(whole_{name}, border_blocks, ends, sides)
    {name}_step = Sub(new_{name}, state_{name})
    {name}_gated = Mul({name}_step, gate)
    state_{name}_next = Add(state_{name}, {name}_gated)
"""


# Draws the maps to those before: next = before + gate * (new - before).
# The gate is of the frame's means over blocks, blurred by three. What was seen is kept as 1 + its
# level, so that it differs from zeros by at least 1 and the gate is open.
_STEADY = f"""
    over = Add(small_sides, block_less_one)
    blocks = Div(over, block)
    ends = Add(blocks, border_blocks)
    means_planar = Transpose<perm = [2, 0, 1]>(means)
    means_image = Unsqueeze(means_planar, zero)
    blurred_image = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(means_image)
    blurred_planar = Squeeze(blurred_image, zero)
    blurred = Transpose<perm = [1, 2, 0]>(blurred_planar)
    seen_blocks = Slice(blurred, border_blocks, ends, sides)
    seen = Unsqueeze(seen_blocks, zero)
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
    {_drawn("gain")}
    {_drawn("light")}
    rows_of_blocks = Slice(blocks, zero, one)
    columns_of_blocks = Slice(blocks, one, two)
    runs_shape = Concat<axis = 0>(rows_of_blocks, columns_of_blocks, block, run)
    whole_sides = Mul(blocks, block)
    picture_shape = Concat<axis = 0>(one, whole_sides, three)
"""


def _to_picture(name: str, blocks: str) -> str:
    """Return what makes a picture (1, h, w, 3) called `name` of blocks (1, hb, wb, cb)."""
    return f"""
    {name}_runs = Reshape({blocks}, runs_shape)
    {name}_lines = Transpose<perm = [0, 2, 1, 3]>({name}_runs)
    {name}_whole = Reshape({name}_lines, picture_shape)
    {name} = Slice({name}_whole, two_zeros, small_sides, image_sides)
"""


def _to_levels(name: str) -> str:
    """Return what makes the uint8 picture of a map."""
    return f"""
    {name}_scaled = Mul(state_{name}_next, levels)
    {name}_rounded = Round({name}_scaled)
    {name}_clipped = Clip({name}_rounded, black, levels)
    {name}_pixels = Cast<to = 2>({name}_clipped)
    {_to_picture(name, f"{name}_pixels")}
"""


_MAPS_AFTER = f"""{HEADER}
after (uint8[1, h, w, 3] frame, float[hc, wc, 3] means, {_CORE_OUT}, {_STATES_IN})
    => (uint8[1, h, w, 3] gain, uint8[1, h, w, 3] light, {_STATES_OUT}) {{
    shape = Shape(frame)
    small_sides = Slice(shape, one, three)
    {_STEADY}
    {_to_levels("gain")}
    {_to_levels("light")}
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
before (uint8[1, h, w, 3] frame) => ({_CORE_IN}) {{
    {_SHRINK_FACTOR}
    blocked_shape = Concat<axis = 0>(one, rows, factor, columns, factor, three)
    blocked = Reshape(floats, blocked_shape)
    mean = ReduceMean<keepdims = 0>(blocked, shrunk)
    small = Round(mean)
    {_EXTEND}
}}"""

_FULL_AFTER = f"""{HEADER}
after (uint8[1, h, w, 3] frame, float[hc, wc, 3] means, {_CORE_OUT}, {_STATES_IN})
    => (uint8[1, h, w, 3] image, {_STATES_OUT}) {{
    {_SHRINK_FACTOR}
    small_sides = Concat<axis = 0>(rows, columns)
    {_STEADY}
    size = Concat<axis = 0>(one, three, height, width)
    {_to_picture("gain_small", "state_gain_next")}
    gain_planar = Transpose<perm = [0, 3, 1, 2]>(gain_small)
    gain = {_RESIZE}(gain_planar, , , size)
    {_to_picture("light_small", "state_light_next")}
    light_planar = Transpose<perm = [0, 3, 1, 2]>(light_small)
    light = {_RESIZE}(light_planar, , , size)
    frame_planar = Transpose<perm = [0, 3, 1, 2]>(floats)
    dimmed = Mul(gain, frame_planar)
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
    names = {"blocks": "core_blocks", "gain": "core_gain", "light": "core_light"}
    constants = _constants(config)
    return assemble(
        text_part(before, constants, "in/"),
        model_part(core, "core/", names),
        text_part(after, constants, "out/"),
    )


def _constants(config: GainLightConfig) -> dict[str, np.ndarray]:
    fold, stride, short_side = config.fold, config.stride, config.short_side
    integers = {
        "zero": [0],
        "one": [1],
        "two": [2],
        "three": [3],
        "two_zeros": [0, 0],
        "stride": [stride, stride],
        "both_borders": [BORDER + FAR_BORDER, BORDER + FAR_BORDER],
        "border": [BORDER, BORDER],
        "far_border": [FAR_BORDER, FAR_BORDER],
        "sides": [0, 1],  # axes of height and width of blocks
        "image_sides": [1, 2],
        "shrunk": [2, 4],  # axes inside what becomes a pixel of the small frame
        "block": [fold],
        "run": [3 * fold],  # channels of a block's row
        "all_of_block": [3 * fold**2],
        "block_less_one": [fold - 1],
        "border_blocks": [BORDER // fold, BORDER // fold],
        "channels": [3],
        "picture": [1, 2, 3],
        "short_side": [short_side],
        "twice_short_side": [2 * short_side],
    }
    floats = {"unit": 1 / 255, "levels": 255.0, "black": 0.0, "full": 1.0}
    floats |= {"floor": FLOOR, "per_change": 1 / REACH, "cut": CUT}
    return {
        "averaging": np.tile(np.eye(3, dtype=np.float32) / fold**2, (fold**2, 1)),
        **{name: np.array(value, dtype=np.int64) for name, value in integers.items()},
        **{name: np.array(value, dtype=np.float32) for name, value in floats.items()},
    }
