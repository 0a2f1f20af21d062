"""What is installed: every package, the model, the clip, and nothing by a second way."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import dayshift

ROOT = Path(__file__).parents[1]
LINKS = ("benchmarks", "export", "models", "runtime", "train")


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))


def folder_of(package: str) -> Path:
    return ROOT.joinpath(*package.removeprefix("dayshift.").split("."))


def python_packages() -> set[str]:
    """Return every folder with Python files in it, by the name it is imported by."""
    found = {"dayshift", "dayshift.cli"}
    for link in LINKS:
        for path in (ROOT / link).rglob("*.py"):
            found.add(".".join(("dayshift", *path.parent.relative_to(ROOT).parts)))
    return found


def test_every_package_folder_is_listed(project: dict[str, Any]) -> None:
    listed = set(project["tool"]["setuptools"]["packages"])
    # The models are data: a package that may have no Python file.
    assert listed - {"dayshift.models"} == python_packages() - {"dayshift.models"}
    assert "dayshift.models" in listed


def test_every_package_folder_has_an_init() -> None:
    packages = python_packages() - {"dayshift", "dayshift.cli", "dayshift.models"}
    without = [name for name in packages if not (folder_of(name) / "__init__.py").is_file()]
    assert without == []


@pytest.mark.parametrize("name", LINKS)
def test_the_links_for_type_checkers_lead_to_the_folders(name: str) -> None:
    link = ROOT / "dayshift" / name
    if link.is_file():
        pytest.skip("this checkout was made without symbolic links (core.symlinks=false)")
    assert link.is_symlink()
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("extra", ["desktop", "headless", "onnxruntime", "tensorrt"])
def test_what_runs_models_needs_no_training_library(extra: str, project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    needed = [*project["project"]["dependencies"], *extras[extra]]
    assert not [name for name in needed if name.startswith(("torch", "onnx>", "onnxscript"))]


def test_base_dependencies_bring_no_opencv(project: dict[str, Any]) -> None:
    """On a Jetson cv2 comes from JetPack, and a wheel would shadow it."""
    assert not [name for name in project["project"]["dependencies"] if "opencv" in name]


def test_the_installed_version_is_that_of_the_source() -> None:
    assert importlib.metadata.version("dayshift") == dayshift.__version__


@pytest.fixture(scope="session")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build a wheel from a copy of the tree, as `pip install` does, and return what is in it."""
    pytest.importorskip("build", reason="building a wheel needs the extra `dev`")
    tree = tmp_path_factory.mktemp("tree") / "dayshift"
    out = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(
        ".*", "build", "runs", "*.egg-info", "__pycache__", "*.mp4.part"
    )
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_has_every_module(wheel_names: set[str]) -> None:
    modules = {
        f"dayshift/{path.relative_to(ROOT).as_posix()}"
        for link in LINKS
        for path in (ROOT / link).rglob("*.py")
    }
    modules |= {
        path.relative_to(ROOT).as_posix()
        for path in (*ROOT.glob("dayshift/*.py"), *ROOT.glob("dayshift/cli/*.py"))
    }
    assert {name for name in wheel_names if name.endswith(".py")} == modules


def test_the_wheel_has_the_data(wheel_names: set[str]) -> None:
    assert "dayshift/py.typed" in wheel_names
    files = [path for path in (ROOT / "models").rglob("*") if path.is_file()]
    data = {path for path in files if not path.name.startswith(".") and path.suffix != ".pyc"}
    assert {f"dayshift/{path.relative_to(ROOT).as_posix()}" for path in data} <= wheel_names
    assert [name for name in wheel_names if name.startswith("dayshift/train/recipes/")]


def test_the_wheel_claims_one_name_only(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dayshift"}
