"""TensorRT on a real GPU: the bundled model in every precision. `make test-gpu` runs these."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.backends import BuildProgress
from dayshift.runtime.model import Building, load
from dayshift.runtime.quality import psnr
from dayshift.runtime.sources import open_source

pytestmark = pytest.mark.gpu

pytest.importorskip("tensorrt", reason="needs TensorRT: pip install 'dayshift[tensorrt]'")

Pixels = npt.NDArray[np.uint8]

MODEL = "day2night"
SIZE = (720, 1280)
LEAST_DB = {"fp32": 50.0, "fp16": 42.0, "int8": 36.0}  # to ONNX Runtime's fp32 on the CPU


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests here: what one of them builds, the next ones find."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYSHIFT_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def frame() -> Pixels:
    with open_source("synthetic://?size=1280x720&frames=1&pace=0") as source:
        first = source.read()
    assert first is not None
    return first.pixels


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_picture_is_that_of_the_reference(frame: Pixels, precision: str) -> None:
    with load(MODEL, backend="onnxruntime:cpu", precision="fp32", form="full") as model:
        expected = model(frame)
    with load(MODEL, backend="tensorrt", precision=precision) as model:
        assert (model.backend_name, model.precision) == ("tensorrt", precision)
        first = model(frame)
        assert psnr(first, expected) > LEAST_DB[precision]
        for _ in range(3):  # from the recorded graph
            assert np.array_equal(model(frame), first)
        model.strength = 0.0
        assert np.array_equal(model(frame), frame)


def test_an_engine_is_found_again() -> None:
    load(MODEL, backend="tensorrt", precision="fp16").close()
    told: list[BuildProgress] = []
    with load(
        MODEL, backend="tensorrt", precision="fp16", building=Building(on_progress=told.append)
    ) as model:
        assert model.artifact is not None
    assert told == []


def test_a_build_tells_its_progress_and_ends_where_told_to() -> None:
    class Enough(Exception):
        pass

    told: list[float] = []

    def stop(progress: BuildProgress) -> None:
        told.append(progress.fraction)
        if progress.fraction > 0.2:
            raise Enough

    with pytest.raises(Enough):
        load(
            MODEL,
            backend="tensorrt",
            precision="fp16",
            size=(360, 640),
            building=Building(on_progress=stop),
        )
    assert told == sorted(told)


def test_lanes_agree(frame: Pixels) -> None:
    with load(MODEL, backend="tensorrt", precision="fp16", lanes=2) as model:
        expected = model(frame)
        wrong: list[int] = []

        def run() -> None:
            for index in range(50):
                if not np.array_equal(model(frame), expected):
                    wrong.append(index)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_one_engine_serves_a_range_of_sizes() -> None:
    building = Building(smallest=(360, 640), largest=SIZE)
    with load(MODEL, backend="tensorrt", precision="fp16", building=building) as model:
        built = model.artifact
    with load(MODEL, backend="tensorrt", precision="fp16", size=(540, 960)) as model:
        assert model.artifact == built
        assert model(np.zeros((540, 960, 3), np.uint8)).shape == (540, 960, 3)


def test_a_stream_swaps_to_tensorrt_when_its_engine_is_ready(frame: Pixels) -> None:
    swapped = threading.Event()
    lines: list[str] = []

    def change(line: str) -> None:
        lines.append(line)
        swapped.set()

    small = np.ascontiguousarray(frame[:480, :640])
    building = Building(in_background=True, on_change=change)
    with load(MODEL, backend="tensorrt", size=(480, 640), building=building) as model:
        first = model(small)
        assert swapped.wait(timeout=600)
        assert model.backend_name == "tensorrt", lines
        assert psnr(model(small), first) > 34
