"""Libraries: missing, old, shadowed, crashing; over fake modules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dayshift.runtime.doctor import libraries
from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host, version_of

ROOT = Path(__file__).parents[3]
FAKES = Path(__file__).parents[2] / "fakes"
OURS = f"python{sys.version_info[0]}.{sys.version_info[1]}"

Write = Callable[..., None]
LibrariesOf = Callable[..., tuple[str, ...]]

CV2 = """
__version__ = {version!r}
CAP_GSTREAMER = 1800
def getBuildInformation(): return "  GUI:                           {gui}\\n"
class videoio_registry:
    def hasBackend(backend): return {gstreamer}
"""


def test_the_support_matrix_is_that_of_the_package() -> None:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {line.split(";")[0].strip() for lines in extras.values() for line in lines}
    for name in ("openvino", "onnxruntime", "tensorrt", "opencv"):
        low, _ = libraries.SUPPORTED[name]
        package = "opencv-python-headless" if name == "opencv" else name
        assert any(line.startswith(f"{package}>={low}") for line in wanted), name
    for *_, packages in libraries._EXTRAS:
        for requirement in packages.split():
            assert requirement.strip("'") in wanted
    assert project["requires-python"] == f">={libraries.SUPPORTED['python'][0]}"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("10.3.0", (10, 3, 0)),
        ("2026.4.1-22982-e21", (2026, 4, 1)),
        ("2.13.0+cpu", (2, 13, 0)),
        ("5.0.0rc1", (5, 0, 0)),
        ("unknown", ()),
    ],
)
def test_versions_are_compared_by_their_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert version_of(text) == numbers


def test_two_opencv_wheels_overwrite_each_other(
    libraries_of: LibrariesOf, tmp_path: Path, root: Path
) -> None:
    wheels = ("opencv-python==4.14.0.94", "opencv_python_headless==5.0.0.93")
    host = Host(root, search=libraries_of(tmp_path, wheels=wheels)[:1])
    check = libraries.check_opencv(host)
    assert not check.ok
    assert "opencv-python 4.14.0.94 and opencv-python-headless 5.0.0.93" in check.detail
    assert "uninstall -y opencv-python opencv-python-headless &&" in (check.fix or "")
    assert (check.fix or "").endswith("install opencv-python")


def test_which_opencv_and_what_it_can(
    libraries_of: LibrariesOf, tmp_path: Path, root: Path
) -> None:
    text = CV2.format(version="4.8.0", gui="GTK3", gstreamer=True)
    check = libraries.check_opencv(Host(root, search=libraries_of(tmp_path, cv2=text)[:1]))
    assert check.ok
    assert check.detail.startswith("4.8.0 (of the system), GStreamer, windows by GTK3, ")
    text = CV2.format(version="4.6.0", gui="NONE", gstreamer=False)
    check = libraries.check_opencv(Host(root, search=libraries_of(tmp_path, cv2=text)[:1]))
    assert (check.ok, check.detail[:24]) == (False, "4.6.0 is not supported: ")


def test_a_wheel_that_shadows_jetpacks_opencv(
    libraries_of: LibrariesOf, tmp_path: Path, orin: Host
) -> None:
    text = CV2.format(version="5.0.0", gui="QT5", gstreamer=False)
    search = libraries_of(tmp_path, wheels=("opencv-python==5.0.0.93",), cv2=text)[:1]
    check = libraries.check_opencv(Host(orin.root, search=search))
    assert "shadows JetPack's OpenCV" in check.detail
    assert (check.fix or "").endswith("-m pip uninstall -y opencv-python")


def test_jetpacks_opencv_is_found_outside_and_needs_numpy_1(
    libraries_of: LibrariesOf, tmp_path: Path, orin: Host, write: Write
) -> None:
    absent = Host(orin.root, search=libraries_of(tmp_path, cv2=ABSENT.format("cv2"))[:1])
    assert libraries.check_opencv(absent).fix == "sudo apt-get install nvidia-opencv"
    write(**{"usr/lib/python3.10/dist-packages/cv2/__init__.py": ""})
    assert "system-site-packages" in (libraries.check_opencv(absent).fix or "")
    (tmp_path / "cv2.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    fix = libraries.check_opencv(absent).fix or ""
    assert fix.endswith("-m pip install 'numpy<2'")


CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def test_a_library_that_crashes_does_not_take_the_doctor_with_it(
    libraries_of: LibrariesOf, tmp_path: Path, root: Path
) -> None:
    search = libraries_of(tmp_path, openvino=CRASH, onnxruntime="__version__ = '1.17.0'\n"
                          "def get_available_providers(): return ['CPU']")  # fmt: skip
    openvino, onnxruntime, tensorrt = libraries.check_engines(Host(root, search=search))
    assert openvino.detail == "crashes (SIGSEGV)"
    assert onnxruntime.detail == "1.17.0 is not supported: expected 1.18 or newer, below 2"
    assert "'onnxruntime>=1.18,<2'" in (onnxruntime.fix or "")
    assert "nor is there an NVIDIA GPU" in tensorrt.detail


ABSENT = "raise ModuleNotFoundError(\"No module named '{0}'\", name='{0}')"


@pytest.fixture
def without_tensorrt(libraries_of: LibrariesOf, tmp_path: Path, orin: Host) -> Host:
    folder = tmp_path / "libraries"
    folder.mkdir()
    search = libraries_of(folder, tensorrt=ABSENT.format("tensorrt"))
    return Host(orin.root, search=search, prefix=orin.root / "venv")


def tensorrt_check(host: Host) -> Check:
    return next(check for check in libraries.check_engines(host) if check.name == "tensorrt")


def test_jetpacks_tensorrt_is_let_into_the_virtual_environment(
    without_tensorrt: Host, write: Write
) -> None:
    check = tensorrt_check(without_tensorrt)
    assert check.fix == "sudo apt-get install python3-libnvinfer"
    write(
        **{
            "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": "",
            f"usr/bin/{OURS}": "",
            "venv/pyvenv.cfg": "home = /usr/bin\ninclude-system-site-packages = false\n",
        }
    )
    (without_tensorrt.root / "usr/bin/python3").symlink_to(OURS)
    check = tensorrt_check(without_tensorrt)
    assert "which this environment does not see" in check.detail
    assert check.fix is not None
    subprocess.run(check.fix, shell=True, check=True)  # the mend really mends
    config = (without_tensorrt.prefix / "pyvenv.cfg").read_text()
    assert config == "home = /usr/bin\ninclude-system-site-packages = true\n"


def test_an_environment_of_another_python_is_to_be_made_anew(
    without_tensorrt: Host, write: Write
) -> None:
    write(
        **{
            "usr/lib/python3.9/dist-packages/tensorrt/__init__.py": "",
            "usr/bin/python3.9": "",
            "venv/pyvenv.cfg": "",
        }
    )
    (without_tensorrt.root / "usr/bin/python3").symlink_to("python3.9")
    fix = tensorrt_check(without_tensorrt).fix or ""
    assert fix.startswith("python3.9 -m venv --system-site-packages .venv")


def test_tensorrt_that_works_says_on_what(orin: Host) -> None:
    check = tensorrt_check(Host(orin.root, search=(str(FAKES), *sys.path)))
    assert check.ok, check
    assert "compute capability" in check.detail


TORCH = "__version__ = '2.13.0{0}'\ncuda: str = {1!r}\n"


@pytest.mark.parametrize(("local", "cuda", "ok"), [("+cpu", None, False), ("", "13.0", True)])
def test_a_cpu_only_pytorch_beside_a_gpu(
    tmp_path: Path, root: Path, write: Write, local: str, cuda: str | None, ok: bool
) -> None:
    package = tmp_path / "libraries" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('never imported')")
    (package / "version.py").write_text(TORCH.format(local, cuda))
    host = Host(root, search=(str(package.parent),))
    check = libraries.check_torch(host)
    assert check is not None
    assert check.ok  # without a GPU all is well
    write(**{"proc/driver/nvidia/version": "Kernel Module  550.54.15  Tue\n"})
    check = libraries.check_torch(host)
    assert check is not None
    assert check.ok == ok
    assert ok or (check.fix or "").endswith("install --force-reinstall torch==2.13.0")
    assert libraries.check_torch(Host(root, search=())) is None
