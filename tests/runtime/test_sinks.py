from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.errors import SinkError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import Sink, open_sink
from dayshift.runtime.sinks.images import encode_image
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sinks.window import find_display_problem
from dayshift.runtime.sources import open_source

Pixels = npt.NDArray[np.uint8]
QT_BUILD = "General configuration\n\n  GUI:                           QT5\n    QT:  YES\n"


def frame(index: int = 0, *, pts_s: float | None = None, name: str | None = None) -> Frame:
    """A frame as a sink sees it: what it shows does not matter, the image comes beside it."""
    return Frame(np.zeros((16, 16, 3), np.uint8), index, 0.0, pts_s, name)


def gradient(height: int = 48, width: int = 64) -> Pixels:
    y, x = np.mgrid[:height, :width]
    blue, green = x * 255 // width, y * 255 // height
    return np.stack([blue, green, 255 - blue], axis=-1).astype(np.uint8)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_images(path: Path, images: list[Pixels], fps: Fraction | None = None) -> Path:
    with open_sink(path, fps=fps) as sink:
        for index, image in enumerate(images):
            sink.write(image, frame(index, pts_s=index / 25))
    return path


def read_images(path: Path) -> list[Pixels]:
    with open_source(path) as source:
        return [read.pixels for read in iter(source.read, None)]


# Every sink


@pytest.fixture(params=["out.mp4", "frames/", "null://"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    name = request.param
    with open_sink(name if "://" in name else f"{tmp_path}/{name}") as opened:
        yield opened


def test_every_sink_closes_and_aborts_twice(sink: Sink) -> None:
    sink.write(gradient(), frame())
    sink.close()
    sink.close()
    sink.abort()
    sink.abort()


def test_every_sink_leaves_the_image_as_it_is(sink: Sink) -> None:
    image = gradient(47, 63)
    before = image.copy()
    sink.write(image, frame())
    assert np.array_equal(image, before)


def write_and_raise(path: Path, error: BaseException) -> None:
    with open_sink(path) as opened:
        opened.write(gradient(), frame())
        raise error


def test_an_error_in_its_block_keeps_a_recording_under_its_temporary_name(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_and_raise(tmp_path / "out.mp4", ZeroDivisionError())
    (name,) = names_in(tmp_path)
    assert name == f"out.recording-{os.getpid()}.mp4"
    assert len(read_images(tmp_path / name)) == 1


def test_an_aborted_file_that_was_to_be_whole_is_removed(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    sink.write(gradient(), frame())
    sink.abort()
    assert names_in(tmp_path) == []


_ENDLESS = """
import numpy, sys
from pathlib import Path
from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import open_sink
street = numpy.random.default_rng(0).integers(0, 255, (120, 160, 3), numpy.uint8)
sink = open_sink(sys.argv[1])
for index in range(1_000_000):
    sink.write(numpy.roll(street, index, axis=1), Frame(street, index, 0.0, index / 25))
    if index == 100:
        print("recording", flush=True)
"""


def test_a_recording_that_was_killed_plays_to_its_last_fragment(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ENDLESS, str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recording\n"
        process.kill()
    (name,) = names_in(tmp_path)
    assert name == f"out.recording-{process.pid}.mp4"
    # At least all fragments but the last of the 101 frames that were written for sure.
    assert len(read_images(tmp_path / name)) >= 100 - 13


def test_a_completed_recording_is_an_ordinary_video(tmp_path: Path) -> None:
    path = write_images(tmp_path / "out.mp4", [gradient()] * 60, fps=Fraction(25))
    with av.open(str(path)) as container:
        # Fragments would not be counted in the index.
        assert container.streams.video[0].frames == 60


def test_ctrl_c_in_its_block_completes_a_sink(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_and_raise(tmp_path / "out.mp4", KeyboardInterrupt())
    assert len(read_images(tmp_path / "out.mp4")) == 1


# Video files


def test_a_video_is_what_browsers_play(tmp_path: Path) -> None:
    path = write_images(tmp_path / "out.mp4", [gradient()] * 50, fps=Fraction(25))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.frames, stream.average_rate) == (50, Fraction(25))
        assert container.format.name.startswith("mov,mp4")


def test_a_file_that_was_to_be_whole_plays_before_all_of_it_is_there(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "out.mp4") as sink:
        sink.write(gradient(), frame())
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    "colour",
    [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255), (0, 0, 0), (40, 90, 200)],
    ids=["red", "green", "blue", "white", "black", "orange"],
)
def test_colours_come_back_within_a_few_levels(
    colour: tuple[int, int, int], tmp_path: Path
) -> None:
    image = np.full((720, 1280, 3), colour, np.uint8)
    (back,) = read_images(write_images(tmp_path / "out.mp4", [image]))
    assert np.abs(back.astype(int) - colour).max() <= 4


def test_the_file_says_which_colours_it_holds(tmp_path: Path) -> None:
    path = write_images(tmp_path / "out.mp4", [gradient()])
    with av.open(str(path)) as container:
        next(container.decode(video=0))
        codec = container.streams.video[0].codec_context
        # The BT.601 matrix (AVCOL_SPC_BT470BG or, the same, SMPTE170M) in limited range.
        assert codec.colorspace in (5, 6)
        assert (codec.color_range, codec.color_primaries, codec.color_trc) == (1, 1, 1)


def test_detail_survives(tmp_path: Path) -> None:
    (back,) = read_images(write_images(tmp_path / "out.mp4", [gradient(360, 640)]))
    assert cv2.PSNR(gradient(360, 640), back) > 38


@pytest.mark.parametrize("size", [(641, 359), (359, 641), (641, 360), (640, 359)])
def test_an_odd_side_is_written_twice_and_said(
    size: tuple[int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    width, height = size
    image = gradient(height, width)
    with caplog.at_level(logging.WARNING):
        path = write_images(tmp_path / "out.mp4", [image])
    even = f"{width + width % 2}x{height + height % 2}"
    assert f"{width}x{height} is written as {even}" in caplog.text
    (back,) = read_images(path)
    assert back.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(back[:height, :width].astype(int) - image).mean() < 4
    assert np.abs(back[-1].astype(int) - back[-2]).max() <= 8 or height % 2 == 0
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == f"true size {width}x{height}"


def test_an_even_size_is_not_remarked_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path / "out.mp4", [gradient(128, 72)])
    assert caplog.text == ""


def test_frames_keep_their_times_through_gaps(tmp_path: Path) -> None:
    times = [3.0, 3.04, 3.08, 3.5, 3.54, 5.0]
    with open_sink(tmp_path / "out.mp4", fps=Fraction(25)) as opened:
        for index, time_s in enumerate(times):
            opened.write(gradient(), frame(index, pts_s=time_s))
    with open_source(tmp_path / "out.mp4") as source:
        read = [back.pts_s for back in iter(source.read, None)]
    assert read == pytest.approx([time_s - 3.0 for time_s in times], abs=1e-4)


def test_frames_without_times_follow_the_rate_by_their_numbers(tmp_path: Path) -> None:
    with open_sink(tmp_path / "out.mp4", fps=Fraction(10)) as opened:
        for index in (0, 1, 4):
            opened.write(gradient(), frame(index))
    with open_source(tmp_path / "out.mp4") as source:
        read = [back.pts_s for back in iter(source.read, None)]
    assert read == pytest.approx([0.0, 0.1, 0.4])


def test_times_that_stand_still_or_go_back_do_not_lose_a_frame(tmp_path: Path) -> None:
    with open_sink(tmp_path / "out.mp4") as opened:
        for index, time_s in enumerate((1.0, 1.0, 1.2, 1.1)):
            opened.write(gradient(), frame(index, pts_s=time_s))
    with open_source(tmp_path / "out.mp4") as source:
        read = [back.pts_s for back in iter(source.read, None)]
    assert read == pytest.approx([0.0, 0.0, 0.2, 0.2], abs=1e-4)
    assert read == sorted(set(read), key=lambda time_s: time_s or 0.0)


def test_a_rate_that_is_no_whole_number_is_kept(tmp_path: Path) -> None:
    fps = Fraction(30000, 1001)
    with open_sink(tmp_path / "out.mp4", fps=fps) as opened:
        for index in range(30):
            opened.write(gradient(), frame(index, pts_s=float(index / fps)))
    with open_source(tmp_path / "out.mp4") as source:
        assert source.fps == fps


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")
    with open_sink(path) as opened:
        opened.write(gradient(), frame())
        assert path.read_bytes() == b"the old one"
        assert names_in(tmp_path) == ["out.mp4", f"out.recording-{os.getpid()}.mp4"]
    assert names_in(tmp_path) == ["out.mp4"]
    assert len(read_images(path)) == 1


def test_an_aborted_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")
    opened = open_sink(path)
    opened.write(gradient(), frame())
    opened.abort()
    opened.close()
    assert names_in(tmp_path) == ["out.mp4", f"out.recording-{os.getpid()}.mp4"]
    assert path.read_bytes() == b"the old one"


def test_a_video_without_a_frame_is_no_file(tmp_path: Path) -> None:
    open_sink(tmp_path / "out.mp4").close()
    assert names_in(tmp_path) == []


def test_missing_folders_are_created(tmp_path: Path) -> None:
    write_images(tmp_path / "a" / "b" / "out.mp4", [gradient()])
    assert names_in(tmp_path / "a" / "b") == ["out.mp4"]


@pytest.mark.parametrize("name", ["12:30 Uhr.mp4", "Zürich?.mp4", "100%d.MP4"])
def test_a_video_may_have_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(Path(name), [gradient()])
    assert names_in(tmp_path) == [name]


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    opened = open_sink(tmp_path / "out.mp4")
    opened.write(gradient(48, 64), frame())
    with pytest.raises(SinkError, match=r"image 1 for .*out.mp4 is 64x50 where 64x48 was expected"):
        opened.write(gradient(50, 64), frame(1))
    opened.abort()
    with (
        pytest.raises(SinkError, match=r"is 64x48 where 128x48 was expected"),
        open_sink(tmp_path / "out.mp4", size=(128, 48)) as opened,
    ):
        opened.write(gradient(48, 64), frame())
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["out.mp4", "frames/"])
def test_a_folder_that_cannot_be_created_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"cannot create the folder .*file.* name one that you may"):
        open_sink(f"{tmp_path}/file/{name}")


# /proc is a folder that even root cannot write to.
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("uri", ["/proc/out.mp4", "frames:///proc"])
def test_an_unwritable_folder_is_refused_when_the_sink_opens(uri: str) -> None:
    with pytest.raises(SinkError, match=r"cannot write /proc/.*: name a file in a folder that has"):
        open_sink(uri)


def test_a_folder_with_the_name_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(SinkError, match=r"out.mp4: it is a folder, name a file"):
        open_sink(tmp_path / "out.mp4")


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import open_sink

resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
noise = np.random.default_rng(0)
try:
    with open_sink(sys.argv[1] + "/out.mp4") as sink:
        for index in range(100):
            image = noise.integers(0, 256, (96, 128, 3), np.uint8)
            sink.write(image, Frame(image, index, 0.0, index / 25))
except SinkError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_is_one_line_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {tmp_path}/out.mp4 (File too large): name a file")
    assert done.stdout.count("\n") == 1
    assert "broke off: what there is is in" in done.stderr
    (name,) = names_in(tmp_path)
    assert len(read_images(tmp_path / name)) in range(13, 80)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_of_a_disk_that_was_full_at_once_nothing_is_left_or_claimed(tmp_path: Path) -> None:
    code = FULL_DISK.replace("400_000", "1_000")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {tmp_path}/out.mp4 (File too large): name a file")
    assert done.stderr == ""
    assert names_in(tmp_path) == []


# Folders of images


@pytest.mark.parametrize("suffix", [".bmp", ".jpeg", ".jpg", ".PNG", ".tif", ".tiff", ".webp"])
def test_every_kind_of_image_is_written_without_complaints(
    suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    image = np.full((32, 48, 3), 120, np.uint8)
    content = encode_image(image, Path(f"night{suffix}"))
    again = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert again is not None
    assert np.abs(again.astype(int) - image).max() <= 2
    assert capfd.readouterr().err == ""


def test_images_are_numbered_like_their_frames(tmp_path: Path) -> None:
    with open_sink(f"frames://{tmp_path}/out") as opened:
        for index in (0, 3):
            opened.write(gradient(), frame(index))
    assert names_in(tmp_path / "out") == ["000000.png", "000003.png"]
    (_, back) = read_images(tmp_path / "out")
    assert np.array_equal(back, gradient())


def test_images_keep_the_names_of_the_files_they_came_from(tmp_path: Path) -> None:
    with open_sink(f"{tmp_path}/") as opened:
        opened.write(gradient(), frame(name="cat.jpg"))
        opened.write(gradient(), frame(1, name="dog.png"))
    assert names_in(tmp_path) == ["cat.jpg", "dog.png"]
    assert (tmp_path / "cat.jpg").read_bytes().startswith(b"\xff\xd8")


def test_numbered_images_can_be_jpeg(tmp_path: Path) -> None:
    with open_sink(f"frames://{tmp_path}?format=jpg") as opened:
        opened.write(gradient(), frame(7))
    assert names_in(tmp_path) == ["000007.jpg"]


def test_an_aborted_folder_keeps_whole_images_and_nothing_else(tmp_path: Path) -> None:
    opened = open_sink(tmp_path)
    opened.write(gradient(), frame())
    opened.abort()
    assert names_in(tmp_path) == ["000000.png"]


def test_a_name_that_is_no_image_format_is_refused(tmp_path: Path) -> None:
    opened = open_sink(tmp_path)
    with pytest.raises(SinkError, match=r"cannot write .*notes.xyz.*expected .png or .jpg"):
        opened.write(gradient(), frame(name="notes.xyz"))
    assert names_in(tmp_path) == []


# The window


def test_a_headless_opencv_is_named_with_the_extra_to_install() -> None:
    problem = find_display_problem({"DISPLAY": ":0"}, build="  GUI:                  NONE\n")
    assert problem is not None
    assert "opencv-python-headless" in problem
    assert "dayshift[desktop]" in problem


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X and Wayland are Linux's")


@linux
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"),
        ({"DISPLAY": ":9731"}, "no display answers at DISPLAY=':9731'"),
        ({"DISPLAY": "unix:9731.0"}, "no display answers at DISPLAY='unix:9731.0'"),
        ({"DISPLAY": "nonsense"}, "no display answers at DISPLAY='nonsense'"),
        ({"WAYLAND_DISPLAY": "wayland-97"}, "no display answers at WAYLAND_DISPLAY='wayland-97'"),
    ],
)
def test_a_display_that_is_not_there_is_said(environment: dict[str, str], expected: str) -> None:
    assert find_display_problem(environment, build=QT_BUILD) == expected


@linux
def test_a_headless_opencv_without_a_display_lacks_both() -> None:
    problem = find_display_problem({}, build="  GUI:                  NONE\n")
    assert problem is not None
    assert problem.startswith("there is no display (DISPLAY and WAYLAND_DISPLAY are not set), and ")
    assert "opencv-python-headless" in problem


@linux
def test_a_display_that_answers_and_refuses_is_found_out_in_another_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=refuse, daemon=True).start()
        display = f"127.0.0.1:{server.getsockname()[1] - 6000}"
        problem = find_display_problem({"DISPLAY": display}, build=QT_BUILD)
        server.shutdown(socket.SHUT_RDWR)
    assert problem is not None
    assert problem.startswith("the display refuses windows (")


@linux
def test_without_a_display_the_error_says_what_to_do_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SinkError, match=r"cannot open a window: .*; see it in a browser"):
        open_sink("display://")


# Words


@pytest.mark.parametrize("uri", ["ftp://host", "rtsp://host"])
def test_an_unknown_scheme_is_a_usage_error_that_lists_the_known(uri: str) -> None:
    with pytest.raises(UsageError, match=r"no sink has the scheme .*FILE.mp4, frames://DIR"):
        open_sink(uri)


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("out.avi", r"cannot tell what to write to 'out.avi': expected FILE.mp4"),
        ("out", r"cannot tell what to write to 'out': expected FILE.mp4"),
        ("", "empty name"),
        ("frames://", "names no folder"),
        ("frames://out?format=gif", "format='gif': expected one of png, jpg"),
        ("display://?x=1", "the option 'x': expected none"),
    ],
)
def test_wrong_words_are_usage_errors(uri: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        open_sink(uri)
