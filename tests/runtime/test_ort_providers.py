"""ONNX Runtime's providers: which is asked for, which is there, and what really ran."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.backends import PROVIDERS, open_backend
from dayshift.runtime.errors import BackendError, UsageError
from dayshift.runtime.model import load

Pixels = npt.NDArray[np.uint8]

SHAPES = {"frame": (1, 32, 40, 3), "strength": (1,)}
VARIABLE = "DAYSHIFT_ONNXRUNTIME_OPENVINO"


def installed() -> set[str]:
    """Return the providers that this ONNX Runtime was built with."""
    import onnxruntime as ort

    return {
        name.removesuffix("ExecutionProvider").lower() for name in ort.get_available_providers()
    }


def graph(folder: Path, precision: str = "fp32") -> bytes:
    return (folder / f"maps.{precision}.onnx").read_bytes()


def test_the_cpu_may_be_asked_for_by_name(pristine_model: Path) -> None:
    backend = open_backend("onnxruntime:cpu", graph(pristine_model), SHAPES, "fp32")
    assert (backend.name, backend.device) == ("onnxruntime", "CPU")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_that_is_not_installed_is_refused_with_the_package_that_brings_it(
    pristine_model: Path, provider: str
) -> None:
    if provider in installed():
        pytest.skip(f"{provider} is installed")
    with pytest.raises(BackendError, match=rf"has no {provider} \(it has .*cpu.*\): .*pip install"):
        open_backend(f"onnxruntime:{provider}", graph(pristine_model), SHAPES, "fp32")


@pytest.mark.parametrize("name", ["onnxruntime:", "onnxruntime:rocm", "openvino:cpu", ":cuda"])
def test_a_word_that_names_no_provider_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown backend .*expected auto or .*onnxruntime:cuda"):
        open_backend(name, b"", SHAPES, "fp32")


def test_a_model_may_be_loaded_on_a_provider(pristine_model: Path) -> None:
    with load(pristine_model, backend="onnxruntime:cpu", size=(128, 160)) as model:
        assert (model.backend_name, model.device, model.precision) == ("onnxruntime", "CPU", "fp32")
        assert model.selection.startswith("backend onnxruntime:cpu as asked; precision fp32: ")


def test_a_provider_that_runs_nothing_is_an_error_and_not_the_cpu(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CUDA's, where its libraries are missing: ONNX Runtime takes the CPU without a word."""
    import onnxruntime as ort

    from dayshift.runtime.backends import ort as backend

    names = ["CUDAExecutionProvider", *ort.get_available_providers()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    original = backend._session

    def without_cuda(content: bytes, options: object, _: object) -> object:
        return original(content, options, backend._PROVIDERS["cpu"])

    monkeypatch.setattr(backend, "_session", without_cuda)
    with pytest.raises(BackendError, match="ran nothing on cuda, all on CPU: its libraries or"):
        open_backend("onnxruntime:cuda", graph(pristine_model), SHAPES, "fp32")
    monkeypatch.setattr(backend, "nvidia_driver", lambda: "550.54.15")
    fallen_back = open_backend("onnxruntime", graph(pristine_model, "int8"), SHAPES, "int8")
    assert (fallen_back.device, fallen_back.precision) == ("CPU", "int8")


@pytest.mark.parametrize(("precision", "ran"), [("fp32", "fp32"), ("int8", "int8")])
def test_openvinos_provider_runs_what_it_is_given(
    pristine_model: Path, street: Callable[[int, int], Pixels], precision: str, ran: str
) -> None:
    """With a wheel of onnxruntime-openvino, which cannot be installed beside onnxruntime."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"needs onnxruntime-openvino, unpacked into a folder that {VARIABLE} names")
    code = f"""
from pathlib import Path
import numpy as np
from dayshift.runtime.backends import open_backend
graph = Path({str(pristine_model / f"maps.{precision}.onnx")!r}).read_bytes()
frame = np.random.default_rng(0).integers(0, 256, (1, 32, 40, 3), np.uint8)
feeds = {{"frame": frame, "strength": np.ones(1, np.float32)}}
backend = open_backend("onnxruntime:openvino", graph, {SHAPES!r}, {precision!r})
cpu = open_backend("onnxruntime:cpu", graph, {SHAPES!r}, {precision!r})
print(backend.device, backend.precision, cpu.device)
gain, expected = (b.infer(feeds)["gain"].astype(int) for b in (backend, cpu))
print(abs(gain - expected).max())
"""
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == f"OpenVINO {ran} CPU"
    assert int(second) <= 1
