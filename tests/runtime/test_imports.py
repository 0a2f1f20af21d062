"""The runtime is light: what it may import, and what it says when something is missing."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import dayshift.runtime

FAKES = Path(__file__).parents[1] / "fakes"
# Also what imports them: the modules may not even be reached.
FORBIDDEN = ["torch", "onnx", "nncf", "onnxscript", "dayshift.train", "dayshift.export"]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(dayshift.runtime.__path__, prefix="dayshift.runtime.")
]


def run(code: str, *, blocked: list[str]) -> str:
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
    command = [sys.executable, "-W", "error", "-c", block + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_module_imports_without_what_the_runtime_must_not_use() -> None:
    assert "dayshift.runtime.backends.ov" in MODULES
    assert "dayshift.runtime.backends.trt" in MODULES
    fakes = f"sys.path.insert(0, {str(FAKES)!r})"  # TensorRT and CUDA are on few machines
    code = f"""
import importlib
from dayshift.runtime.errors import MissingDependency
{fakes}
for module in {MODULES!r}:
    try:
        importlib.import_module(module)
    except MissingDependency as error:
        # The first one's licence keeps it out of what we install; devices may lack the second.
        assert "pyvirtualcam" in str(error) or "aiortc" in str(error)
"""
    run(code, blocked=FORBIDDEN)


def test_the_package_imports_with_nothing_but_the_standard_library() -> None:
    blocked = [*FORBIDDEN, "cv2", "openvino", "onnxruntime", "av", "pydantic", "numpy"]
    run("import dayshift.runtime; dayshift.runtime.ModelError", blocked=blocked)


def test_the_spec_is_read_without_opencv_and_without_an_engine() -> None:
    run("import dayshift.runtime.spec", blocked=[*FORBIDDEN, "cv2", "openvino", "onnxruntime"])


@pytest.mark.parametrize("name", ["load", "Model", "Translation"])
def test_without_opencv_the_error_names_the_extra(name: str) -> None:
    code = f"""
import dayshift.runtime
try:
    dayshift.runtime.{name}
except dayshift.runtime.MissingDependency as error:
    print(error)
"""
    told = run(code, blocked=["cv2"])
    assert told.startswith("cannot import cv2 (")
    assert "pip install 'dayshift[desktop]'" in told
    assert "'dayshift[headless]'" in told
    assert told.count("\n") == 1


def test_every_public_name_is_there_and_no_other() -> None:
    assert sorted(dayshift.runtime.__all__) == dayshift.runtime.__all__
    for name in dayshift.runtime.__all__:
        assert getattr(dayshift.runtime, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dayshift.runtime.nothing
