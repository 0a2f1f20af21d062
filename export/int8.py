"""int8 graphs of a model: calibrated, tried, chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from dayshift.export.calibrate import Activations, Feed, Method
from dayshift.export.checks import int8_faults
from dayshift.export.difference import measure_difference
from dayshift.export.noise import Noise, measure_noise
from dayshift.export.qdq import find_convolutions, insert_qdq
from dayshift.export.runner import Runner, time_ratio
from dayshift.export.search import Recipe, Trial
from dayshift.runtime.graph_inputs import graph_inputs
from dayshift.runtime.image import Pixels, pad_and_shrink, pad_frame, padded_size
from dayshift.runtime.spec import FullForm, MapsForm

_NOISE_FEEDS = 4


class Int8Maker:
    """Makes int8 graphs of one model and measures them against its fp32 graph.

    Args:
        graphs: The fp32 graphs by form, around one core.
        form: The form that is measured: the fastest on this machine.
        activations: Of that form, on calibration frames.
        feeds: Inputs of that form on calibration frames.
        frames: Frames that calibration did not see, and
        references: what the fp32 model makes of them.
        fp32: That form's fp32 graph on this machine's engine.
    """

    def __init__(
        self,
        graphs: Mapping[str, onnx.ModelProto],
        form: FullForm | MapsForm,
        activations: Activations,
        feeds: Sequence[Feed],
        frames: Sequence[Pixels],
        references: Sequence[Pixels],
        fp32: Runner,
    ) -> None:
        self._graphs = graphs
        self._form = form
        self._name = "maps" if isinstance(form, MapsForm) else "full"
        self._activations = activations
        self._feeds = feeds[:_NOISE_FEEDS]
        self._frames = frames
        self._references = references
        self._fp32 = fp32
        self._thresholds: dict[Method, dict[str, float]] = {}
        self._noise: dict[Method, dict[str, Noise]] = {}
        names = [c.name for c in find_convolutions(graphs[self._name])]
        self.ends = (names[0], names[-1])

    def make(self, recipe: Recipe) -> dict[str, onnx.ModelProto]:
        """Return the int8 graph of every form."""
        shifts = {}
        if recipe.mend_bias:
            noise = self._measured_noise(recipe.method)
            shifts = {n: part.shift for n, part in noise.items() if n not in recipe.keep_float}
        made = {
            name: insert_qdq(
                graph,
                self._thresholds_of(recipe.method),
                keep_float=recipe.keep_float,
                bias_shift=shifts,
            )
            for name, graph in self._graphs.items()
        }
        for graph in made.values():
            faults = list(int8_faults(graph))
            assert not faults, faults
        return made

    def attempt(self, recipe: Recipe) -> Trial:
        """Make the graph of a recipe and measure it."""
        graph = self.make(recipe)[self._name].SerializeToString()
        with Runner(self._form, graph, "int8") as runner:
            difference = measure_difference(
                [runner(frame) for frame in self._frames], self._references
            )
            return Trial(recipe, difference, time_ratio(runner, self._fp32, self._frames[0]))

    def noisiest(self, recipe: Recipe) -> list[str]:
        """Return the convolutions by the noise that rounding adds, worst first."""
        noise = self._measured_noise(recipe.method)
        return sorted(noise, key=lambda name: -noise[name].ratio)

    def _thresholds_of(self, method: Method) -> dict[str, float]:
        if method not in self._thresholds:
            self._thresholds[method] = self._activations.thresholds(method)
        return self._thresholds[method]

    def _measured_noise(self, method: Method) -> dict[str, Noise]:
        if method not in self._noise:
            self._noise[method] = measure_noise(
                self._graphs[self._name], self._thresholds_of(method), self._feeds
            )
        return self._noise[method]


def feeds_of(form: FullForm | MapsForm, frames: Sequence[Pixels]) -> list[Feed]:
    """Return the inputs of a form's graph for frames, or label maps.

    Every third frame of a gain-and-light model is at half strength, and at half its lamps.

    Frames of a full form must have a size that its graph takes.
    """
    feeds: list[Feed] = []
    for index, frame in enumerate(frames):
        if isinstance(form, FullForm) and form.input == "labels":
            pixels = _padded(form, frame)
        elif isinstance(form, MapsForm):
            pixels = pad_and_shrink(frame, form.short_side)[1]
        elif form.short_side is not None:
            size = padded_size(*frame.shape[:2], multiple=form.multiple, short_side=form.short_side)
            pixels = pad_frame(frame, *size)
        else:
            pixels = _padded(form, frame)
        is_half = form.short_side is not None and index % 3 == 2
        feeds.append(
            graph_inputs(form, pixels, dict.fromkeys(form.controls, 0.5) if is_half else {})
        )
    return feeds


def _padded(form: FullForm, frame: Pixels) -> Pixels:
    size = form.size or padded_size(*frame.shape[:2], multiple=form.multiple)
    return pad_frame(frame, *size)
