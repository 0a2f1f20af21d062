"""TensorRT's builder, cache and runner over the fakes: see `tests/fakes`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.backends import (
    Backend,
    BuildOptions,
    BuildProgress,
    OnBuildProgress,
    open_backend,
)
from dayshift.runtime.errors import BackendError, MissingDependency

Pixels = npt.NDArray[np.uint8]
Street = Callable[[int, int], Pixels]

SHAPES = {"frame": (1, 32, 40, 3), "strength": (1,)}


@pytest.fixture(autouse=True)
def cache(fake_tensorrt: Path) -> Path:
    return fake_tensorrt


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """Count the builds that were finished, in this process and others."""
    log = tmp_path / "builds"
    log.touch()
    monkeypatch.setenv("FAKE_TENSORRT_BUILDS", str(log))
    return lambda: len(log.read_text().splitlines())


def graph(folder: Path, precision: str = "fp32") -> bytes:
    return (folder / f"maps.{precision}.onnx").read_bytes()


def feed(frame: Pixels, strength: float = 1.0) -> dict[str, npt.NDArray[np.generic]]:
    return {"frame": frame[None], "strength": np.array([strength], np.float32)}


def open_maps(
    folder: Path,
    precision: str = "fp32",
    *,
    height: int = 32,
    options: BuildOptions | None = None,
    on_progress: OnBuildProgress = lambda _: None,
) -> Backend:
    shapes = {**SHAPES, "frame": (1, height, 40, 3)}
    return open_backend(
        "tensorrt",
        graph(folder, precision),
        shapes,
        precision,
        options=options,
        on_progress=on_progress,
    )


def facts_of(cache: Path) -> dict[str, Any]:
    """Return what the fake engine was built with."""
    (report,) = cache.glob("*.layers.json")
    facts: dict[str, Any] = json.loads(report.read_text())["facts"]
    return facts


def fake_cuda() -> Any:
    """Return the fake of the CUDA runtime that is in use now."""
    return sys.modules["cuda.bindings.runtime"]


# Running


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_precision_is_what_the_inspector_tells(pristine_model: Path, precision: str) -> None:
    assert open_maps(pristine_model, precision).precision == precision


def test_the_second_frame_on_is_one_graph_launch(pristine_model: Path, street: Street) -> None:
    backend, frame = open_maps(pristine_model), street(32, 40)
    first = backend.infer(feed(frame))["light"].copy()
    assert fake_cuda().launches == 0
    for _ in range(3):
        assert np.array_equal(backend.infer(feed(frame))["light"], first)
    assert fake_cuda().launches == 3
    assert not np.array_equal(backend.infer(feed(frame // 2))["light"], first)


def test_an_engine_that_cannot_be_recorded_runs_without(
    pristine_model: Path, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_CAPTURE", "refused")
    backend, frame = open_maps(pristine_model), street(32, 40)
    first = backend.infer(feed(frame))["light"].copy()
    assert np.array_equal(backend.infer(feed(frame))["light"], first)
    assert fake_cuda().launches == 0


def test_forks_run_side_by_side_on_streams_of_their_own(
    pristine_model: Path, street: Street
) -> None:
    backend = open_maps(pristine_model)
    lanes = [backend, backend.fork(), backend.fork()]
    assert fake_cuda().live()["streams"] == 3
    frames = [street(32, 40), 255 - street(32, 40), street(32, 40) // 3]
    alone = [backend.infer(feed(frame))["light"].copy() for frame in frames]
    together: list[list[Pixels]] = [[], [], []]

    def run(lane: int) -> None:
        for _ in range(5):
            together[lane].append(lanes[lane].infer(feed(frames[lane]))["light"].copy())

    threads = [threading.Thread(target=run, args=(lane,)) for lane in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for images, expected in zip(together, alone, strict=True):
        assert len(images) == 5
        assert all(np.array_equal(image, expected) for image in images)


def test_closing_frees_the_device_and_leaves_results_readable(
    pristine_model: Path, street: Street
) -> None:
    backend = open_maps(pristine_model)
    twin = backend.fork()
    result = backend.infer(feed(street(32, 40)))
    twin.infer(feed(street(32, 40)))
    kept = result["light"].copy()
    backend.close()
    assert fake_cuda().live()["streams"] == 1
    twin.infer(feed(street(32, 40)))  # the engine lives as long as its last lane
    twin.close()
    del twin
    assert fake_cuda().live() == {
        "host": fake_cuda().live()["host"],
        "device": 0,
        "streams": 0,
        "events": 0,
        "graphs": 0,
    }
    assert np.array_equal(result["light"], kept)  # its memory is freed with it
    del result, backend
    assert fake_cuda().live()["host"] == 0


def test_without_a_gpu_the_error_says_what_to_install(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "0")
    with pytest.raises(
        BackendError, match=r"no NVIDIA GPU can be used \(CUDA: no CUDA-cap.*driver"
    ):
        open_maps(pristine_model)


def test_without_tensorrt_the_error_names_the_extra_and_jetpack(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingDependency, match=r"cannot import tensorrt .*\[tensorrt\].*JetPack"):
        open_maps(pristine_model)


def test_bf16_is_refused_with_what_there_is(pristine_model: Path) -> None:
    with pytest.raises(BackendError, match="none is written in bf16: ask for precision fp16, int8"):
        open_backend("tensorrt", graph(pristine_model), SHAPES, "bf16")


# The cache


def test_an_engine_is_built_once_and_found_afterwards(
    pristine_model: Path, cache: Path, builds: Callable[[], int], street: Street
) -> None:
    frame = feed(street(32, 40))
    first = open_maps(pristine_model)
    second = open_maps(pristine_model)
    assert builds() == 1
    assert first.artifact == second.artifact
    assert first.artifact is not None
    assert first.artifact.parent == cache
    assert np.array_equal(first.infer(frame)["gain"], second.infer(frame)["gain"])


def test_the_sidecar_has_all_that_the_engine_depends_on(pristine_model: Path, cache: Path) -> None:
    artifact = open_maps(pristine_model).artifact
    assert artifact is not None
    facts = json.loads((cache / f"{artifact.name}.json").read_text())["facts"]
    key = facts["key"]
    assert len(key["graph_sha256"]) == 64
    assert key["tensorrt"] == "10.3.0"
    assert key["device"].keys() == {"name", "compute_capability", "driver", "cuda_driver"}
    assert (key["device"]["name"], key["device"]["compute_capability"]) == ("Orin", "8.7")
    assert key["shapes"]["frame"] == {
        end: [1, 32, 40, 3] for end in ("smallest", "best", "largest")
    }
    assert key["options"] == {"optimization_level": 3, "hardware_compatible": False}
    assert facts["precision"] == "fp32"
    assert facts["build_s"] > 0


@pytest.mark.parametrize(
    ("variable", "value"), [("FAKE_CUDA_NAME", "NVIDIA H100"), ("FAKE_CUDA_DRIVER", "13040")]
)
def test_another_device_or_driver_builds_anew(
    pristine_model: Path,
    builds: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    open_maps(pristine_model)
    monkeypatch.setenv(variable, value)
    open_maps(pristine_model)
    open_maps(pristine_model)
    assert builds() == 2


def test_another_tensorrt_builds_anew(
    pristine_model: Path, builds: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_maps(pristine_model)
    monkeypatch.setenv("FAKE_TENSORRT_VERSION", "11.4.0.106")
    subprocess.run([sys.executable, "-c", _open_in_another_process(pristine_model)], check=True)
    assert builds() == 2


def test_another_size_graph_or_option_builds_anew(
    pristine_model: Path, builds: Callable[[], int]
) -> None:
    open_maps(pristine_model)
    open_maps(pristine_model, height=48)
    open_maps(pristine_model, "int8")
    open_maps(pristine_model, options=BuildOptions(optimization_level=5))
    assert builds() == 4


def test_without_options_the_best_engine_there_is_is_taken(
    pristine_model: Path, builds: Callable[[], int]
) -> None:
    best = open_maps(pristine_model, options=BuildOptions(optimization_level=5))
    open_maps(pristine_model, options=BuildOptions(optimization_level=0))
    open_maps(pristine_model, options=BuildOptions(5, hardware_compatible=True))
    assert open_maps(pristine_model).artifact == best.artifact
    assert builds() == 3


def test_a_hardware_compatible_engine_serves_the_users_other_gpus(
    pristine_model: Path, builds: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BuildOptions(hardware_compatible=True)
    built = open_maps(pristine_model, options=options)
    monkeypatch.setenv("FAKE_CUDA_NAME", "NVIDIA H100")
    assert open_maps(pristine_model, options=options).artifact == built.artifact
    assert open_maps(pristine_model).artifact == built.artifact
    assert builds() == 1


def test_one_engine_may_serve_a_range_of_sizes(
    pristine_model: Path, builds: Callable[[], int], street: Street
) -> None:
    ends = {size: {**SHAPES, "frame": (1, size, 40, 3)} for size in (16, 64)}
    options = BuildOptions(smallest=ends[16], largest=ends[64])
    ranged = open_maps(pristine_model, options=options)
    for height in (16, 50, 64):
        backend = open_maps(pristine_model, height=height)
        assert backend.artifact == ranged.artifact
        assert backend.infer(feed(street(height, 40)))["gain"].shape == (1, height, 40, 3)
    assert builds() == 1
    assert open_maps(pristine_model, height=65).artifact != ranged.artifact
    with pytest.raises(BackendError, match="sizes are not in order: expected smallest <= best"):
        open_maps(pristine_model, height=65, options=options)


def test_the_options_reach_the_builder(pristine_model: Path, cache: Path) -> None:
    open_maps(pristine_model, options=BuildOptions(5, hardware_compatible=True))
    facts = facts_of(cache)
    assert (facts["level"], facts["compatible"]) == (5, 1)
    assert facts["tf32"] is False  # fp32 means fp32
    assert facts["ranges"] == {"frame": [[1, 32, 40, 3]] * 3}  # strength's shape is the graph's own


def test_the_second_build_knows_the_timings_of_the_first(pristine_model: Path, cache: Path) -> None:
    open_maps(pristine_model)
    assert facts_of(cache)["known"] is False
    for path in cache.glob("*.engine*"):
        path.unlink()
    open_maps(pristine_model, "int8")
    assert facts_of(cache)["known"] is True


def test_timings_of_another_kind_are_left_aside(pristine_model: Path) -> None:
    from dayshift.runtime.backends.shapes import ranges_of
    from dayshift.runtime.backends.trt_build import BuildRequest, build

    request = BuildRequest(graph(pristine_model), ranges_of(SHAPES, BuildOptions()), BuildOptions())
    built = build(request, timing_cache=b"timings of 9.9")
    assert built.timing_cache == b"timings of 10.3.0"


@pytest.mark.parametrize("damage", ["cut", "altered", "foreign"])
def test_an_engine_that_is_damaged_or_foreign_is_never_loaded_but_built_anew(
    pristine_model: Path,
    cache: Path,
    builds: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    street: Street,
    damage: str,
) -> None:
    artifact = open_maps(pristine_model).artifact
    assert artifact is not None
    content = artifact.read_bytes()
    if damage == "cut":
        artifact.write_bytes(content[: len(content) // 2])
    elif damage == "altered":
        artifact.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:  # whole, and sealed by a cache that is not ours
        shutil.rmtree(cache)
        monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(cache.parent / "theirs"))
        theirs = open_maps(pristine_model).artifact
        assert theirs is not None
        monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(cache.parent))
        shutil.copytree(theirs.parent, cache)
        (cache / "seal.key").unlink()
    before = builds()
    loaded: list[bytes] = []
    trt = sys.modules["tensorrt"]
    original = trt.Runtime.deserialize_cuda_engine

    def deserialize(self: Any, plan: bytes) -> Any:
        loaded.append(plan)
        return original(self, plan)

    monkeypatch.setattr(trt.Runtime, "deserialize_cuda_engine", deserialize)
    backend = open_maps(pristine_model)
    assert builds() == before + 1
    assert loaded == [artifact.read_bytes()]  # what was just built, and nothing else
    assert caplog.text.count(".engine is damaged or was not written by this user's cache: it") == 1
    assert backend.infer(feed(street(32, 40)))["gain"].any()
    open_maps(pristine_model)
    assert builds() == before + 1


def test_an_engine_that_tensorrt_itself_refuses_is_built_anew(
    pristine_model: Path, builds: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    from dayshift.runtime.cache import SealedCache

    artifact = open_maps(pristine_model).artifact
    assert artifact is not None
    cache = SealedCache("tensorrt")
    entry = cache.read(artifact.name)
    assert entry is not None
    cache.write(artifact.name, b"sealed, but no plan", entry.facts)
    open_maps(pristine_model)
    assert builds() == 2
    assert "does not load (Serialization assertion magicTag failed): it is built" in caplog.text


def _open_in_another_process(folder: Path) -> str:
    return f"""
import sys
from pathlib import Path
from dayshift.runtime.backends import open_backend
graph = Path({str(folder / "maps.fp32.onnx")!r}).read_bytes()
open_backend("tensorrt", graph, {SHAPES!r}, "fp32", on_progress=lambda p: print(p.phase))
"""


def test_two_processes_build_once(
    pristine_model: Path, builds: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT_STEP_S", "0.3")
    command = [sys.executable, "-c", _open_in_another_process(pristine_model)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert builds() == 1
    assert sum("Tactics" in text for text in told) == 1


def test_a_builder_that_dies_leaves_the_next_one_free(
    pristine_model: Path, cache: Path, builds: Callable[[], int]
) -> None:
    code = _open_in_another_process(pristine_model).replace(
        "print(p.phase)", "__import__('os')._exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 7
    assert list(cache.glob("*.engine")) == []
    open_maps(pristine_model)
    assert builds() == 1


# Progress and cancelling


def test_progress_rises_from_0_to_1(pristine_model: Path) -> None:
    told: list[BuildProgress] = []
    open_maps(pristine_model, on_progress=told.append)
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert 0.5 in fractions
    assert {"reading the graph", "Building Engine", "Tactics 1"} <= {p.phase for p in told}
    told.clear()
    open_maps(pristine_model, on_progress=told.append)
    assert told == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_what_the_callback_raises_ends_the_build_and_leaves_nothing(
    pristine_model: Path, cache: Path, builds: Callable[[], int], kind: type[BaseException]
) -> None:
    def stop(progress: BuildProgress) -> None:
        if progress.fraction > 0.3:
            raise kind("enough")

    with pytest.raises(kind, match="enough"):
        open_maps(pristine_model, on_progress=stop)
    assert builds() == 0
    assert list(cache.glob("*.engine")) == []
    open_maps(pristine_model)  # the lock is free
    assert builds() == 1


# What TensorRT refuses


def test_a_graph_it_refuses_is_told_in_its_words(pristine_model: Path) -> None:
    with pytest.raises(
        BackendError, match=r"refused the graph: Failed to parse the ONNX model\. In"
    ):
        open_backend("tensorrt", b"\x3a\x05\x5a\x03not", SHAPES, "fp32")


def test_a_build_that_fails_is_told_in_its_words(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorrt as trt

    def fail(self: Any, network: Any, config: Any) -> None:
        self._logger.log(trt.ILogger.ERROR, "[optimizer.cpp] Could not find any implementation")

    monkeypatch.setattr(trt.Builder, "build_serialized_network", fail)
    with pytest.raises(BackendError, match=r"could not build an engine: .*Could not find any impl"):
        open_maps(pristine_model)


def test_warnings_are_not_errors(pristine_model: Path) -> None:
    import tensorrt as trt

    from dayshift.runtime.backends.trt_build import log

    log().log(trt.ILogger.WARNING, "nothing to see")
    assert log().take() == "it gave no reason"
    for number in range(9):
        log().log(trt.ILogger.ERROR, f"error {number}")
    assert log().take() == "error 5 error 6 error 7 error 8"


@pytest.mark.parametrize(
    ("layers", "precision"),
    [
        ([{"LayerType": "CaskConvolution", "Weights": {"Type": "Int8"}}], "int8"),
        ([{"LayerType": "CaskGemmConvolution", "Weights": {"Type": "Half"}}], "fp16"),
        (
            [
                {
                    "LayerType": "CaskDeconvolutionV2",
                    "Inputs": [{"Format/Datatype": "Row major linear FP16 format"}],
                }
            ],
            "fp16",
        ),
        ([{"LayerType": "kgen", "Inputs": [{"Format/Datatype": "Int8"}]}], "fp32"),
        (["a name, where the report is not detailed"], "fp32"),
        ([], "fp32"),
    ],
)
def test_the_heavy_layers_decide_the_precision(layers: list[object], precision: str) -> None:
    from dayshift.runtime.backends.trt_build import precision_of

    assert precision_of(json.dumps({"Layers": layers, "Bindings": []})) == precision


# What the system tells of a GPU


@pytest.mark.parametrize(
    ("path", "text", "version"),
    [
        (
            "etc/nv_tegra_release",
            "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
            "L4T 36.4.3",
        ),
        (
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC\n",
            "550.54.15",
        ),
        (
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build\n",
            "560.35.03",
        ),
        ("dev/nvhost-gpu", "", "unknown"),
        ("dev/null", "", None),
    ],
)
def test_the_driver_is_read_from_the_systems_files(
    tmp_path: Path, path: str, text: str, version: str | None
) -> None:
    from dayshift.runtime.backends.nvidia import nvidia_driver

    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert nvidia_driver(tmp_path) == version
