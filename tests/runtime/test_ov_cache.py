"""OpenVINO's compiled models: what a later start imports is what an earlier one compiled."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest

from dayshift.runtime.backends import ov_cache
from dayshift.runtime.backends.base import Precision, Shapes
from dayshift.runtime.backends.ov import OpenVINOBackend
from dayshift.runtime.backends.ov_padding import round_before_padding
from dayshift.runtime.cache import SealedCache

SHAPES: Shapes = {"frame": (1, 32, 40, 3), "strength": (1,)}
FEED = {
    "frame": np.random.default_rng(0).integers(0, 256, (1, 32, 40, 3), np.uint8),
    "strength": np.ones(1, np.float32),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a cache of the test's own."""
    monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "openvino"
    ov_cache._cache.cache_clear()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[ov.Model]:
    """Return what OpenVINO had to compile so far; the list grows."""
    counted: list[ov.Model] = []

    def count(model: ov.Model) -> None:
        counted.append(model)
        round_before_padding(model)

    monkeypatch.setattr("dayshift.runtime.backends.ov.round_before_padding", count)
    return counted


def read_maps(folder: Path, precision: Precision) -> bytes:
    return (folder / f"maps.{precision}.onnx").read_bytes()


def outputs(backend: OpenVINOBackend) -> dict[str, npt.NDArray[np.generic]]:
    return {name: array.copy() for name, array in backend.infer(FEED).items()}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_later_start_imports_and_computes_the_same(
    pristine_model: Path, precision: Precision, compiled: list[ov.Model]
) -> None:
    graph = read_maps(pristine_model, precision)
    first = OpenVINOBackend(graph, SHAPES, precision)
    second = OpenVINOBackend(graph, SHAPES, precision)
    assert len(compiled) == 1
    assert second.precision == first.precision
    for name, array in outputs(first).items():
        np.testing.assert_array_equal(outputs(second.fork())[name], array)


def test_what_is_compiled_otherwise_is_another_model(
    pristine_model: Path, compiled: list[ov.Model], folder: Path
) -> None:
    graph = read_maps(pristine_model, "fp32")
    OpenVINOBackend(graph, SHAPES, "fp32")
    OpenVINOBackend(graph, dict(SHAPES) | {"frame": (1, 40, 32, 3)}, "fp32")
    OpenVINOBackend(graph, SHAPES, "fp32", lanes=2)
    OpenVINOBackend(read_maps(pristine_model, "int8"), SHAPES, "int8")
    assert len(compiled) == 4
    assert len(list(folder.glob("*.blob"))) == 4


def test_a_model_that_somebody_changed_is_not_imported_but_compiled_anew(
    pristine_model: Path, compiled: list[ov.Model], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = read_maps(pristine_model, "fp32")
    before = outputs(OpenVINOBackend(graph, SHAPES, "fp32"))
    (blob,) = folder.glob("*.blob")
    planted = bytearray(blob.read_bytes())
    planted[-1] ^= 1
    blob.write_bytes(planted)
    after = outputs(OpenVINOBackend(graph, SHAPES, "fp32"))
    assert len(compiled) == 2
    assert "was not written by this user's cache" in caplog.text
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    OpenVINOBackend(graph, SHAPES, "fp32")
    assert len(compiled) == 2


def test_a_model_that_openvino_refuses_is_compiled_anew(
    pristine_model: Path, compiled: list[ov.Model], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = read_maps(pristine_model, "fp32")
    OpenVINOBackend(graph, SHAPES, "fp32")
    (blob,) = folder.glob("*.blob")
    SealedCache("openvino").write(blob.name, b"not a model", {})
    outputs(OpenVINOBackend(graph, SHAPES, "fp32"))
    assert len(compiled) == 2
    assert f"{blob} does not load" in caplog.text


def test_without_a_cache_all_works_and_it_is_said_once(
    pristine_model: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.mkdir()
    folder.write_text("in the way")
    graph = read_maps(pristine_model, "fp32")
    for _ in range(2):
        outputs(OpenVINOBackend(graph, SHAPES, "fp32"))
    (record,) = [item for item in caplog.records if item.levelno >= logging.WARNING]
    assert str(folder) in record.getMessage()
    assert "compiles at every start" in record.getMessage()


def test_a_full_disk_costs_the_cache_and_nothing_else(
    pristine_model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    SealedCache("openvino")
    monkeypatch.setattr("dayshift.runtime.cache.tempfile.mkstemp", full)
    outputs(OpenVINOBackend(read_maps(pristine_model, "fp32"), SHAPES, "fp32"))
    assert not list(folder.glob("*.blob"))


def test_the_longest_unused_go_first(
    pristine_model: Path,
    compiled: list[ov.Model],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ov_cache, "_MOST_MODELS", 2)
    graph = read_maps(pristine_model, "fp32")
    sizes = [dict(SHAPES) | {"frame": (1, height, 40, 3)} for height in (32, 40, 48)]
    for size in [sizes[0], sizes[1], sizes[0], sizes[2]]:
        OpenVINOBackend(graph, size, "fp32")
    assert len(compiled) == 3
    assert len(list(folder.iterdir())) == 5  # two models with their facts, and the key
    OpenVINOBackend(graph, sizes[0], "fp32")
    assert len(compiled) == 3
    OpenVINOBackend(graph, sizes[1], "fp32")
    assert len(compiled) == 4
