"""`dayshift build`: ahead of time into the cache, and the commands that do the same."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Dayshift = Callable[..., Any]
FAKES = Path(__file__).parent / "fakes"


@pytest.fixture
def with_fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let a process of its own find the fakes of TensorRT and CUDA; return its cache."""
    root = Path(__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{FAKES}:{root}")
    monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tensorrt"


def test_an_engine_is_built_and_the_next_time_it_is_there(
    with_fakes: Path, tiny_model: Path
) -> None:
    command = [sys.executable, "-m", "dayshift", "build", str(tiny_model), "--backend", "tensorrt"]
    command += ["--size", "160x128", "--json", "-"]
    results = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        results.append(json.loads(done.stdout))
        assert done.stderr == ""  # no bars where there is no terminal
    assert [result["was_cached"] for result in results] == [False, True]
    artifact = Path(results[0]["artifact"])
    assert artifact.parent == with_fakes
    assert artifact.is_file()
    assert results[0]["precision_actual"] == "fp16"
    assert (results[0]["device"], results[0]["size"]) == ("Orin", "160x128")
    assert results[0]["seconds"] > 0


def test_other_backends_say_that_they_keep_nothing(
    dayshift_command: Dayshift, tiny_model: Path
) -> None:
    done = dayshift_command("build", tiny_model, "--backend", "openvino", "--size", "160x128")
    assert done.code == 0
    assert "nothing: openvino compiles in a moment at every start" in done.out


def commands(dayshift_command: Dayshift, model: Path, *words: str) -> list[list[str]]:
    done = dayshift_command("build", model, "--backend", "tensorrt", "--show-commands", *words)
    assert done.code == 0, done.err
    return [shlex.split(line) for line in done.out.splitlines()]


def test_the_commands_of_the_same_build_need_neither_tensorrt_nor_a_gpu(
    dayshift_command: Dayshift, tiny_model: Path
) -> None:
    words = ("--size", "160x128", "--precision", "int8", "--level", "5", "--hardware-compatible")
    trtexec, polygraphy = commands(dayshift_command, tiny_model, *words)
    assert trtexec[0] == "trtexec"
    assert f"--onnx={tiny_model / 'int8.onnx'}" in trtexec
    assert {"--stronglyTyped", "--noTF32", "--builderOptimizationLevel=5"} <= set(trtexec)
    assert "--hardwareCompatibilityLevel=ampere+" in trtexec
    for end in ("min", "opt", "max"):
        assert f"--{end}Shapes=frame:1x128x160x3" in trtexec  # strength has no free side
        assert polygraphy[polygraphy.index(f"--trt-{end}-shapes") + 1] == "frame:[1,128,160,3]"
    assert polygraphy[:3] == ["polygraphy", "convert", str(tiny_model / "int8.onnx")]
    assert polygraphy[polygraphy.index("--hardware-compatibility-level") + 1] == "ampere_plus"


def test_a_range_of_sizes_is_told(dayshift_command: Dayshift, tiny_model: Path) -> None:
    words = ("--size", "320x240", "--smallest", "160x128", "--largest", "640x480")
    trtexec, _ = commands(dayshift_command, tiny_model, *words)
    assert "--minShapes=frame:1x128x160x3" in trtexec
    assert "--optShapes=frame:1x240x320x3" in trtexec
    assert "--maxShapes=frame:1x480x640x3" in trtexec


def test_polygraphy_takes_the_command(dayshift_command: Dayshift, tiny_model: Path) -> None:
    if importlib.util.find_spec("polygraphy") is None:
        pytest.skip("needs polygraphy: pip install polygraphy")
    _, (_, _, graph, *words) = commands(
        dayshift_command, tiny_model, "--size", "160x128", "--hardware-compatible"
    )
    # `run` writes what it would do as a script; `convert` has the same options of TensorRT's.
    options = words[words.index("--strongly-typed") : words.index("--output")]
    code = "import sys; from polygraphy.tools import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "run", graph, "--trt", *options, "--gen-script", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Profile().add('frame', min=[1, 128, 160, 3], opt=[1, 128, 160, 3]" in done.stdout
    assert "strongly_typed=True" in done.stdout
    assert "AMPERE_PLUS" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "openvino", "--show-commands"], "--show-commands is for TensorRT: expected"),
        (["--backend", "tensorrt", "--show-commands", "--smallest", "640x480"], "not in order"),
        (["--backend", "tensorrt", "--size", "big", "--show-commands"], "--size big"),
        (["--backend", "trt"], "unknown backend 'trt': expected"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    dayshift_command: Dayshift, tiny_model: Path, words: list[str], message: str
) -> None:
    assert message in dayshift_command("build", tiny_model, "--size", "320x240", *words).error
