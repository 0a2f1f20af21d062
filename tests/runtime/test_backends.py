"""What every backend must do, held against each of them; then what is peculiar to one."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.backends import BACKEND_NAMES, Backend, open_backend
from dayshift.runtime.errors import BackendError, UsageError

Pixels = npt.NDArray[np.uint8]
Street = Callable[[int, int], Pixels]

# A graph whose first input is damaged: what is checked before the engine does not look there.
NO_GRAPH = b"\x3a\x05\x5a\x03not"
SHAPES = {"frame": (1, 32, 40, 3), "strength": (1,)}


@pytest.fixture
def name(backend: str) -> str:
    return backend


def read_maps(folder: Path, precision: str) -> bytes:
    return (folder / f"maps.{precision}.onnx").read_bytes()


def feed(frame: Pixels, strength: float = 1.0) -> dict[str, npt.NDArray[np.generic]]:
    return {"frame": frame[None], "strength": np.array([strength], np.float32)}


def open_maps(name: str, folder: Path, precision: str = "fp32") -> Backend:
    return open_backend(name, read_maps(folder, precision), SHAPES, precision)


def test_a_backend_says_what_it_is(name: str, pristine_model: Path) -> None:
    backend = open_maps(name, pristine_model)
    assert backend.name == name
    assert backend.version[0].isdigit()
    assert backend.device == ("Orin" if name == "tensorrt" else "CPU")
    assert backend.precision == "fp32"


def test_the_results_are_what_numpy_computes(
    name: str, pristine_model: Path, street: Street
) -> None:
    frame = np.full((32, 40, 3), 60, np.uint8)
    got = open_maps(name, pristine_model).infer(feed(frame, 0.5))
    assert set(got) == {"gain", "light"}
    # Inside, a convolution whose weights sum to one leaves a flat frame as it is.
    y = 60 / 255 * 0.5
    for maps, expected in ((got["gain"], (1 - 0.8 * y) * 255), (got["light"], y * 90)):
        assert maps.dtype == np.uint8
        assert maps.shape == (1, 32, 40, 3)
        assert set(np.unique(maps[0, 1:-1, 1:-1])) == {round(expected)}


@pytest.mark.usefixtures("fake_tensorrt")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_backends_agree_to_a_level(precision: str, pristine_model: Path, street: Street) -> None:
    inputs = feed(street(32, 40), 0.8)
    results = [open_maps(name, pristine_model, precision).infer(inputs) for name in BACKEND_NAMES]
    for output in ("gain", "light"):
        first, *others = (result[output].astype(int) for result in results)
        assert all(np.abs(first - other).max() <= 1 for other in others)


def test_new_inputs_give_new_results_and_are_left_alone(
    name: str, pristine_model: Path, street: Street
) -> None:
    backend = open_maps(name, pristine_model)
    bright, dark = street(32, 40), street(32, 40) // 4
    kept = bright.copy()
    first = backend.infer(feed(bright))["light"].copy()
    second = backend.infer(feed(dark))["light"].copy()
    assert second.mean() < first.mean() / 2
    assert np.array_equal(backend.infer(feed(bright))["light"], first)
    assert np.array_equal(bright, kept)


@pytest.mark.parametrize(
    "inputs",
    [
        feed(np.zeros((32, 44, 3), np.uint8)),
        {"frame": np.zeros((1, 32, 40, 3), np.uint8)},
        {**feed(np.zeros((32, 40, 3), np.uint8)), "labels": np.zeros(1, np.float32)},
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    name: str, pristine_model: Path, inputs: dict[str, npt.NDArray[np.generic]]
) -> None:
    with pytest.raises(BackendError, match=r"was opened for inputs .*, got "):
        open_maps(name, pristine_model).infer(inputs)


def test_an_input_of_the_wrong_type_is_refused(name: str, pristine_model: Path) -> None:
    wrong = {"frame": np.zeros(SHAPES["frame"], np.float32), "strength": np.ones(1, np.float32)}
    with pytest.raises(BackendError, match=f"{name} failed to run the graph: ") as caught:
        open_maps(name, pristine_model).infer(wrong)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_graph_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(BackendError, match=f"{name} refused the graph: ") as caught:
        open_backend(name, NO_GRAPH, SHAPES, "fp32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shapes",
    [
        {"frame": (1, 32, 40, 4), "strength": (1,)},
        {"frame": (32, 40, 3), "strength": (1,)},
        {"image": (1, 32, 40, 3), "strength": (1,)},
    ],
)
def test_shapes_that_the_graph_does_not_take_are_refused_on_opening(
    name: str, pristine_model: Path, shapes: dict[str, tuple[int, ...]]
) -> None:
    expected = f"{name} refused the graph, which does not fit its model.json: export the model anew"
    with pytest.raises(BackendError, match=expected) as caught:
        open_backend(name, read_maps(pristine_model, "fp32"), shapes, "fp32")
    assert "\n" not in str(caught.value)
    assert any(f"where model.json says {shape}" in str(caught.value) for shape in shapes.values())


def test_a_closed_backend_says_so(name: str, pristine_model: Path) -> None:
    backend = open_maps(name, pristine_model)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="was closed"):
        backend.infer(feed(np.zeros((32, 40, 3), np.uint8)))


def openvino_kernel(graph: bytes) -> str:
    """Return the name of the kernel of a graph's one convolution, as brgconv_avx512_I8."""
    from dayshift.runtime.backends.ov import _core

    layers = _core().compile_model(_core().read_model(graph), "CPU").get_runtime_model()
    (kernel,) = [
        str(layer.rt_info["primitiveType"].value)
        for layer in layers.get_ops()
        if "layerType" in layer.rt_info and layer.rt_info["layerType"].value == "Convolution"
    ]
    return kernel


def test_an_int8_graph_is_reported_as_what_it_runs_in(name: str, pristine_model: Path) -> None:
    precision = open_maps(name, pristine_model, "int8").precision
    if name == "openvino" and platform.machine() == "aarch64":
        assert "I8" not in openvino_kernel(read_maps(pristine_model, "int8"))
        assert precision == "fp32"
    else:
        assert precision == "int8"


def test_the_graph_decides_and_not_the_word(name: str, pristine_model: Path) -> None:
    backend = open_backend(name, read_maps(pristine_model, "fp32"), SHAPES, "int8")
    assert backend.precision == "fp32"


def test_int8_that_onnxruntime_cannot_fuse_is_reported_as_fp32(pristine_model: Path) -> None:
    """A convolution with quantized inputs but a float output, as made for OpenVINO and TensorRT."""
    import onnx

    model = onnx.load_from_string(read_maps(pristine_model, "int8"))
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    requantized = [conv.output[0]]
    for node in model.graph.node:  # what fake-quantizes the convolution's result
        if node.input and node.input[0] == requantized[-1] and "Linear" in node.op_type:
            requantized.append(node.output[0])
    for node in model.graph.node:
        if node.op_type == "Mul":
            node.input[:] = [conv.output[0] if i == requantized[-1] else i for i in node.input]
    graph = model.SerializeToString()
    assert len(requantized) == 3
    assert open_backend("onnxruntime", graph, SHAPES, "int8").precision == "fp32"
    in_int8 = openvino_kernel(graph).endswith("I8")
    assert in_int8 == (platform.machine() != "aarch64")
    assert open_backend("openvino", graph, SHAPES, "int8").precision == (
        "int8" if in_int8 else "fp32"
    )


def test_fp16_is_reported_as_what_the_cpu_computes(pristine_model: Path) -> None:
    import openvino as ov

    has_fp16 = "FP16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    backend = open_maps("openvino", pristine_model, "fp16")
    assert backend.precision == ("fp16" if has_fp16 else "fp32")
    assert open_maps("onnxruntime", pristine_model, "fp16").precision == "fp32"


def test_bf16_is_had_from_openvino_or_is_an_error(pristine_model: Path) -> None:
    import openvino as ov

    graph = read_maps(pristine_model, "fp32")
    if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert open_backend("openvino", graph, SHAPES, "bf16").precision == "bf16"
    else:
        with pytest.raises(BackendError, match=r"this CPU has no bf16 .* fp32 or int8"):
            open_backend("openvino", graph, SHAPES, "bf16")


def test_onnxruntime_has_no_bf16(pristine_model: Path) -> None:
    with pytest.raises(BackendError, match="no bf16 on a CPU: ask for precision fp32 or"):
        open_backend("onnxruntime", read_maps(pristine_model, "fp32"), SHAPES, "bf16")


def test_unknown_words_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown backend 'tf': expected auto or one of tensorrt,"):
        open_backend("tf", b"", SHAPES, "fp32")
    with pytest.raises(UsageError, match="unknown precision 'fp8': expected auto or one of fp32,"):
        open_backend("openvino", b"", SHAPES, "fp8")


@pytest.mark.parametrize(
    ("engine", "library", "extra"),
    [
        ("openvino", "openvino", "desktop"),
        ("onnxruntime", "onnxruntime", "onnxruntime"),
        ("tensorrt", "cuda.bindings", "tensorrt"),
    ],
)
def test_a_missing_engine_names_the_extra_that_brings_it(
    engine: str, library: str, extra: str
) -> None:
    code = f"""
import sys
sys.modules[{library!r}] = None
from dayshift.runtime import MissingDependency, open_backend
try:
    open_backend({engine!r}, b"", {{}}, "fp32")
except MissingDependency as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot import {library} (")
    assert f"pip install 'dayshift[{extra}]'" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_signal_still_arrives_after_engines_were_freed(pristine_model: Path) -> None:
    """OpenVINO leaves a thread with an unmapped signal stack where two cores are freed in order."""
    code = f"""
import signal
from dayshift.runtime.model import load
first, second = (load({str(pristine_model)!r}, backend="openvino", size=(48, 64)) for _ in "ab")
for model in (first, second):
    model.close()
del model, first, second
signal.signal(signal.SIGTERM, lambda *_: print("it arrived"))
signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "it arrived\n"), done.stderr
