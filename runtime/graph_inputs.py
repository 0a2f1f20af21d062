"""What goes into a form's graph, and in which shapes: frame or labels, controls, states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dayshift.runtime.backends.base import Array, Shapes
from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels, padded_size, shrink_factor
from dayshift.runtime.spec import FullForm, MapsForm

# What the user has set, by the name of the graph's input; those that are not there are 1.
ControlValues = Mapping[str, float]


def graph_inputs(
    form: FullForm | MapsForm,
    pixels: Pixels,
    controls: ControlValues | None = None,
    states: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Return what a form's graph reads for a frame, or label map, of the graph's own size.

    Without `states` the frame is translated by itself: zeros go in.
    """
    values = controls or {}
    if isinstance(form, FullForm) and form.input == "labels":
        inputs: dict[str, Array] = {"labels": pixels[None]}
    else:
        inputs = {"frame": pixels[None]}
        inputs |= {name: np.array([values.get(name, 1.0)], np.float32) for name in form.controls}
    size = (pixels.shape[0], pixels.shape[1])
    small = _shrunk(size, _shrink_factor(form, size))
    before = states or {n: np.zeros(s.shape(*small), np.float32) for n, s in form.states.items()}
    return {**inputs, **before}


def blank_inputs(form: FullForm | MapsForm, size: tuple[int, int]) -> dict[str, Array]:
    """Return inputs without content, of what the form reads."""
    is_labels = isinstance(form, FullForm) and form.input == "labels"
    return graph_inputs(form, np.zeros(size if is_labels else (*size, 3), np.uint8))


def full_shapes(
    form: FullForm, size: tuple[int, int], other_end: tuple[int, int] | None = None
) -> Shapes:
    """Return the shape of every input that the graph is given for frames of `size`.

    Args:
        form: With its inputs.
        size: (height, width) of the frames.
        other_end: Where `size` is one end of a range of sizes, the other. A larger frame may have a
            smaller small frame: states get shapes that are the end of all between.

    Raises:
        UsageError: The form has a fixed size, and frames of `size` do not fit into it.
    """
    padded = graph_size(form, size)
    shapes = {name: array.shape for name, array in blank_inputs(form, padded).items()}
    factor = _shrink_factor(form, graph_size(form, other_end or size))
    return shapes | {name: one.shape(*_shrunk(padded, factor)) for name, one in form.states.items()}


def graph_size(form: FullForm, size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) that the graph is given for frames of `size`."""
    if form.size is None:
        return padded_size(*size, multiple=form.multiple, short_side=form.short_side)
    if size[0] > form.size[0] or size[1] > form.size[1]:
        raise UsageError(
            f"got frames of {size[1]}x{size[0]}, but this model was exported for "
            f"{form.size[1]}x{form.size[0]} and takes no larger ones: give it smaller frames, or "
            "export it for this size"
        )
    return form.size


def _shrink_factor(form: FullForm | MapsForm, size: tuple[int, int]) -> int:
    """Return by how much the graph shrinks what it is given."""
    if isinstance(form, MapsForm) or form.short_side is None:
        return 1
    return shrink_factor(*size, form.short_side)


def _shrunk(size: tuple[int, int], factor: int) -> tuple[int, int]:
    return size[0] // factor, size[1] // factor
