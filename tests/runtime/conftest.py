"""Tiny models, built here: a convolution that darkens the frame and adds light, in every form."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from dayshift.runtime.backends import BACKEND_NAMES
from dayshift.runtime.model_files import describe_file

FAKES = Path(__file__).parents[1] / "fakes"
SHORT_SIDE = 32
GRAPHS = ("fp32", "fp16", "int8")


def _weights() -> npt.NDArray[np.float32]:
    """A 3x3 convolution from BGR to six channels, all of it positive, each summing to one."""
    weights = np.random.default_rng(7).uniform(0.2, 1.0, (6, 3, 3, 3))
    return np.asarray(weights / weights.sum(axis=(1, 2, 3), keepdims=True), np.float32)


class _Graph:
    """Nodes and initializers, collected line by line."""

    def __init__(self, controls: tuple[str, ...]) -> None:
        self.controls = controls
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def const(self, values: npt.ArrayLike, dtype: Any = np.float32) -> str:
        name = f"const{len(self.initializers)}"
        array = np.asarray(values, dtype)
        self.initializers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def convolve(self, x: str, precision: str) -> str:
        """Convolve with `_weights` in one of the precisions that a graph can be written in."""
        if precision == "int8":
            scale = np.abs(_weights()).max(axis=(1, 2, 3)) / 127
            quantized = np.rint(_weights() / scale[:, None, None, None])
            kernel = self.add(
                "DequantizeLinear",
                self.const(quantized, np.int8),
                self.const(scale),
                self.const(np.zeros(6), np.int8),
                axis=0,
            )
            return self.fake_quantize(self.add("Conv", self.fake_quantize(x), kernel, pads=[1] * 4))
        if precision == "fp16":
            half = self.add("Cast", x, to=T.FLOAT16)
            half = self.add("Conv", half, self.const(_weights(), np.float16), pads=[1] * 4)
            return self.add("Cast", half, to=T.FLOAT)
        return self.add("Conv", x, self.const(_weights()), pads=[1] * 4)

    def fake_quantize(self, x: str) -> str:
        scale, zero = self.const(1 / 127), self.const(0, np.int8)
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, scale, zero), scale, zero)

    def maps(self, x: str, precision: str) -> tuple[str, str]:
        """From NCHW in [0, 1] to gain in [0, 1] and light in levels, both at strength 0 neutral."""
        y = self.add("Mul", self.convolve(x, precision), "strength")
        darkness, glow = self.nodes_split(y)
        gain = self.add("Sub", self.const(1.0), self.add("Mul", darkness, self.const(0.8)))
        if "lamps" in self.controls:
            glow = self.add("Mul", glow, "lamps")
        return gain, self.add("Mul", glow, self.const(90.0))

    def nodes_split(self, x: str) -> tuple[str, str]:
        name = f"split{len(self.nodes)}"
        outputs = [f"{name}a", f"{name}b"]
        self.nodes.append(helper.make_node("Split", [x], outputs, axis=1, num_outputs=2))
        return outputs[0], outputs[1]

    def frame(self) -> str:
        x = self.add("Cast", "frame", to=T.FLOAT)
        x = self.add("Transpose", x, perm=[0, 3, 1, 2])
        return self.add("Div", x, self.const(255.0))

    def to_image(self, x: str, out: str) -> None:
        """Round NCHW levels and return them as uint8 NHWC."""
        x = self.add("Floor", self.add("Add", x, self.const(0.5)))
        x = self.add("Clip", x, self.const(0.0), self.const(255.0))
        self.add("Cast", self.add("Transpose", x, perm=[0, 2, 3, 1]), out=out, to=T.UINT8)

    def serialize(self, outputs: tuple[str, ...]) -> bytes:
        shape: list[int | str | None] = [1, "height", "width", 3]
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [
                helper.make_tensor_value_info("frame", T.UINT8, shape),
                *(helper.make_tensor_value_info(name, T.FLOAT, [1]) for name in self.controls),
            ],
            [helper.make_tensor_value_info(name, T.UINT8, shape) for name in outputs],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        model.ir_version = 10
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def maps_graph(precision: str, controls: tuple[str, ...] = ("strength",)) -> bytes:
    """The maps form: shrunk frame in, gain and light out."""
    graph = _Graph(controls)
    gain, light = graph.maps(graph.frame(), precision)
    graph.to_image(graph.add("Mul", gain, graph.const(255.0)), "gain")
    graph.to_image(light, "light")
    return graph.serialize(("gain", "light"))


def full_graph(precision: str, controls: tuple[str, ...] = ("strength",)) -> bytes:
    """The full form, for sides that are multiples of 4: shrinks by 4, as maps do at 128x160."""
    graph = _Graph(controls)
    x = graph.frame()
    small = graph.add("AveragePool", x, kernel_shape=[4, 4], strides=[4, 4])
    gain, light = graph.maps(small, precision)
    image = graph.add("Mul", graph.add("Mul", x, _enlarge(graph, gain)), graph.const(255.0))
    graph.to_image(graph.add("Add", image, _enlarge(graph, light)), "image")
    return graph.serialize(("image",))


def _enlarge(graph: _Graph, x: str) -> str:
    scales = graph.const([1, 1, 4, 4])
    mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.add("Resize", x, "", scales, **mode)


def write_model(folder: Path, controls: tuple[str, ...] = ("strength",)) -> Path:
    """Write a model folder with both forms in every precision; it has the folder's name."""
    folder.mkdir(parents=True)
    for precision in GRAPHS:
        (folder / f"{precision}.onnx").write_bytes(full_graph(precision, controls))
        (folder / f"maps.{precision}.onnx").write_bytes(maps_graph(precision, controls))

    def files(prefix: str) -> dict[str, Any]:
        paths = {p: folder / f"{prefix}{p}.onnx" for p in GRAPHS}
        return {p: describe_file(path).model_dump() for p, path in paths.items()}

    spec = {
        "format_version": 1,
        "name": folder.name,
        "summary": "darkens and adds light",
        "method": "written by hand",
        "network": {"name": "convolution", "parameters": 162, "config": {"kernel": 3}},
        "domains": {"source": "day", "target": "night"},
        "controls": {name: {"default": 1.0, "minimum": 0.0, "maximum": 1.0} for name in controls},
        "forms": {
            "full": {"files": files(""), "multiple": 4, "short_side": None, "controls": controls},
            "maps": {"files": files("maps."), "short_side": SHORT_SIDE, "controls": controls},
        },
        "quality": {"int8": {"reference": "fp32", "n_frames": 3, "psnr_db": 41.5, "ssim": 0.98}},
        "training": {"recipe": "none", "data": [], "licence": "Apache-2.0"},
        "preview": None,
    }
    (folder / "model.json").write_text(json.dumps(spec, indent=2))
    return folder


@pytest.fixture(scope="session")
def pristine_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def model_folder(pristine_model: Path, tmp_path: Path) -> Path:
    """A model folder of the test's own, to be damaged at will."""
    return Path(shutil.copytree(pristine_model, tmp_path / "tiny"))


@pytest.fixture
def edit_spec(model_folder: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Change `model.json` of `model_folder` as plain data."""

    def edit(change: Callable[[dict[str, Any]], object]) -> None:
        path = model_folder / "model.json"
        spec = json.loads(path.read_text())
        change(spec)
        path.write_text(json.dumps(spec))

    return edit


@pytest.fixture(scope="session")
def street() -> Callable[[int, int], npt.NDArray[np.uint8]]:
    """Frames with gradients, edges and a little noise, the same each time."""

    def draw(height: int, width: int) -> npt.NDArray[np.uint8]:
        y, x = np.mgrid[:height, :width]
        frame = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1)
        frame[height // 3 : height // 2, width // 4 : width // 2] = (30, 180, 240)
        noise = np.random.default_rng(height * width).integers(-6, 7, frame.shape)
        return np.asarray(np.clip(frame + noise, 0, 255), np.uint8)

    return draw


def _forget_tensorrt() -> None:
    """Make Python import TensorRT, CUDA and what wraps them anew."""
    ours = "dayshift.runtime.backends."
    for name in list(sys.modules):
        if name.split(".")[0] in ("tensorrt", "cuda") or name.startswith(
            (f"{ours}trt", f"{ours}cuda")
        ):
            del sys.modules[name]


@pytest.fixture
def fake_tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Put the fakes where TensorRT and CUDA would be, with an empty cache; yield its folder.

    Processes that the test starts find them too.
    """
    cache = tmp_path / "cache"
    path = os.pathsep.join([str(FAKES), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(cache))
    monkeypatch.syspath_prepend(str(FAKES))
    _forget_tensorrt()
    yield cache / "tensorrt"
    _forget_tensorrt()


@pytest.fixture(params=BACKEND_NAMES)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of every backend in turn; TensorRT over the fakes."""
    if request.param == "tensorrt":
        request.getfixturevalue("fake_tensorrt")
    return str(request.param)
