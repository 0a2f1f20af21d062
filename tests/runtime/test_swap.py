"""While TensorRT builds, a stream runs on another backend, and swaps when the engine is ready."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime import choice, engine_swap
from dayshift.runtime.backends import BuildProgress
from dayshift.runtime.errors import BackendError
from dayshift.runtime.model import Building, Model, load

Pixels = npt.NDArray[np.uint8]
Street = Callable[[int, int], Pixels]

SIZE = (128, 160)


class Build:
    """A build that a test holds at its first step, and hears of."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.changed = threading.Event()
        self.lines: list[str] = []
        self.phases: list[str] = []

    def hold(self, progress: BuildProgress) -> None:
        self.phases.append(progress.phase)
        if progress.phase.startswith("Tactics"):
            assert self.may_go_on.wait(timeout=20)

    def change(self, line: str) -> None:
        self.lines.append(line)
        self.changed.set()

    def finish(self) -> None:
        self.may_go_on.set()
        assert self.changed.wait(timeout=20)

    @property
    def building(self) -> Building:
        return Building(on_progress=self.hold, in_background=True, on_change=self.change)


@pytest.fixture(autouse=True)
def gpu(fake_tensorrt: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(choice, "nvidia_driver", lambda: "L4T 36.4.3")
    return fake_tensorrt


@pytest.fixture
def build() -> Iterator[Build]:
    held = Build()
    yield held
    held.may_go_on.set()


def start(folder: Path, build: Build, backend: str = "tensorrt") -> Model:
    return load(folder, backend=backend, size=SIZE, building=build.building)


def break_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorrt as trt

    def fail(self: Any, network: Any, config: Any) -> None:
        config.progress_monitor.phase_start("Tactics", None, 1)

    monkeypatch.setattr(trt.Builder, "build_serialized_network", fail)


@pytest.mark.parametrize("backend", ["tensorrt", "auto"])
def test_frames_flow_while_it_builds_and_from_tensorrt_afterwards(
    pristine_model: Path, build: Build, street: Street, backend: str
) -> None:
    frame = street(*SIZE)
    with start(pristine_model, build, backend) as loaded:
        assert (loaded.backend_name, loaded.form) == ("openvino", "maps")
        assert "backend openvino: until tensorrt has built its engine" in loaded.selection
        before, first_hash = loaded(frame), loaded.sha256
        build.finish()
        assert (loaded.backend_name, loaded.form) == ("tensorrt", "full")
        assert (loaded.device, loaded.precision) == ("Orin", "fp16")
        assert loaded.sha256 != first_hash
        assert build.lines == [f"swapped: {loaded.selection}"]
        assert np.abs(loaded(frame).astype(int) - before).max() <= 4
        loaded.strength = 0.0  # the control is the model's, whatever it runs on
        assert np.array_equal(loaded(frame), frame)


def test_an_engine_that_is_there_is_taken_at_once(pristine_model: Path, build: Build) -> None:
    load(pristine_model, backend="tensorrt", size=SIZE).close()
    with start(pristine_model, build) as loaded:
        assert loaded.backend_name == "tensorrt"
    assert (build.lines, build.phases) == ([], [])


def test_no_frame_is_lost_in_the_swap(pristine_model: Path, build: Build, street: Street) -> None:
    frame, errors, ran = street(*SIZE), [], set()
    stop = threading.Event()
    loaded = load(pristine_model, backend="tensorrt", size=SIZE, lanes=3, building=build.building)

    def translate() -> None:
        while not stop.is_set():
            try:
                image = loaded(frame)
                ran.add(loaded.backend_name)
                if image.shape != frame.shape:
                    errors.append("a wrong image")
            except BackendError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=translate) for _ in range(3)]
    for thread in threads:
        thread.start()
    build.finish()
    stop.wait(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    loaded.close()
    assert errors == []
    assert "tensorrt" in ran


def test_auto_stays_where_it_is_when_the_build_fails_and_says_why(
    pristine_model: Path, build: Build, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_builds(monkeypatch)
    with start(pristine_model, build, "auto") as loaded:
        build.finish()
        assert build.lines[0].startswith("tensorrt has no engine: tensorrt could not build an eng")
        assert loaded.backend_name == "openvino"
        loaded(street(*SIZE))


def test_what_was_asked_for_by_name_is_had_or_is_an_error(
    pristine_model: Path, build: Build, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_builds(monkeypatch)
    with start(pristine_model, build) as loaded:
        loaded(street(*SIZE))
        build.finish()
        with pytest.raises(BackendError, match="tensorrt could not build an engine"):
            loaded(street(*SIZE))


def test_closing_ends_the_build(pristine_model: Path, build: Build, gpu: Path) -> None:
    loaded = start(pristine_model, build)
    closing = threading.Thread(target=loaded.close)
    closing.start()
    build.may_go_on.set()
    closing.join(timeout=20)
    assert not closing.is_alive()
    assert list(gpu.glob("*.engine")) == []
    assert build.lines == []


def test_where_nothing_else_works_the_build_is_waited_for(
    pristine_model: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_swap, "stand_ins", lambda spec, precision: iter(()))
    build.may_go_on.set()
    with start(pristine_model, build) as loaded:
        assert loaded.backend_name == "tensorrt"
    assert "Tactics 1" in build.phases


def test_a_process_may_end_while_it_builds(
    pristine_model: Path, gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT_STEP_S", "0.5")
    code = f"""
from dayshift.runtime.model import Building, load
building = Building(in_background=True)
load({str(pristine_model)!r}, backend="tensorrt", size={SIZE}, building=building)
print("the end")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")
    assert list(gpu.glob("*.engine")) == []


# The choice


def test_auto_takes_tensorrt_where_there_is_a_gpu(pristine_model: Path) -> None:
    with load(pristine_model, size=SIZE) as loaded:
        assert (loaded.backend_name, loaded.form, loaded.precision) == ("tensorrt", "full", "fp16")
        assert loaded.selection == (
            "backend tensorrt: the fastest that works here; "
            "precision fp16: the best it has for tensorrt; form full"
        )
        assert loaded.artifact is not None


def test_auto_says_what_a_gpu_lacks_to_be_used(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with load(pristine_model, size=SIZE) as loaded:
        assert loaded.backend_name == "openvino"
        assert loaded.selection.startswith("cannot import tensorrt (")
        assert "[tensorrt]'; on a Jetson" in loaded.selection


def test_without_a_gpu_auto_has_nothing_to_say_of_it(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "nvidia_driver", lambda: None)
    with load(pristine_model, size=SIZE) as loaded:
        assert loaded.selection.startswith("backend openvino: the fastest that works here")
