"""The layers hold: who imports whom, and what each can do without."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dayshift

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "export", "runtime", "train")

# What a layer may import of ours; see ARCHITECTURE.md.
ALLOWED = {
    "runtime": ("dayshift.runtime",),
    "train": ("dayshift.train", "dayshift.runtime"),
    "export": ("dayshift.export", "dayshift.train", "dayshift.runtime"),
}
VERBS = (
    "demo",
    "run",
    "translate",
    "train",
    "distill",
    "synth",
    "evaluate",
    "import",
    "export",
    "quantize",
    "build",
    "serve-repository",
    "doctor",
    "info",
    "models",
    "verify",
    "sign",
    "update",
    "bench",
)
# The one arrow upwards: the Python API ends with `export`, and imports it when that is called.
FACADES = {
    ("train/trainable.py", "dayshift.export.frames"),
    ("train/trainable.py", "dayshift.export.model_folder"),
    ("train/trainable.py", "dayshift.export.quantize"),
}
# What only some layers may import at all.
TRAINING_LIBRARIES = {"torch", "onnx", "onnxscript", "nncf"}


def imports_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file below a folder with each module it imports, also inside functions."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                yield path, node.module or ""


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_itself_and_those_below_it(layer: str) -> None:
    seen = list(imports_of(ROOT / layer))
    assert seen
    ours = [(path, name) for path, name in seen if name.split(".")[0] == "dayshift"]
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, name in ours
        if (path.relative_to(ROOT).as_posix(), name) not in FACADES
        and not f"{name}.".startswith(tuple(f"{allowed}." for allowed in ALLOWED[layer]))
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ["dayshift/cli", "runtime"])
def test_what_runs_models_names_no_training_library(folder: str) -> None:
    libraries = {name.split(".")[0] for _, name in imports_of(ROOT / folder)}
    assert "dayshift" in libraries
    assert libraries.isdisjoint(TRAINING_LIBRARIES)


@pytest.mark.parametrize(
    ("library", "modules"),
    [
        ("openvino", {"ov.py", "ov_cache.py", "ov_padding.py"}),
        ("onnxruntime", {"ort.py"}),
        ("tensorrt", {"trt.py", "trt_build.py"}),
        ("cuda.bindings", {"cuda.py"}),
        ("tritonclient", {"kserve_server.py"}),
    ],
)
def test_an_engine_is_imported_by_its_own_backend_only(library: str, modules: set[str]) -> None:
    users = {path.name for path, name in imports_of(ROOT / "runtime") if name == library}
    assert users == modules


def test_nothing_is_imported_by_the_name_of_its_folder() -> None:
    for folder in (*FOLDERS, "dayshift", "tests"):
        for path, name in imports_of(ROOT / folder):
            assert name.split(".")[0] not in FOLDERS, f"{path} imports {name}"


def test_no_module_is_imported_under_a_second_name(run_python: Callable[..., str]) -> None:
    """The root folders can be found under their bare names: nothing must do so."""
    modules = [
        module.name
        for module in pkgutil.walk_packages(dayshift.__path__, prefix="dayshift.")
        if not module.name.startswith(("dayshift.train", "dayshift.export", "dayshift.benchmarks"))
        and not module.name.endswith("__main__")
    ]
    assert "dayshift.cli.app" in modules
    assert "dayshift.runtime.model" in modules
    told = run_python(
        f"import importlib, os, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'tests' / 'fakes')!r})\n"  # for TensorRT and CUDA
        "from dayshift.runtime.errors import MissingDependency\n"
        f"for name in {modules!r}:\n"
        "    try: importlib.import_module(name)\n"
        "    except MissingDependency as error:\n"
        "        assert any(name in str(error) for name in ('pyvirtualcam', 'ray', 'aiortc'))\n"
        "for name, module in list(sys.modules.items()):\n"
        "    path = getattr(module, '__file__', None)\n"
        "    if path: print(os.path.realpath(path), name)\n"
    )
    name_of: dict[str, str] = {}
    for line in told.splitlines():
        path, _, name = line.rpartition(" ")
        if Path(path).is_relative_to(ROOT) and ".venv" not in path:
            assert name_of.setdefault(path, name) == name
    assert str(ROOT / "runtime" / "model.py") in name_of


def test_the_command_line_works_without_training_libraries(
    run_python: Callable[..., str], tiny_model: Path
) -> None:
    told = run_python(
        "import sys; from dayshift.cli import main\n"
        "words = ['run', 'synthetic://?size=64x48&frames=3&pace=0', 'null://']\n"
        f"sys.exit(main([*words, '--model', {str(tiny_model)!r}]))",
        blocked=("torch", "onnx", "nncf", "onnxscript", "dayshift.train", "dayshift.export"),
    )
    assert "3 of 3" in told


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)])
def test_help_needs_no_extra(run_python: Callable[..., str], verb: list[str]) -> None:
    told = run_python(
        f"import sys; from dayshift.cli import main; sys.exit(main([*{verb!r}, '--help']))",
        blocked=("av", "cv2", "numpy", "onnxruntime", "openvino", "torch"),
    )
    assert " ".join(["Usage: dayshift", *verb]) in told


@pytest.mark.parametrize("missing", ["cv2", "av"])
def test_a_missing_library_says_which_extra_brings_it(
    run_python: Callable[..., str], missing: str, street_video: Path, tiny_model: Path
) -> None:
    told = run_python(
        "import sys; from dayshift.cli import main; sys.stderr = sys.stdout\n"
        f"print(main(['run', {str(street_video)!r}, 'null://', '-m', {str(tiny_model)!r}]))",
        blocked=(missing,),
    )
    error, code = told.splitlines()
    assert error.startswith(f"error: cannot import {missing} (")
    assert "pip install 'dayshift[desktop]'" in error
    assert code == "1"
