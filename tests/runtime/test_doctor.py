"""The doctor over fake file trees, fake libraries and the fake camera driver, and for real here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayshift.runtime.doctor import libraries
from dayshift.runtime.doctor.cameras import check_cameras, check_virtual_camera
from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.diagnosis import can_run, check_display, diagnose
from dayshift.runtime.doctor.host import Host, version_of
from dayshift.runtime.doctor.main_job import check_main_job
from dayshift.runtime.doctor.system import (
    check_cache,
    check_clocks,
    check_disk,
    check_gpu,
    check_heat,
    check_memory,
    check_port,
    check_power_mode,
    check_system,
)

ROOT = Path(__file__).parents[2]
FAKES = Path(__file__).parents[1] / "fakes"
OURS = f"python{sys.version_info[0]}.{sys.version_info[1]}"

Write = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a machine about which nothing is known."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def write(root: Path) -> Write:
    def write_files(**files: str) -> None:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write_files


ORIN = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/meminfo": "MemTotal:        7802960 kB\nMemFree: 1 kB\nSwapTotal:             0 kB\n",
    "etc/nvpmodel.conf": (
        "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=0 >\n"
    ),
    "var/lib/nvpmodel/status": "pmode:0000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1510400\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "91250\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "3\n",
    "sys/class/thermal/cooling_device1/type": "cpu-throttle-alert\n",
    "sys/class/thermal/cooling_device1/cur_state": "1\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
}


@pytest.fixture
def orin(root: Path, write: Write) -> Host:
    """A Jetson Orin Nano with JetPack 6.2 in its 15 W mode, hot and without swap."""
    write(**ORIN)
    return Host(root, prefix=root / "venv")


def libraries_of(folder: Path, *, wheels: tuple[str, ...] = (), **modules: str) -> tuple[str, ...]:
    """Write fake modules and wheels' metadata; return where libraries are then looked for."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    for wheel in wheels:
        name, version = wheel.split("==")
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return (str(folder), *sys.path)


CV2 = """
__version__ = {version!r}
CAP_GSTREAMER = 1800
def getBuildInformation(): return "  GUI:                           {gui}\\n"
class videoio_registry:
    def hasBackend(backend): return {gstreamer}
"""


# --- what every finding has


def test_what_is_not_well_has_a_mend_and_what_is_well_has_none(orin: Host) -> None:
    checks = [
        check_system(orin), check_gpu(orin), check_power_mode(orin), check_clocks(orin),
        check_heat(orin), check_memory(orin), check_virtual_camera(orin), *check_cameras(orin),
    ]  # fmt: skip
    for check in checks:
        assert check is not None
        assert check.ok == (check.fix is None), check
        assert "\n" not in check.detail + (check.fix or "")
        assert not check.is_needed, check


def test_a_jetson_is_told_what_holds_it_back(orin: Host) -> None:
    assert check_system(orin) == Check(
        "system",
        True,
        "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3 (JetPack 6), Ubuntu 22.04.5 LTS, "
        + os.uname().machine,
    )
    assert check_gpu(orin).ok
    assert check_power_mode(orin) == Check(
        "power mode", False, "15W (0): the fastest is MAXN_SUPER", "sudo nvpmodel -m 2"
    )
    clocks = check_clocks(orin)
    assert (clocks.ok, clocks.fix) == (False, "sudo jetson_clocks")
    heat = check_heat(orin)
    assert heat.detail == "hottest: cpu-thermal 91 °C; throttled: cpu-throttle-alert"
    memory = check_memory(orin)
    assert memory.detail.startswith("7.4 GiB, 0.0 GiB of swap")
    assert "mkswap /swapfile" in (memory.fix or "")


def test_a_jetson_that_is_set_up_is_well(orin: Host, write: Write) -> None:
    write(
        **{
            "var/lib/nvpmodel/status": "pmode:0002",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1510400\n",
            "sys/class/thermal/cooling_device1/cur_state": "0\n",
            "proc/meminfo": "MemTotal: 7802960 kB\nSwapTotal: 3901472 kB\n",
        }
    )
    for check in (check_power_mode(orin), check_clocks(orin), check_heat(orin), check_memory(orin)):
        assert check is not None
        assert check.ok, check


def test_over_current_and_an_old_release_are_told(orin: Host, write: Write) -> None:
    write(
        **{
            "sys/class/hwmon/hwmon3/oc1_event_cnt": "4\n",
            "sys/class/thermal/cooling_device1/cur_state": "0\n",
            "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 1",
        }
    )
    assert "4 over-current events" in check_heat(orin).detail
    assert not check_system(orin).ok
    assert "flash JetPack 6.1" in (check_system(orin).fix or "")


def test_a_machine_that_shows_nothing_is_not_ill(root: Path) -> None:
    host = Host(root)
    for check in (check_system(host), check_clocks(host), check_heat(host), check_memory(host)):
        assert check.ok, check
    assert check_power_mode(host) is None
    gpu = check_gpu(host)
    assert (gpu.ok, gpu.detail) == (False, "no NVIDIA GPU: models run on the CPU")


def test_a_gpu_on_the_bus_without_a_driver(root: Path, write: Write) -> None:
    device = "sys/bus/pci/devices/0000:01:00.0"
    write(**{f"{device}/vendor": "0x10de\n", f"{device}/class": "0x040300\n"})
    assert check_gpu(Host(root)).detail.startswith("no NVIDIA GPU")  # its sound card
    write(**{f"{device}/class": "0x030000\n"})
    assert check_gpu(Host(root)).detail == "an NVIDIA GPU without its driver"
    write(**{"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX  Module  550.54.15  x\n"})
    assert check_gpu(Host(root)).detail == "NVIDIA, driver 550.54.15"


def test_a_slow_governor_is_told(root: Path, write: Write) -> None:
    folder = "sys/devices/system/cpu/cpu0/cpufreq"
    write(**{f"{folder}/scaling_governor": "powersave\n", f"{folder}/scaling_driver": "acpi\n"})
    assert not check_clocks(Host(root)).ok
    write(**{f"{folder}/scaling_driver": "intel_pstate\n"})
    assert check_clocks(Host(root)).ok


# --- disk, cache, port


def test_a_cache_that_is_open_or_not_ours_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "tensorrt"
    assert check_cache(folder).ok
    folder.mkdir(parents=True, mode=0o700)
    assert check_cache(folder).ok
    folder.chmod(0o755)
    check = check_cache(folder)
    assert (check.ok, check.fix) == (False, f"rm -r {folder}")
    assert "mode 0755" in check.detail
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert "not a folder of this user's own" in check_cache(folder).detail


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk(tmp_path / "not" / "there").ok == (
        shutil.disk_usage(tmp_path).free >= 2 * 2**30
    )
    used = shutil.disk_usage(tmp_path)._replace(free=5 * 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: used)
    check = check_disk(tmp_path)
    assert (check.ok, check.detail[:12]) == (False, "0.5 GiB free")


def test_a_port_that_is_taken_names_who_has_it() -> None:
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        port = server.getsockname()[1]
        check = check_port(Host(), port)
        assert not check.ok
        assert f"(pid {os.getpid()})" in check.detail
        assert check.fix == f"dayshift run SOURCE http://:{port + 1}"
    assert check_port(Host(), port).ok


# --- libraries


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


def test_two_opencv_wheels_overwrite_each_other(tmp_path: Path, root: Path) -> None:
    wheels = ("opencv-python==4.14.0.94", "opencv_python_headless==5.0.0.93")
    host = Host(root, search=libraries_of(tmp_path, wheels=wheels)[:1])
    check = libraries.check_opencv(host)
    assert not check.ok
    assert "opencv-python 4.14.0.94 and opencv-python-headless 5.0.0.93" in check.detail
    assert "uninstall -y opencv-python opencv-python-headless &&" in (check.fix or "")
    assert (check.fix or "").endswith("install opencv-python")


def test_which_opencv_and_what_it_can(tmp_path: Path, root: Path) -> None:
    text = CV2.format(version="4.8.0", gui="GTK3", gstreamer=True)
    check = libraries.check_opencv(Host(root, search=libraries_of(tmp_path, cv2=text)[:1]))
    assert check.ok
    assert check.detail.startswith("4.8.0 (of the system), GStreamer, windows by GTK3, ")
    text = CV2.format(version="4.6.0", gui="NONE", gstreamer=False)
    check = libraries.check_opencv(Host(root, search=libraries_of(tmp_path, cv2=text)[:1]))
    assert (check.ok, check.detail[:24]) == (False, "4.6.0 is not supported: ")


def test_a_wheel_that_shadows_jetpacks_opencv(tmp_path: Path, orin: Host) -> None:
    text = CV2.format(version="5.0.0", gui="QT5", gstreamer=False)
    search = libraries_of(tmp_path, wheels=("opencv-python==5.0.0.93",), cv2=text)[:1]
    check = libraries.check_opencv(Host(orin.root, search=search))
    assert "shadows JetPack's OpenCV" in check.detail
    assert (check.fix or "").endswith("-m pip uninstall -y opencv-python")


def test_jetpacks_opencv_is_found_outside_and_needs_numpy_1(
    tmp_path: Path, orin: Host, write: Write
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
    tmp_path: Path, root: Path
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
def without_tensorrt(tmp_path: Path, orin: Host) -> Host:
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


# --- cameras


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler for the fake driver")
    library = tmp_path_factory.mktemp("driver") / "v4l2_camera.so"
    source = FAKES / "v4l2_camera.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


LOOK = """
import json, sys
from pathlib import Path
from dayshift.runtime.doctor.cameras import check_cameras
from dayshift.runtime.doctor.host import Host
checks = check_cameras(Host(Path(sys.argv[1])), test=sys.argv[2] == "test")
print(json.dumps([check.to_json() for check in checks]))
"""


def look(root: Path, driver: Path, *, test: bool = False, **options: str) -> list[dict[str, Any]]:
    """Look at the fake driver's camera, which is /dev/full."""
    environment = {"LD_PRELOAD": str(driver), "FAKE_V4L2": "/dev/full", **options}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(root), "test" if test else ""],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


@pytest.fixture
def camera(root: Path, write: Write) -> Path:
    write(**{"sys/class/video4linux/video0/name": "UVC Camera (046d:0825)\n", "dev/null": ""})
    (root / "dev/video0").symlink_to("/dev/full")
    return root / "dev/video0"


def test_a_camera_with_its_formats(root: Path, driver: Path, camera: Path) -> None:
    (check,) = look(root, driver)
    assert check["ok"]
    assert check["name"] == "camera /dev/video0"
    assert check["detail"] == "UVC Camera (046d:0825): YUYV 640x480 320x240"


def test_who_holds_a_camera(root: Path, driver: Path, camera: Path, write: Write) -> None:
    write(**{"proc/812/comm": "obs\n", "proc/812/fd/.keep": "", "proc/self/comm": ""})
    (root / "proc/812/fd/7").symlink_to("/dev/video0")
    (check,) = look(root, driver)
    assert not check["ok"]
    assert check["detail"].endswith("; in use by obs (pid 812)")
    assert check["fix"] == "kill 812"


def test_a_camera_test_takes_frames(root: Path, driver: Path, camera: Path) -> None:
    _, check = look(root, driver, test=True)
    assert check["ok"], check
    assert "frames/s" in check["detail"]
    _, check = look(root, driver, test=True, FAKE_V4L2_FRAMES="8")
    assert (check["ok"], check["is_needed"]) == (False, True)
    assert "gave no more frames" in check["detail"]


def test_a_camera_test_without_a_camera_fails(root: Path) -> None:
    (check,) = check_cameras(Host(root), test=True)
    assert (check.ok, check.is_needed) == (False, True)
    (check,) = check_cameras(Host(root))
    assert (check.ok, check.is_needed) == (False, False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every camera")
def test_a_camera_without_permission(root: Path, camera: Path) -> None:
    camera.unlink()
    camera.touch(mode=0)
    (check,) = check_cameras(Host(root))
    assert check.fix == "sudo usermod -aG video $USER, then log in again"


def test_csi_cameras_need_the_plugin_and_the_daemon(
    orin: Host, driver: Path, camera: Path, write: Write
) -> None:
    write(**{"sys/class/video4linux/video0/name": "vi-output, imx219 9-0010\n"})
    assert "nvarguscamerasrc is not installed" in look(orin.root, driver)[1]["detail"]
    write(**{"usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so": ""})
    assert look(orin.root, driver)[1]["fix"] == "sudo systemctl restart nvargus-daemon"
    write(**{"tmp/argus_socket": ""})
    assert look(orin.root, driver)[1]["ok"]


def test_the_virtual_camera_from_absent_to_seen_by_browsers(root: Path, write: Write) -> None:
    host = Host(root)
    check = check_virtual_camera(host)
    assert (check.fix or "").startswith("sudo apt-get install v4l2loopback-dkms && sudo modprobe")
    write(**{"lib/modules/6.8/updates/dkms/v4l2loopback.ko.zst": ""})
    assert (check_virtual_camera(host).fix or "").startswith("sudo modprobe v4l2loopback devices=1")
    module = "sys/module/v4l2loopback"
    write(**{f"{module}/version": "0.13.2\n", f"{module}/parameters/exclusive_caps": "N,N\n"})
    assert "without a device" in check_virtual_camera(host).detail
    write(**{"sys/devices/virtual/video4linux/video10/name": "dayshift\n"})
    assert "without exclusive_caps" in check_virtual_camera(host).detail
    write(**{f"{module}/parameters/exclusive_caps": "Y,N\n"})
    assert check_virtual_camera(host) == Check(
        "virtual camera", True, "v4l2loopback 0.13.2: /dev/video10"
    )


# --- the main job, and all of it


def test_the_main_job_is_really_done_here() -> None:
    model, way_in, way_out = check_main_job(Host())
    assert model.ok, model
    assert "files verified" in model.detail
    assert way_in.ok, way_in
    assert way_out.ok, way_out


def test_without_opencv_the_main_job_cannot_run_and_says_what_to_install(tmp_path: Path) -> None:
    search = libraries_of(tmp_path, cv2=ABSENT.format("cv2"))
    checks = list(check_main_job(Host(search=search)))
    assert not can_run(checks)
    assert [check.is_needed for check in checks] == [True] * 3
    assert checks[0].detail == "cannot import cv2 (No module named 'cv2')"
    assert checks[1].detail == "none: cannot import cv2 (No module named 'cv2')"
    assert "-m pip install --force-reinstall 'opencv-python-headless>=4.8,<6'" in (
        checks[0].fix or ""
    )


def test_without_an_engine_the_main_job_cannot_run(tmp_path: Path) -> None:
    openvino, onnxruntime, tensorrt = map(ABSENT.format, ("openvino", "onnxruntime", "tensorrt"))
    search = libraries_of(tmp_path, openvino=openvino, onnxruntime=onnxruntime, tensorrt=tensorrt)
    model, *ways = check_main_job(Host(search=search))
    assert "no backend works here" in model.detail
    assert "install 'openvino>=2024.4'" in (model.fix or "")
    assert all(way.ok for way in ways)


def test_without_videos_pictures_are_way_enough(tmp_path: Path) -> None:
    search = libraries_of(tmp_path, av=ABSENT.format("av"))
    checks = list(check_main_job(Host(search=search)))
    assert can_run(checks)
    assert checks[1].detail == "pictures"


def test_no_display_is_told_and_fails_nothing(tmp_path: Path) -> None:
    check = check_display(Host(environment={"PATH": os.environ["PATH"]}))
    assert (check.ok, check.is_needed) == (False, False)
    if sys.platform.startswith("linux"):
        assert "there is no display" in check.detail
    assert "http://:8080" in (check.fix or "")


def test_a_whole_jetson_is_diagnosed_without_a_jetson(orin: Host) -> None:
    names = [check.name for check in diagnose(orin)]
    assert names[:3] == ["model", "ways in", "ways out"]
    assert len(set(names)) == len(names)
    assert {"power mode", "clocks", "heat", "tensorrt", "cameras", "engine cache"} <= set(names)
