"""NVIDIA's own Python bindings, driven by our builder and runner from the first call to the last.

The bindings are a wheel of 1 MB; the library below them, which needs a GPU, is one of ours that
answers what it is taught (`tests/fakes/libnvinfer.cpp`). Classes, enums, signatures and the checks
of arguments are NVIDIA's.

Set DAYSHIFT_TENSORRT_BINDINGS to folders that hold an unpacked wheel each, separated as in PATH:

    pip download --no-deps tensorrt-cu13-bindings==11.4.0.106 tensorrt-cu12-bindings==10.3.0
    unzip -d 11 tensorrt_cu13_bindings-*.whl; unzip -d 10 tensorrt_cu12_bindings-*.whl
    DAYSHIFT_TENSORRT_BINDINGS=10:11 pytest tests/runtime/test_trt_real_bindings.py
"""

from __future__ import annotations

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKES = ROOT / "tests" / "fakes"
VARIABLE = "DAYSHIFT_TENSORRT_BINDINGS"
WHEELS = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]

PREAMBLE = f"""
import ctypes, sys
import numpy as np
import tensorrt_bindings
sys.modules["tensorrt"] = tensorrt_bindings
sys.path.insert(0, {str(FAKES)!r})  # for CUDA; TensorRT is found already
import tensorrt as trt
from dayshift.runtime.backends import open_backend, trt_build
from dayshift.runtime.backends.base import BuildOptions
from dayshift.runtime.backends.shapes import ranges_of

library = ctypes.CDLL(f"libnvinfer.so.{{trt.__version__.split('.')[0]}}")
library.teach.argtypes = [ctypes.c_ssize_t, ctypes.c_bool]
kept = []
# Damaged, but of a shape that is not refused before an engine sees it; this parser takes anything.
NO_GRAPH = bytes.fromhex("3a055a036e6f74")

def teach(call, value, *, for_any_argument=True):
    # Let a call of the bindings answer `value` from now on; the first answer makes no sense to it.
    try:
        call()
    except UnicodeDecodeError:
        pass
    if isinstance(value, bytes):
        kept.append(ctypes.create_string_buffer(value))
        value = ctypes.addressof(kept[-1])
    library.teach(int(value), for_any_argument)

def teach_shape(*sides):
    library.teach_shape(len(sides), (ctypes.c_int64 * len(sides))(*sides))

def teach_memory(memory, content):
    teach(lambda: memory.nbytes, len(content))
    teach(lambda: memory.dtype, int(trt.DataType.INT8))
    teach(lambda: memoryview(memory), content)
    assert bytes(memory) == content
"""


@pytest.fixture(params=WHEELS or [""])
def bindings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Build the library and let child processes find it and the bindings."""
    compiler = shutil.which("c++")
    if not request.param or compiler is None or platform.machine() != "x86_64":
        pytest.skip(f"needs a C++ compiler and NVIDIA's bindings: set {VARIABLE}, see this file")
    folder = Path(request.param).resolve()
    library = tmp_path / "library.so"
    source = FAKES / "libnvinfer.cpp"
    command = [compiler, "-std=c++17", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        for major in (10, 11):
            (tmp_path / f"lib{name}.so.{major}").symlink_to(library)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def run(code: str) -> str:
    # It ends without taking the bindings' objects down: below them nothing is real.
    code = f"{PREAMBLE}{code}\nimport os; sys.stdout.flush(); os._exit(0)"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


TEACH_BUILDER = """
builder = trt.Builder(trt_build.log())
network = builder.create_network(0)
config = builder.create_builder_config()
teach(lambda: network.num_inputs, 1)
teach(lambda: network.get_input(0).name, b"frame")
teach_memory(builder.build_serialized_network(network, config), b"a plan")
teach_memory(config.create_timing_cache(b"").serialize(), b"some timings")
"""


@pytest.mark.usefixtures("bindings")
def test_the_bindings_take_every_call_of_our_builder() -> None:
    told = run(f"""{TEACH_BUILDER}
teach_shape(1, -1, -1, 3)
options = BuildOptions(5, hardware_compatible=True)
request = trt_build.BuildRequest(
    b"a graph", ranges_of({{"frame": (1, 128, 160, 3)}}, options), options
)
for timings in (b"", b"known"):
    built = trt_build.build(request, timings, lambda progress: None)
    print(built.plan, built.timing_cache)
""")
    assert told == "b'a plan' b'some timings'\n" * 2


@pytest.mark.usefixtures("bindings")
def test_the_bindings_take_every_call_of_our_runner() -> None:
    told = run(f"""{TEACH_BUILDER}
teach_shape(1, 128, 160, 3)
engine = trt.Runtime(trt_build.log()).deserialize_cuda_engine(b"a plan")
inspector = engine.create_engine_inspector()
report = b'{{"Layers": [{{"LayerType": "CaskConvolution", "Weights": {{"Type": "Half"}}}}]}}'
teach(lambda: inspector.get_engine_information(trt.LayerInformationFormat.JSON), report)
teach(lambda: engine.num_io_tensors, 2)
teach(lambda: engine.get_tensor_dtype("frame"), int(trt.DataType.UINT8))
modes = {{"frame": trt.TensorIOMode.INPUT, "image": trt.TensorIOMode.OUTPUT}}
for index, (name, mode) in enumerate(modes.items()):
    teach(lambda: engine.get_tensor_name(index), name.encode(), for_any_argument=False)
    teach(lambda: engine.get_tensor_mode(name), int(mode), for_any_argument=False)
shapes = {{"frame": (1, 128, 160, 3)}}
backend = open_backend("tensorrt", NO_GRAPH, shapes, "fp16")
print(backend.name, backend.precision, backend.version == trt.__version__)
for _ in range(3):
    image = backend.infer({{"frame": np.zeros((1, 128, 160, 3), np.uint8)}})["image"]
    print(image.shape, image.dtype)
backend.close()
again = open_backend("tensorrt", NO_GRAPH, shapes, "fp16")
print(again.artifact.read_bytes())
""")
    assert told.splitlines() == [
        "tensorrt fp16 True",
        *["(1, 128, 160, 3) uint8"] * 3,
        "b'a plan'",
    ]


@pytest.mark.usefixtures("bindings")
def test_our_logger_and_monitor_are_theirs() -> None:
    told = run("""
log, told = trt_build.log(), []
assert isinstance(log, trt.ILogger)
log.log(trt.ILogger.ERROR, "out of memory")
log.log(trt.ILogger.Severity.WARNING, "slow")
print(log.take())
monitor = trt_build.Monitor(told.append)
assert isinstance(monitor, trt.IProgressMonitor)
monitor.phase_start("Build", None, 2)
print(monitor.step_complete("Build", 0), told[-1].fraction)
monitor.phase_finish("Build")
print(trt.nptype(trt.DataType.UINT8).__name__)
""")
    assert told.splitlines() == ["out of memory", "True 0.5", "uint8"]


@pytest.mark.usefixtures("bindings")
def test_every_enum_value_and_class_that_we_name_is_there() -> None:
    """Evaluated by the bindings themselves, not looked up in a list."""
    names = {
        text
        for name in ("trt.py", "trt_build.py")
        for node in ast.walk(ast.parse((ROOT / "runtime" / "backends" / name).read_text()))
        if isinstance(node, ast.Attribute)
        and re.fullmatch(r"trt(\.\w+)+", text := ast.unparse(node))
    }
    assert "trt.HardwareCompatibilityLevel.AMPERE_PLUS" in names
    run("\n".join(sorted(names)))
