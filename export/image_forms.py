"""The full form of networks that make whole images, as ONNX around a core from `x` to `y`.

* from a frame: `frame`, `strength` to `image`; strength blends from the frame to the image, so that
  0 returns the frame exactly.
* from a label map: `labels` to `image`, for SPADE, whose planes are made inside.
* from a frame through a segmenter: the labels are those that it finds, then as both above.

uint8 is a type of the graph's edge alone, where it is cast, as TensorRT demands.
"""

from __future__ import annotations

import numpy as np
import onnx

from dayshift.export.forms import HEADER, assemble, model_part, text_part

_CORE = {"x": "core_x", "y": "core_y"}

_FRAME_BEFORE = f"""{HEADER}
before (uint8[1, h, w, 3] frame) => (float[1, 3, h, w] core_x) {{
    floats = Cast<to = 1>(frame)
    planar = Transpose<perm = [0, 3, 1, 2]>(floats)
    colours = Gather<axis = 1>(planar, reverse)
    scaled = Mul(colours, per_level)
    core_x = Sub(scaled, one)
}}"""

_PAINTED = """
    colours = Gather<axis = 1>(core_y, reverse)
    raised = Add(colours, one)
    levels = Mul(raised, half_range)
    painted = Transpose<perm = [0, 2, 3, 1]>(levels)
"""

_FRAME_AFTER = f"""{HEADER}
after (uint8[1, h, w, 3] frame, float[1] strength, float[1, 3, h, w] core_y)
    => (uint8[1, h, w, 3] image) {{
    {_PAINTED}
    floats = Cast<to = 1>(frame)
    new = Mul(painted, strength)
    rest = Sub(one, strength)
    old = Mul(floats, rest)
    blended = Add(new, old)
    rounded = Round(blended)
    clipped = Clip(rounded, black, white)
    image = Cast<to = 2>(clipped)
}}"""

# Labels beyond the last are the last: 255 is the usual "don't care", and that is its place.
_PLANES = """
    known = Min(numbers, last_label)
    spread = Unsqueeze(known, plane_axis)
    matches = Equal(spread, label_numbers)
    planes = Cast<to = 1>(matches)
"""

# 1 where a neighbour's label differs, on both sides of the edge, as SPADE draws instance edges.
_EDGES = """
    lefts = Slice(known, first, before_last, width_axis)
    rights = Slice(known, second, end, width_axis)
    same_across = Equal(lefts, rights)
    differs_across = Not(same_across)
    across = Cast<to = 1>(differs_across)
    uppers = Slice(known, first, before_last, height_axis)
    lowers = Slice(known, second, end, height_axis)
    same_down = Equal(uppers, lowers)
    differs_down = Not(same_down)
    down = Cast<to = 1>(differs_down)
    edge_left = Pad(across, pad_right)
    edge_right = Pad(across, pad_left)
    edge_up = Pad(down, pad_below)
    edge_down = Pad(down, pad_above)
    edges = Max(edge_left, edge_right, edge_up, edge_down)
    edge_plane = Unsqueeze(edges, plane_axis)
    core_x = Concat<axis = 1>(planes, edge_plane)
"""

_NO_EDGES = "core_x = Identity(planes)"

_LABELS_AFTER = f"""{HEADER}
after (float[1, 3, h, w] core_y) => (uint8[1, h, w, 3] image) {{
    {_PAINTED}
    rounded = Round(painted)
    clipped = Clip(rounded, black, white)
    image = Cast<to = 2>(clipped)
}}"""

_SEGMENTER_BEFORE = f"""{HEADER}
before (uint8[1, h, w, 3] frame) => (float[1, 3, h, w] normal) {{
    floats = Cast<to = 1>(frame)
    planar = Transpose<perm = [0, 3, 1, 2]>(floats)
    colours = Gather<axis = 1>(planar, reverse)
    centred = Sub(colours, mean)
    normal = Mul(centred, per_deviation)
}}"""

# ImageNet's, of torchvision's models, in levels.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1) * 255
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1) * 255


def frame_form(core: onnx.ModelProto) -> onnx.ModelProto:
    """Wrap a core as `frame`, `strength` to `image`."""
    constants = _constants()
    return assemble(
        text_part(_FRAME_BEFORE, constants, "in/"),
        model_part(core, "core/", _CORE),
        text_part(_FRAME_AFTER, constants, "out/"),
    )


def labels_form(core: onnx.ModelProto, planes: int, *, edges: bool = False) -> onnx.ModelProto:
    """Wrap a core as `labels` to `image`.

    Args:
        core: From label planes.
        planes: How many it takes.
        edges: The last plane holds edges: those of the label map stand for those of instances.
    """
    before = f"""{HEADER}
    before (uint8[1, h, w] labels) => (float[1, {planes}, h, w] core_x) {{
        numbers = Cast<to = 1>(labels)
        {_PLANES}
        {_EDGES if edges else _NO_EDGES}
    }}"""
    constants = _constants(planes - int(edges))
    return assemble(
        text_part(before, constants, "in/"),
        model_part(core, "core/", _CORE),
        text_part(_LABELS_AFTER, constants, "out/"),
    )


def segmented_form(
    core: onnx.ModelProto, planes: int, segmenter: onnx.ModelProto, *, edges: bool = False
) -> onnx.ModelProto:
    """Wrap a core of label planes behind a segmenter, as `frame`, `strength` to `image`.

    Args:
        core: From label planes.
        planes: How many it takes.
        segmenter: From `read_segmenter`: normalised frames to scores, a plane per label.
        edges: As for `labels_form`.
    """
    names = {segmenter.graph.input[0].name: "normal", segmenter.graph.output[0].name: "scores"}
    between = f"""{HEADER}
    between (uint8[1, h, w, 3] frame, float[1, l, sh, sw] scores)
        => (float[1, {planes}, h, w] core_x) {{
        floats = Cast<to = 1>(frame)
        frame_shape = Shape(floats)
        sides = Slice(frame_shape, second, fourth)
        best = ArgMax<axis = 1, keepdims = 1>(scores)
        found = Cast<to = 1>(best)
        kept = Shape(found)
        lead = Slice(kept, first, third)
        size = Concat<axis = 0>(lead, sides)
        enlarged = Resize<mode = "nearest">(found, , , size)
        numbers = Squeeze(enlarged, plane_axis)
        {_PLANES}
        {_EDGES if edges else _NO_EDGES}
    }}"""
    constants = _constants(planes - int(edges))
    return assemble(
        text_part(_SEGMENTER_BEFORE, constants, "in/"),
        model_part(segmenter, "segmenter/", names),
        text_part(between, constants, "labels/"),
        model_part(core, "core/", _CORE),
        text_part(_FRAME_AFTER, constants, "out/"),
    )


def _constants(labels: int = 1) -> dict[str, np.ndarray]:
    integers = {
        "reverse": [2, 1, 0],  # BGR to RGB and back
        "plane_axis": [1],
        "first": [0],
        "second": [1],
        "third": [2],
        "fourth": [3],
        "before_last": [-1],
        "end": [np.iinfo(np.int32).max],
        "height_axis": [1],
        "width_axis": [2],
        "pad_left": [0, 0, 1, 0, 0, 0],
        "pad_right": [0, 0, 0, 0, 0, 1],
        "pad_above": [0, 1, 0, 0, 0, 0],
        "pad_below": [0, 0, 0, 0, 1, 0],
    }
    floats = {
        "per_level": 2 / 255,
        "one": 1.0,
        "half_range": 127.5,
        "black": 0.0,
        "white": 255.0,
        "last_label": labels - 1.0,
        "label_numbers": np.arange(labels).reshape(1, -1, 1, 1),
        "mean": _MEAN,
        "per_deviation": 1 / _DEVIATION,
    }
    return {name: np.array(value, np.int64) for name, value in integers.items()} | {
        name: np.array(value, np.float32) for name, value in floats.items()
    }
