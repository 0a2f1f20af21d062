"""Which rows a request comes to, and the engines' commands that check them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from dayshift.benchmarks.cases import BACKENDS, Case, Request, plan_cases
from dayshift.benchmarks.machine import is_installed
from dayshift.benchmarks.reproduce import command_lines
from dayshift.runtime.errors import UsageError


def test_every_backend_has_a_row_whether_it_is_here_or_not() -> None:
    cases = plan_cases(Request(("day2night",)))
    assert {case.backend for case in cases} >= set(BACKENDS)
    assert {case.device for case in cases} == {"", "GPU", "NPU"}
    assert {case.scenario for case in cases} == {
        *("engine", "single-stream", "offline", "camera", "file")
    }
    assert len(cases) == len(set(cases))
    asked = [(c.backend, c.precision) for c in cases if c.scenario == "single-stream"]
    assert {("openvino", p) for p in ("fp32", "bf16", "fp16", "int8")} <= set(asked)
    assert all(Case.from_json(case.as_json()) == case for case in cases)


def test_full_adds_sizes_threads_streams_and_batches() -> None:
    few = set(plan_cases(Request(("day2night",))))
    more = set(plan_cases(Request(("day2night",), full=True))) - few
    assert {case.size for case in more} >= {"320x180", "640x360", "1920x1080", "3840x2160"}
    assert {case.batch for case in more} >= {2, 4}
    assert any(case.streams > 1 and case.scenario == "offline" for case in more)


def test_a_network_alone_is_the_baseline_in_pytorch() -> None:
    pytest.importorskip("torch")
    cases = plan_cases(Request(("resnet_9blocks",), sizes_wh=((256, 256),)))
    assert {(c.backend, c.precision) for c in cases} == {("pytorch", "fp32")}
    assert [c.scenario for c in cases] == ["single-stream", "camera", "file"]


def test_what_is_asked_for_is_all_there_is() -> None:
    request = Request(
        ("day2night",),
        backends=("openvino", "pytorch"),
        precisions=("int8", "fp32"),
        sizes_wh=((640, 480), (64, 64)),
        scenarios=("single-stream",),
    )
    cases = [case for case in plan_cases(request) if not case.device]
    assert [(c.size, c.backend, c.precision) for c in cases] == [
        (size, *engine)
        for size in ("640x480", "64x64")
        for engine in (("openvino", "int8"), ("openvino", "fp32"), ("pytorch", "fp32"))
    ]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(()), "no model to measure"),
        (Request(("day2night",), backends=("openvno",)), "unknown backend 'openvno'"),
        (Request(("day2night",), precisions=("int4",)), "unknown precision 'int4'"),
        (Request(("nothing-here",)), "a checkpoint .* will do too"),
    ],
)
def test_unknown_words_are_refused_before_anything_is_measured(
    request_: Request, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        plan_cases(request_)


def test_an_openvino_row_names_benchmark_app_with_its_file_shape_hint_and_precision() -> None:
    (command,) = command_lines(Case("day2night", "openvino", "int8", (1280, 720)))
    words = shlex.split(command)
    assert words[0] == "benchmark_app"
    assert Path(words[2]).name == "maps.int8.onnx"
    assert Path(words[2]).is_file()
    (shapes,) = (word for word in words if word.startswith("frame["))
    assert shapes.startswith("frame[1,180,320,3],strength[1],lamps[1],state_gain[1,45,80,48]")
    assert words[words.index("-hint") + 1] == "latency"
    assert words[words.index("-infer_precision") + 1] == "f32"


def test_several_streams_are_asked_of_benchmark_app_in_place_of_a_hint() -> None:
    case = Case("day2night", "openvino", "bf16", (1280, 720), "offline", streams=2)
    words = shlex.split(command_lines(case)[0])
    assert Path(words[2]).name == "maps.fp32.onnx"
    assert words[words.index("-nstreams") + 1] == "2"
    assert words[words.index("-infer_precision") + 1] == "bf16"


def test_a_tensorrt_row_names_trtexec_and_polygraphy() -> None:
    trtexec, polygraphy = command_lines(Case("day2night", "tensorrt", "int8", (1280, 720)))
    assert "--stronglyTyped" in trtexec
    assert "--onnxrt --trt" in polygraphy
    assert command_lines(Case("day2night", "pytorch", "fp32", (1280, 720))) == []


def test_libraries_are_looked_for_without_importing_them() -> None:
    assert is_installed("onnxruntime:cuda") == is_installed("onnxruntime")
