"""The virtual camera, against V4L2's own header and a recorded conversation with v4l2loopback.

There is no loopback device on most machines, and none can be made in a container. What the kernel
would be told, byte by byte, is compared instead; the frames go to a file and are read back.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime import v4l2
from dayshift.runtime.errors import MissingDependency, SinkError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sinks.virtual_camera import VirtualCameraSink, fit, to_yuyv

Pixels = npt.NDArray[np.uint8]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="V4L2 is Linux's")
HEADER = Path("/usr/include/linux/videodev2.h")
DEVICES = sorted(Path("/sys/devices/virtual/video4linux").glob("video*"))


def street(height: int = 48, width: int = 64) -> Pixels:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], -1).astype(
        np.uint8
    )


def frame() -> Frame:
    return Frame(street(), 0, 0.0, 0.0)


class Loopback:
    """Answers `ioctl` as v4l2loopback 0.13 does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.capabilities = 0x85200003
        self.calls: list[int] = []
        self.formats: list[tuple[int, ...]] = []
        self.rates: list[tuple[int, int]] = []
        self.busy_with: tuple[int, int, int] | None = None
        self.rate_error: int | None = errno.EINVAL

    def ioctl(self, _: int, request: int, argument: ctypes.Structure) -> int:
        self.calls.append(request)
        if isinstance(argument, v4l2.Capability):
            argument.driver, argument.card = b"v4l2 loopback", b"dayshift (AI-translated)"
            argument.capabilities, argument.device_caps = 0x85200003, self.capabilities
        elif isinstance(argument, v4l2.Format):
            pix = argument.fmt.pix
            self.formats.append((argument.type, *(getattr(pix, n) for n, _ in pix._fields_)))
            if self.busy_with is not None:
                pix.width, pix.height, pix.pixelformat = self.busy_with
        elif isinstance(argument, v4l2.StreamParameters):
            if self.rate_error is not None:
                raise OSError(self.rate_error, "refused")
            self.rates.append((argument.numerator, argument.denominator))
        return 0


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Loopback:
    recorded = Loopback()
    monkeypatch.setattr(fcntl, "ioctl", recorded.ioctl)
    return recorded


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "video10"
    path.touch()
    return path


@pytest.mark.skipif(
    not HEADER.exists() or shutil.which("cc") is None, reason="needs cc and the kernel's headers"
)
def test_numbers_and_structures_are_those_of_the_kernels_header(tmp_path: Path) -> None:
    pix = [field[0] for field in v4l2.PixFormat._fields_]
    expressions = {
        "VIDIOC_QUERYCAP": v4l2.QUERYCAP,
        "VIDIOC_S_FMT": v4l2.S_FMT,
        "VIDIOC_S_PARM": v4l2.S_PARM,
        "V4L2_CAP_VIDEO_OUTPUT": v4l2.CAP_VIDEO_OUTPUT,
        "V4L2_BUF_TYPE_VIDEO_OUTPUT": v4l2.BUF_TYPE_VIDEO_OUTPUT,
        "V4L2_FIELD_NONE": v4l2.FIELD_NONE,
        "V4L2_COLORSPACE_SRGB": v4l2.COLORSPACE_SRGB,
        "V4L2_YCBCR_ENC_601": v4l2.YCBCR_ENC_601,
        "V4L2_QUANTIZATION_LIM_RANGE": v4l2.QUANTIZATION_LIM_RANGE,
        "V4L2_PIX_FMT_YUYV": v4l2.YUYV,
        "VIDIOC_ENUM_FMT": v4l2.ENUM_FMT,
        "VIDIOC_ENUM_FRAMESIZES": v4l2.ENUM_FRAMESIZES,
        "V4L2_CAP_VIDEO_CAPTURE": v4l2.CAP_VIDEO_CAPTURE,
        "V4L2_BUF_TYPE_VIDEO_CAPTURE": v4l2.BUF_TYPE_VIDEO_CAPTURE,
        "V4L2_FRMSIZE_TYPE_DISCRETE": v4l2.FRMSIZE_TYPE_DISCRETE,
        "sizeof(struct v4l2_fmtdesc)": ctypes.sizeof(v4l2.FormatDescription),
        "offsetof(struct v4l2_fmtdesc, pixelformat)": v4l2.FormatDescription.pixelformat.offset,
        "sizeof(struct v4l2_frmsizeenum)": ctypes.sizeof(v4l2.FrameSize),
        "offsetof(struct v4l2_frmsizeenum, discrete.height)": v4l2.FrameSize.height.offset,
        "sizeof(struct v4l2_capability)": ctypes.sizeof(v4l2.Capability),
        "offsetof(struct v4l2_capability, device_caps)": v4l2.Capability.device_caps.offset,
        "sizeof(struct v4l2_format)": ctypes.sizeof(v4l2.Format),
        "sizeof(struct v4l2_streamparm)": ctypes.sizeof(v4l2.StreamParameters),
        "offsetof(struct v4l2_streamparm, parm.output.timeperframe)": (
            v4l2.StreamParameters.numerator.offset
        ),
        **{
            f"offsetof(struct v4l2_format, fmt.pix.{name})": v4l2.Format.fmt.offset
            + getattr(v4l2.PixFormat, name).offset
            for name in pix
        },
    }
    prints = "".join(f'printf("%lu\\n", (unsigned long)({one}));' for one in expressions)
    program = "#include <stdio.h>\n#include <stddef.h>\n#include <linux/videodev2.h>\n"
    (tmp_path / "told.c").write_text(f"{program}int main(void) {{ {prints} return 0; }}\n")
    subprocess.run(["cc", "-o", tmp_path / "told", tmp_path / "told.c"], check=True)
    told = subprocess.run([tmp_path / "told"], capture_output=True, text=True, check=True)
    assert dict(zip(expressions, map(int, told.stdout.split()), strict=True)) == expressions


def test_a_device_is_asked_what_it_is_and_told_what_comes(loopback: Loopback, device: Path) -> None:
    with VirtualCameraSink(device, size=(64, 48), fps=Fraction(30)) as sink:
        sink.write(street(), frame())
    assert loopback.calls == [v4l2.QUERYCAP, v4l2.S_FMT, v4l2.S_PARM]
    # type, width, height, YUYV, field none, bytes per line, bytes, sRGB, 0, 0, 601, limited, 0
    assert loopback.formats == [(2, 64, 48, 0x56595559, 1, 128, 6144, 8, 0, 0, 1, 2, 0)]


def test_the_rate_is_announced_where_the_module_has_one(loopback: Loopback, device: Path) -> None:
    loopback.rate_error = None
    VirtualCameraSink(device, size=(64, 48), fps=Fraction(30000, 1001)).close()
    assert loopback.rates == [(1001, 30000)]


def test_each_frame_is_one_write_of_the_picture(loopback: Loopback, device: Path) -> None:
    with VirtualCameraSink(device) as sink:
        for _ in range(3):
            sink.write(street(), frame())
    content = device.read_bytes()
    assert len(content) == 3 * 48 * 64 * 2
    last = np.frombuffer(content[-6144:], np.uint8).reshape(48, 64, 2)
    back = np.asarray(cv2.cvtColor(last, cv2.COLOR_YUV2BGR_YUYV), np.uint8)
    assert cv2.PSNR(back, street()) > 35


@pytest.mark.skipif(not hasattr(cv2, "COLOR_BGR2YUV_YUYV"), reason="needs OpenCV 4.9")
def test_the_conversion_is_opencvs_own_within_a_level_of_light() -> None:
    ours, theirs = to_yuyv(street(480, 640)), cv2.cvtColor(street(480, 640), cv2.COLOR_BGR2YUV_YUYV)
    difference = np.abs(ours.astype(int) - np.asarray(theirs).astype(int))
    assert difference[:, :, 0].max() <= 1
    assert difference[:, :, 1].mean() < 1.5


def test_images_of_another_size_are_fitted_with_bars(loopback: Loopback, device: Path) -> None:
    with VirtualCameraSink(device, size=(64, 48)) as sink:
        sink.write(street(240, 640), frame())
    assert len(device.read_bytes()) == 64 * 48 * 2
    white = np.full((10, 40, 3), 255, np.uint8)
    fitted = fit(white, 20, 20)
    rows = fitted.max(axis=(1, 2))
    assert (rows[:7] == 0).all()
    assert (rows[8:12] == 255).all()
    assert (rows[13:] == 0).all()


def test_odd_sizes_become_even(loopback: Loopback, device: Path) -> None:
    with VirtualCameraSink(device) as sink:
        sink.write(street(47, 63), frame())
    assert loopback.formats[0][1:3] == (64, 48)


def test_a_size_that_a_program_holds_is_named(loopback: Loopback, device: Path) -> None:
    loopback.busy_with = (640, 480, v4l2.YUYV)
    with pytest.raises(SinkError, match="is kept at 640x480 YUYV by another program: close that"):
        VirtualCameraSink(device, size=(64, 48))


def test_a_real_camera_is_not_written_to(loopback: Loopback, device: Path) -> None:
    loopback.capabilities = 0x05200001
    with pytest.raises(SinkError, match=r"only gives frames, like a camera: .*modprobe"):
        VirtualCameraSink(device)


def test_a_file_that_is_no_device_is_refused(device: Path) -> None:
    with pytest.raises(SinkError, match=r"is no video device .*modprobe v4l2loopback"):
        VirtualCameraSink(device)


def test_a_missing_device_says_how_to_make_one() -> None:
    with pytest.raises(SinkError, match=r"there is no /dev/video97: .*AI-translated"):
        open_sink("v4l2loopback:///dev/video97")


def test_what_names_no_device_is_refused() -> None:
    with pytest.raises(UsageError, match="names no device"):
        open_sink("v4l2loopback://10")


@pytest.mark.skipif(not DEVICES, reason="there is no v4l2loopback device here")
def test_a_real_loopback_takes_frames() -> None:
    with VirtualCameraSink(Path("/dev") / DEVICES[0].name, size=(640, 480)) as sink:
        for _ in range(10):
            sink.write(street(480, 640), frame())


def test_without_pyvirtualcam_its_extra_is_named(run_python: Callable[..., str]) -> None:
    told = run_python(
        "from dayshift.runtime.sinks import open_sink\n"
        "try: open_sink('virtualcam://')\n"
        "except Exception as error: print(type(error).__name__, error)",
        blocked=("pyvirtualcam",),
    )
    assert told.startswith(f"{MissingDependency.__name__} cannot import pyvirtualcam")
    assert "dayshift[virtualcam]" in told


@pytest.fixture
def obs() -> None:
    pytest.importorskip("pyvirtualcam", reason="needs the extra `virtualcam`")


def test_a_machine_without_obs_is_told_what_to_install(obs: None) -> None:
    with open_sink("virtualcam://") as sink, pytest.raises(SinkError, match="install OBS Studio"):
        sink.write(street(), frame())
