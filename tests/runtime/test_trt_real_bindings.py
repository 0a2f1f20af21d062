"""NVIDIA's own Python bindings, over stub libraries, driven by our code up to the first GPU call.

The bindings are a wheel of 1 MB that needs nine functions of three libraries; stubs that return
null let it be imported without a GPU. Its classes, enums and argument checks are the real ones.

Set DAYSHIFT_TENSORRT_BINDINGS to folders that hold an unpacked wheel each, separated as in PATH:

    pip download --no-deps tensorrt-cu13-bindings==11.4.0.106 tensorrt-cu12-bindings==10.3.0
    unzip -d 11 tensorrt_cu13_bindings-*.whl; unzip -d 10 tensorrt_cu12_bindings-*.whl
    DAYSHIFT_TENSORRT_BINDINGS=10:11 pytest tests/runtime/test_trt_real_bindings.py
"""

from __future__ import annotations

import ast
import os
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

STUBS = """
void *createInferBuilder_INTERNAL(void *logger, int version) { return 0; }
void *createInferRefitter_INTERNAL(void *engine, void *logger, int version) { return 0; }
void *createInferRuntime_INTERNAL(void *logger, int version) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int version) { return 0; }
void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) { return 0; }
void *getBuilderPluginRegistry(int capability) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
void *getPluginRegistry(void) { return 0; }
_Bool initLibNvInferPlugins(void *logger, const char *name) { return 1; }
"""

PREAMBLE = f"""
import sys
import tensorrt_bindings
sys.modules["tensorrt"] = tensorrt_bindings
sys.path.insert(0, {str(FAKES)!r})  # for CUDA; TensorRT is found already
import tensorrt as trt
from dayshift.runtime.backends import open_backend, trt_build
from dayshift.runtime.backends.base import BuildOptions
from dayshift.runtime.errors import BackendError
"""


@pytest.fixture(params=WHEELS or [""])
def bindings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Build the stubs and let child processes find them and the bindings."""
    compiler = shutil.which("cc")
    if not request.param or compiler is None:
        pytest.skip(f"needs a C compiler and NVIDIA's bindings: set {VARIABLE}, see this file")
    folder = Path(request.param).resolve()
    source = tmp_path / "stubs.c"
    source.write_text(STUBS)
    for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        for major in (10, 11):
            name = f"lib{library}.so.{major}"
            command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o"]
            subprocess.run([*command, str(tmp_path / name), str(source)], check=True)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", PREAMBLE + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("bindings")
def test_builder_and_runner_come_as_far_as_the_library(pristine_model: Path) -> None:
    told = run(f"""
from pathlib import Path
graph = Path({str(pristine_model / "fp32.onnx")!r}).read_bytes()
shapes = {{"frame": (1, 128, 160, 3), "strength": (1,)}}
print(trt.__version__)
for attempt in (
    lambda: open_backend("tensorrt", graph, shapes, "fp32"),
    lambda: trt_build.deserialize(b"a plan"),
):
    try:
        attempt()
    except BackendError as error:
        print(error)
""")
    version, build, load = told.splitlines()
    assert version.startswith(("10.", "11."))
    for line in (build, load):
        assert line.startswith(f"tensorrt {version} cannot start (pybind11::init(): factory funct")


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
