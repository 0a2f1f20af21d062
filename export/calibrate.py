"""Calibration: how large the activations that feed convolutions get on real frames.

The graph runs in float32 on ONNX Runtime, one set of inputs at a time, and every watched tensor
leaves a histogram of its absolute values. From one histogram come the thresholds of all methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from dayshift.runtime.errors import ModelError

Feed = dict[str, npt.NDArray[Any]]
Method = Literal["minmax", "percentile", "entropy", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)

LEVELS = 127  # steps from zero to the threshold in symmetric int8; -128 is not used
_BINS = 2048
_PERCENTILE = 99.99
_ERRORS_ONLY = 3


class Histogram:
    """Counts of absolute values in equal bins from zero; the range doubles when it must."""

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.float64] = np.zeros(_BINS)
        self.width = 0.0
        self.largest = 0.0

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count the absolute values of an array of any shape."""
        absolute = np.abs(values, dtype=np.float32).ravel()
        largest = float(absolute.max(initial=0.0))
        if largest == 0:
            self.counts[0] += absolute.size
            return
        self.largest = max(self.largest, largest)
        if self.width == 0:
            self.width = largest / _BINS
        while largest > self.width * _BINS:
            halved = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([halved, np.zeros(_BINS // 2)])
            self.width *= 2
        bins = np.minimum(absolute / np.float32(self.width), _BINS - 1).astype(np.int32)
        self.counts += np.bincount(bins, minlength=_BINS)

    def threshold(self, method: Method) -> float:
        """Return the absolute value that int8's largest level stands for; never zero."""
        if self.largest == 0:
            return 1.0
        if method == "minmax":
            return self.largest
        if method == "percentile":
            share = np.cumsum(self.counts) / self.counts.sum()
            first = int(np.searchsorted(share, _PERCENTILE / 100))
            return min(self.largest, (first + 1) * self.width)
        ends = np.arange(LEVELS + 1, _BINS + 1, 8)
        loss = _divergence if method == "entropy" else _squared_error
        best = min(ends, key=lambda end: loss(self.counts, int(end)))
        return min(self.largest, float(best) * self.width)


@dataclass(frozen=True)
class Activations:
    """What tensors held on real frames: histograms of some, the largest absolute value of all."""

    histograms: dict[str, Histogram]
    largest: dict[str, float]

    def thresholds(self, method: Method) -> dict[str, float]:
        """Return the threshold of every histogram."""
        return {name: h.threshold(method) for name, h in self.histograms.items()}


def collect_activations(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    feeds: Iterable[Feed],
    *,
    only_largest: Sequence[str] = (),
) -> Activations:
    """Run the graph on every feed and watch tensors inside it.

    Args:
        model: A float32 graph.
        tensors: Whose histograms are wanted.
        feeds: Inputs of the graph.
        only_largest: Whose largest absolute value is enough.

    Raises:
        ModelError: An activation is not finite.
    """
    histograms = {name: Histogram() for name in dict.fromkeys(tensors)}
    largest = dict.fromkeys([*histograms, *only_largest], 0.0)
    session = open_session(expose(model, largest))
    for feed in feeds:
        for name, values in zip(largest, session.run(list(largest), feed), strict=True):
            if not np.isfinite(values).all():
                raise ModelError(
                    f"the activation {name} is not finite in float32: "
                    "the weights are damaged, or training diverged"
                )
            largest[name] = max(largest[name], float(np.abs(values).max(initial=0.0)))
            if name in histograms:
                histograms[name].add(values)
    return Activations(histograms, largest)


def expose(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Return a copy of the graph with float tensors inside it as outputs too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {output.name for output in copy.graph.output}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in dict.fromkeys(tensors)
        if name not in present
    )
    return copy


def open_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """Open a graph on ONNX Runtime's CPU, in float32 as written."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _divergence(counts: npt.NDArray[np.float64], end: int) -> float:
    """Kullback-Leibler divergence of the first `end` bins from what int8 keeps of them.

    As in TensorRT's entropy calibration (Migacz, "8-bit inference with TensorRT", GTC 2017).
    """
    kept = counts[:end].copy()
    reference = kept.copy()
    reference[-1] += counts[end:].sum()
    level = np.arange(end) * (LEVELS + 1) // end
    filled = kept > 0
    sums = np.bincount(level, weights=kept, minlength=LEVELS + 1)
    occupied = np.maximum(np.bincount(level, weights=filled, minlength=LEVELS + 1), 1)
    quantized = np.where(filled, (sums / occupied)[level], 0.0)
    total, quantized_total = reference.sum(), quantized.sum()
    if quantized_total == 0:
        return float("inf")
    both = (reference > 0) & (quantized > 0)
    p, q = reference[both] / total, quantized[both] / quantized_total
    return float(np.sum(p * np.log(p / q)))


def _squared_error(counts: npt.NDArray[np.float64], end: int) -> float:
    """Squared error of rounding below `end` bins and of clipping above, in bins squared."""
    step = end / LEVELS
    middles = np.arange(_BINS) + 0.5
    rounded = np.minimum(np.rint(middles / step), LEVELS) * step
    # Inside a step the rounding error is uniform where bins are finer than steps.
    return float(np.sum(counts * (middles - rounded) ** 2))
