"""Cameras over the fake driver, and the virtual camera over a fake file tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayshift.runtime.doctor.cameras import check_cameras, check_virtual_camera
from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host

FAKES = Path(__file__).parents[2] / "fakes"

Write = Callable[..., None]


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
