"""Which backend, precision, form and file a model is run with, and why."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast, get_args

from dayshift.runtime.backends import (
    BACKEND_NAMES,
    LocalName,
    Precision,
    check_backend,
    check_precision,
)
from dayshift.runtime.backends.nvidia import nvidia_driver
from dayshift.runtime.backends.server_address import parse_server
from dayshift.runtime.errors import ModelError, UsageError
from dayshift.runtime.spec import FilePrecision, FormName, GraphFile, MapsForm, ModelSpec

# From best to last resort. OpenVINO gains from int8; ONNX Runtime fuses few of the Q/DQ pairs that
# the int8 graphs have, and then computes in fp32 with extra work around it. Around int8
# convolutions the graphs are fp32, which costs a GPU what the convolutions gain: fp16 comes first.
_BEST_PRECISION: dict[LocalName, tuple[FilePrecision, ...]] = {
    "tensorrt": ("fp16", "int8", "fp32"),
    "openvino": ("int8", "fp32", "fp16"),
    "onnxruntime": ("fp32", "int8", "fp16"),
}
# There OpenVINO computes our int8 graphs in fp32: all of their error for nothing.
_OPENVINO_ON_ARM: tuple[FilePrecision, ...] = ("fp32", "int8", "fp16")


@dataclass(frozen=True)
class Setup:
    """How a model is run: what was asked, and what that came to.

    Attributes:
        backend: As `open_backend` takes it, perhaps with a provider.
        precision_requested: Perhaps "auto".
        precision: What the file is to be computed in.
        form: Which way of cutting the model into a graph.
        file: The graph.
        reason: Why all that, in one line.
        is_asked: The backend was asked for by name: another will not do.
    """

    backend: str
    precision_requested: str
    precision: Precision
    form: FormName
    file: GraphFile
    reason: str
    is_asked: bool = False


def setups(spec: ModelSpec, backend: str, precision: str, form: str) -> Iterator[Setup]:
    """Yield what to try, in order; where a backend is asked for by name, that alone.

    Raises:
        UsageError: Unknown backend, precision or form.
        ModelError: The model lacks what was asked for, or a server has another.
        BackendError: A server does not answer.
        MissingDependency: What speaks to servers is not installed.
    """
    if backend != "auto":
        if check_backend(backend) == "kserve":
            yield _set_up_served(spec, backend, precision, form)
            return
        setup = set_up(spec, backend, precision, form, f"backend {backend} as asked")
        yield dataclasses.replace(setup, is_asked=True)
        return
    for name in BACKEND_NAMES:
        # Without a GPU there is nothing to say about it.
        if name != "tensorrt" or nvidia_driver() is not None:
            reason = f"backend {name}: the fastest that works here"
            yield set_up(spec, name, precision, form, reason)


def stand_ins(spec: ModelSpec, precision: str) -> Iterator[Setup]:
    """Yield what can run while TensorRT builds its engine."""
    for name in BACKEND_NAMES:
        if name != "tensorrt":
            reason = f"backend {name}: until tensorrt has built its engine"
            yield set_up(spec, name, precision, "auto", reason)


def set_up(spec: ModelSpec, backend: str, precision: str, form: str, reason: str) -> Setup:
    """Choose form, precision and file for one backend.

    Raises:
        UsageError: Unknown backend, precision or form.
        ModelError: The model lacks what was asked for.
    """
    base = check_backend(backend)
    assert base != "kserve"  # what is served was chosen by whoever serves it
    form_name = _choose_form(spec, base, form, precision)
    files = spec.form(form_name).files
    if precision == "auto":
        chosen: Precision = next(p for p in _best_precisions(base) if p in files)
        reason += f"; precision {chosen}: the best it has for {backend}"
    else:
        chosen = check_precision(precision)
        reason += f"; precision {chosen} as asked"
    file = files.get(_file_precision(chosen))
    refused = spec.refused.get(_file_precision(chosen))
    if file is None and refused is not None:
        raise ModelError(f"model {spec.name} was refused its {chosen} file: {refused}")
    if file is None:
        raise ModelError(
            f"model {spec.name} has no {chosen} file of form {form_name}: "
            f"it has {', '.join(files)}; ask for one of these or quantize it"
        )
    reason += f"; form {form_name}"
    return Setup(backend, precision, chosen, form_name, file, reason)


def _best_precisions(backend: LocalName) -> tuple[FilePrecision, ...]:
    """Return what to take on this machine, from best to last resort."""
    on_arm = platform.machine() in ("aarch64", "arm64")
    return _OPENVINO_ON_ARM if on_arm and backend == "openvino" else _BEST_PRECISION[backend]


def _set_up_served(spec: ModelSpec, backend: str, precision: str, form: str) -> Setup:
    """Take form, precision and file from what a server says it serves.

    A server that does not tell the hash of its graph shows the form by its outputs; its precision
    is then taken on trust.

    Raises:
        ModelError: It serves what this model has not, or something else than was asked for.
        BackendError: It does not answer.
        MissingDependency: What speaks to servers is not installed.
    """
    from dayshift.runtime.backends.kserve import ask

    served = ask(parse_server(backend))
    name: FormName = "full" if "image" in served.outputs else "maps"
    files = spec.form(name).files
    best = next(p for p in _BEST_PRECISION["openvino"] if p in files)
    asked = best if precision == "auto" else check_precision(precision)
    chosen = asked if served.precision is None else check_precision(served.precision)
    if (precision != "auto" and asked != chosen) or form not in ("auto", name):
        raise ModelError(
            f"{backend} serves {chosen} of form {name}, not precision {precision} of form {form}: "
            "ask for auto, or have that served"
        )
    file = files.get(_file_precision(chosen))
    if file is None:
        raise ModelError(f"model {spec.name} has no {chosen} file of form {name}: ask for auto")
    reason = f"backend {backend} as asked; precision {chosen} and form {name}: what it serves"
    if served.precision is None:
        reason += " (the precision on trust: it does not tell)"
    return Setup(backend, precision, chosen, name, file, reason, is_asked=True)


def _choose_form(spec: ModelSpec, backend: LocalName, form: str, precision: str) -> FormName:
    """Choose the form: on a CPU maps are several times faster; TensorRT keeps all on the GPU."""
    if form == "auto":
        maps = spec.forms.maps
        if maps is None or backend == "tensorrt":
            return "full"
        lacks = precision != "auto" and not _has(maps, precision)
        return "full" if lacks else "maps"
    if form not in get_args(FormName):
        expected = ", ".join(get_args(FormName))
        raise UsageError(f"unknown form {form!r}: expected auto or one of {expected}")
    return cast("FormName", form)


def _has(form: MapsForm, precision: str) -> bool:
    """Say whether the form has the file that a precision asked for needs."""
    return _file_precision(check_precision(precision)) in form.files


def _file_precision(precision: Precision) -> FilePrecision:
    """Return which file holds the graph: bf16 is fp32's, computed in bf16."""
    return "fp32" if precision == "bf16" else precision
