"""Cameras: which are here, what they give, who holds them; and what shows our pictures as one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dayshift.runtime import v4l2
from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host, read_text
from dayshift.runtime.doctor.processes import holders_of

# Opening, negotiating and a second of frames; drivers that hang are left behind.
_TEST_S = 30.0
_TEST_FRAMES = 30
_TEST = """
import time
from dayshift.runtime.sources import open_source
with open_source({source!r}) as camera:
    camera.read()
    began = time.perf_counter()
    for _ in range({frames}):
        camera.read()
    seconds = time.perf_counter() - began
    told = {{"name": camera.name, "fps": {frames} / seconds}}
"""
# A Jetson's CSI sensors give raw Bayer here; Argus makes pictures of it.
_CSI_NAME = "vi-output"
_ARGUS_PLUGIN = "usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so"
_SUDO_GROUP = "sudo usermod -aG video $USER, then log in again"


@dataclass(frozen=True)
class Device:
    """A V4L2 device node.

    Attributes:
        node: As it is opened.
        name: What the driver calls it.
        formats: What it gives, such as `MJPG 1280x720 640x480`; none where it gives no pictures.
        problem: Why it cannot be looked at.
        fix: What to do about that.
    """

    node: Path
    name: str
    formats: tuple[str, ...] = ()
    problem: str | None = None
    fix: str | None = None

    @property
    def path(self) -> str:
        """The device node as people and processes know it."""
        return f"/dev/{self.node.name}"

    @property
    def is_csi(self) -> bool:
        """It is a Jetson's sensor, to be opened as csi://."""
        return self.name.startswith(_CSI_NAME)


def check_cameras(host: Host, *, test: bool = False) -> Iterator[Check]:
    """Look at every camera.

    Args:
        host: The machine.
        test: Also take a second of frames from each; a camera is then needed.
    """
    devices = [device for device in _devices(host) if device.problem or device.formats]
    if not devices:
        fix = "plug one in; until then: dayshift run synthetic:// or a video file, rtsp:// address"
        yield Check("cameras", False, "none: no /dev/video* that gives pictures", fix, test)
    for device in devices:
        yield _check_camera(host, device)
        if test and device.problem is None:
            yield _test_camera(host, device)
    csi = [device for device in devices if device.is_csi]
    if host.l4t and csi:
        yield _check_csi(host, csi)


def _check_camera(host: Host, device: Device) -> Check:
    name = f"camera {device.path}"
    if device.problem:
        return Check(name, False, f"{device.name}: {device.problem}", device.fix)
    holders = holders_of(host.root, device.path)
    detail = f"{device.name}: {', '.join(device.formats)}"
    if holders:
        pids = " ".join(re.findall(r"pid (\d+)", " ".join(holders)))
        return Check(name, False, f"{detail}; in use by {', '.join(holders)}", f"kill {pids}")
    return Check(name, True, detail)


def _test_camera(host: Host, device: Device) -> Check:
    """Take frames in another process: a driver may never return."""
    source = "csi://0" if device.is_csi else f"v4l2://{device.node}"
    code = _TEST.format(source=source, frames=_TEST_FRAMES)
    told = host.try_python(code, timeout_s=_TEST_S)
    name = f"test of {source}"
    if "error" in told:
        fix = f"dayshift run {source} null:// --duration 5 --debug"
        return Check(name, False, told["error"], fix, is_needed=True)
    return Check(name, True, f"{told['name']}: {told['fps']:.1f} frames/s", is_needed=True)


def _check_csi(host: Host, sensors: list[Device]) -> Check:
    detail = f"{len(sensors)} sensors, csi://0 is the first"
    if not (host.root / _ARGUS_PLUGIN).exists():
        fix = "sudo apt-get install nvidia-l4t-gstreamer nvidia-l4t-camera"
        return Check("CSI cameras", False, f"{detail}; nvarguscamerasrc is not installed", fix)
    if not (host.root / "tmp/argus_socket").exists():
        fix = "sudo systemctl restart nvargus-daemon"
        return Check("CSI cameras", False, f"{detail}; nvargus-daemon does not run", fix)
    return Check("CSI cameras", True, detail)


def _devices(host: Host) -> Iterator[Device]:
    """Yield the V4L2 nodes; those that give no pictures have no formats."""
    nodes = [path for path in host.root.glob("dev/video*") if path.name[5:].isdecimal()]
    for node in sorted(nodes, key=lambda path: int(path.name[5:])):
        name = read_text(host.root / "sys/class/video4linux" / node.name / "name") or "unknown"
        if not os.access(node, os.R_OK | os.W_OK):
            yield Device(node, name, problem="no permission to use it", fix=_SUDO_GROUP)
            continue
        try:
            formats = tuple(formats_of(node))
        except OSError as error:
            yield Device(node, name, problem=error.strerror, fix=f"ls -l /dev/{node.name}")
            continue
        yield Device(node, name, formats)


def formats_of(node: Path) -> Iterator[str]:
    """Yield what a camera gives, as `MJPG 1920x1080 1280x720`.

    Raises:
        OSError: It cannot be opened.
    """
    import fcntl  # Linux only, as V4L2 is

    file = os.open(node.resolve(), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        capability = v4l2.Capability()
        try:
            fcntl.ioctl(file, v4l2.QUERYCAP, capability)
        except OSError:
            return  # no V4L2 device
        if not capability.device_caps & v4l2.CAP_VIDEO_CAPTURE:
            return
        for code in _pixel_formats(file):
            letters = code.to_bytes(4, "little").decode("latin-1").strip()
            yield " ".join([letters, *_sizes(file, code)])
    finally:
        os.close(file)


def _pixel_formats(file: int) -> Iterator[int]:
    import fcntl

    index = 0
    with contextlib.suppress(OSError):  # EINVAL ends the list
        while True:
            wanted = v4l2.FormatDescription(index=index, type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
            fcntl.ioctl(file, v4l2.ENUM_FMT, wanted)
            yield int(wanted.pixelformat)
            index += 1


def _sizes(file: int, code: int) -> Iterator[str]:
    import fcntl

    index = 0
    with contextlib.suppress(OSError):
        while True:
            wanted = v4l2.FrameSize(index=index, pixel_format=code)
            fcntl.ioctl(file, v4l2.ENUM_FRAMESIZES, wanted)
            if wanted.type != v4l2.FRMSIZE_TYPE_DISCRETE:
                yield "any size"
                return
            yield f"{wanted.width}x{wanted.height}"
            index += 1


def check_virtual_camera(host: Host) -> Check:
    """Say whether v4l2loopback is there, loaded, and seen by browsers."""
    module = host.root / "sys/module/v4l2loopback"
    if not module.is_dir():
        built = any(host.root.glob("lib/modules/*/**/v4l2loopback.ko*"))
        install = "" if built else "sudo apt-get install v4l2loopback-dkms && "
        detail = "v4l2loopback is not loaded" if built else "v4l2loopback is not installed"
        return Check("virtual camera", False, detail, install + v4l2.MAKE_DEVICE)
    folder = host.root / "sys/devices/virtual/video4linux"
    nodes = sorted(f"/dev/{path.name}" for path in folder.glob("video*"))
    again = f"sudo modprobe -r v4l2loopback && {v4l2.MAKE_DEVICE}"
    if not nodes:
        return Check("virtual camera", False, "v4l2loopback is loaded without a device", again)
    exclusive = read_text(module / "parameters/exclusive_caps") or ""
    detail = f"v4l2loopback {read_text(module / 'version') or ''}: {', '.join(nodes)}"
    if not exclusive.startswith("Y"):
        detail += "; without exclusive_caps browsers do not take it for a camera"
        return Check("virtual camera", False, detail, again)
    return Check("virtual camera", True, detail)
