"""Whether the main job can be done: for real here, and with libraries taken away."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from dayshift.runtime.doctor.diagnosis import can_run, check_display, diagnose
from dayshift.runtime.doctor.host import Host
from dayshift.runtime.doctor.main_job import check_main_job

LibrariesOf = Callable[..., tuple[str, ...]]

ABSENT = "raise ModuleNotFoundError(\"No module named '{0}'\", name='{0}')"


def test_the_main_job_is_really_done_here() -> None:
    model, way_in, way_out = check_main_job(Host())
    assert model.ok, model
    assert "files verified" in model.detail
    assert way_in.ok, way_in
    assert way_out.ok, way_out


def test_without_opencv_the_main_job_cannot_run_and_says_what_to_install(
    libraries_of: LibrariesOf, tmp_path: Path
) -> None:
    search = libraries_of(tmp_path, cv2=ABSENT.format("cv2"))
    checks = list(check_main_job(Host(search=search)))
    assert not can_run(checks)
    assert [check.is_needed for check in checks] == [True] * 3
    assert checks[0].detail == "cannot import cv2 (No module named 'cv2')"
    assert checks[1].detail == "none: cannot import cv2 (No module named 'cv2')"
    assert "-m pip install --force-reinstall 'opencv-python-headless>=4.8,<6'" in (
        checks[0].fix or ""
    )


def test_without_an_engine_the_main_job_cannot_run(
    libraries_of: LibrariesOf, tmp_path: Path
) -> None:
    openvino, onnxruntime, tensorrt = map(ABSENT.format, ("openvino", "onnxruntime", "tensorrt"))
    search = libraries_of(tmp_path, openvino=openvino, onnxruntime=onnxruntime, tensorrt=tensorrt)
    model, *ways = check_main_job(Host(search=search))
    assert "no backend works here" in model.detail
    assert "install 'openvino>=2024.4'" in (model.fix or "")
    assert all(way.ok for way in ways)


def test_without_videos_pictures_are_way_enough(libraries_of: LibrariesOf, tmp_path: Path) -> None:
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
