"""The V4L2 source against the ioctls of a camera, under the real OpenCV.

A kernel with v4l2loopback or a camera is not needed: a library preloaded under OpenCV answers for
the device file, as a UVC driver does (`tests/fakes/v4l2_camera.c`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).parents[1] / "fakes" / "v4l2_camera.c"
# Any character device that everyone may open and nobody else does here.
DEVICE = "/dev/full"
S_FMT, STREAM_ON, STREAM_OFF = 5, 18, 19

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="V4L2 is Linux's"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler for the fake driver"),
]

SCRIPT = """
import json, sys
from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.sources import open_source
told = {"frames": [], "error": None}
try:
    with open_source(sys.argv[1]) as camera:
        told |= {"name": camera.name, "size": camera.size, "fps": float(camera.fps or 0)}
        for _ in range(int(sys.argv[2])):
            frame = camera.read()
            told["frames"].append([frame.index, frame.pts_s, list(map(float, frame.pixels[0, 0]))])
except DayshiftError as error:
    told["error"] = str(error)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("driver") / "v4l2_camera.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, FAKE, "-ldl"], check=True)
    return library


def use_camera(
    driver: Path, options: str = "", *, frames: int = 5, **environment: str
) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Open the camera and read frames; return what the source told, and the ioctls."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"v4l2://{DEVICE}{options}", str(frames)],
        env={
            **os.environ,
            "LD_PRELOAD": str(driver),
            "FAKE_V4L2": DEVICE,
            "FAKE_V4L2_TRACE": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    traced = [line.split() for line in done.stderr.splitlines() if line.startswith("ioctl ")]
    return json.loads(done.stdout), [(int(call), int(result)) for _, call, result in traced]


def test_a_camera_is_asked_for_mjpg_first_and_taken_as_it_is(driver: Path) -> None:
    told, calls = use_camera(driver, "?size=300x200&fps=60")
    assert told["error"] is None
    assert (told["size"], told["fps"]) == ([320, 240], 60)
    assert told["name"] == f"camera {DEVICE} (320x240 YUYV, asked for 300x200)"
    assert [frame[0] for frame in told["frames"]] == [0, 1, 2, 3, 4]
    assert told["frames"][0][2] == pytest.approx([128, 128, 128], abs=2)
    formats = [result for call, result in calls if call == S_FMT]
    assert -1 in formats
    assert formats[-1] == 0
    names = [call for call, _ in calls]
    assert names.index(S_FMT) < names.index(STREAM_ON)
    assert names[-1] == STREAM_OFF or STREAM_OFF in names[-3:]


def test_frames_keep_the_time_at_which_the_driver_gave_them(driver: Path) -> None:
    told, _ = use_camera(driver, "?fps=20", frames=6)
    times = [frame[1] for frame in told["frames"]]
    assert times[0] == 0
    assert all(later - earlier > 0.04 for earlier, later in pairwise(times))


def test_a_format_that_is_asked_for_by_name_is_had_or_is_an_error(driver: Path) -> None:
    told, _ = use_camera(driver, "?format=MJPG")
    assert "gives YUYV where MJPG was asked for" in told["error"]
    told, _ = use_camera(driver, "?format=YUYV")
    assert told["error"] is None


def test_a_pulled_plug_is_one_line(driver: Path) -> None:
    told, _ = use_camera(driver, frames=50, FAKE_V4L2_FRAMES="8")
    assert "gave no more frames after" in told["error"]
    assert "check its cable" in told["error"]
    assert 1 <= len(told["frames"]) < 8


def test_a_camera_that_gives_nothing_is_not_opened(driver: Path) -> None:
    told, _ = use_camera(driver, FAKE_V4L2_FRAMES="0")
    assert "gives no frame" in told["error"] or "cannot be opened" in told["error"]
