from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.errors import SourceError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.sources.camera_identity import list_cameras

Pixels = npt.NDArray[np.uint8]


def quarters(height: int, width: int) -> Pixels:
    """Red, green, blue and white in reading order, to tell every turn and mirror apart."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (0, 0, 255)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (255, 0, 0)
    pixels[height // 2 :, width // 2 :] = 255
    return pixels


def write_video(
    path: Path, *, frames: int = 30, size: tuple[int, int] = (160, 96), fps: int = 25
) -> Path:
    with VideoSink(path, fps=Fraction(fps)) as sink:
        for index in range(frames):
            pixels = np.full((size[1], size[0], 3), 8 * index % 256, np.uint8)
            sink.write(pixels, Frame(pixels, index, 0.0, index / fps))
    return path


def read_all(source: Source) -> list[Frame]:
    return list(iter(source.read, None))


@pytest.fixture(params=["synthetic", "video", "images"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """Thirty frames of 160x96 from every kind that needs no device."""
    match request.param:
        case "synthetic":
            opened = open_source("synthetic://?size=160x96&fps=25&frames=30&pace=0")
        case "video":
            opened = open_source(write_video(tmp_path / "clip.mp4"))
        case _:
            for index in range(30):
                cv2.imwrite(str(tmp_path / f"{index}.png"), quarters(96, 160))
            opened = open_source(tmp_path)
    with opened:
        yield opened


def test_every_source_keeps_what_it_promises(source: Source) -> None:
    promised = (source.size, source.frame_count, source.is_live)
    frames = read_all(source)
    assert promised == ((160, 96), len(frames), False)
    assert [frame.index for frame in frames] == list(range(30))
    for frame in frames:
        assert frame.pixels.shape == (96, 160, 3)
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous


def test_every_source_hands_out_pixels_that_it_does_not_touch_again(source: Source) -> None:
    first = source.read()
    assert first is not None
    before = first.pixels.copy()
    read_all(source)
    assert np.array_equal(first.pixels, before)


def test_every_source_stays_at_its_end_and_closes_twice(source: Source) -> None:
    read_all(source)
    assert source.read() is None
    source.close()
    source.close()


def test_latency_counts_from_before_decoding(source: Source) -> None:
    asked_at = time.perf_counter()
    frame = source.read()
    assert frame is not None
    assert asked_at <= frame.captured_at <= time.perf_counter()


@pytest.mark.parametrize("kind", ["synthetic", "video"])
def test_times_are_those_of_the_nominal_rate(kind: str, tmp_path: Path) -> None:
    uri = "synthetic://?size=64x48&fps=25&frames=10&pace=0"
    path = uri if kind == "synthetic" else write_video(tmp_path / "clip.mp4", frames=10)
    with open_source(path) as opened:
        assert opened.fps == 25
        times = [frame.pts_s for frame in read_all(opened)]
    assert times == pytest.approx([index / 25 for index in range(10)])


# Synthetic


def test_the_synthetic_street_is_the_same_each_time_and_moves() -> None:
    uri = "synthetic://?size=320x180&frames=3&pace=0"
    first, again = (read_all(open_source(uri)) for _ in range(2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].pixels, first[1].pixels)


def test_a_paced_source_is_live_and_never_early() -> None:
    with open_source("synthetic://?size=64x48&fps=200&frames=11") as paced:
        assert paced.is_live
        asked_at = time.perf_counter()
        frames = read_all(paced)
    for frame in frames:
        assert frame.captured_at - asked_at >= frame.index / 200
        assert frame.pts_s == pytest.approx(frame.captured_at - frames[0].captured_at)


def test_a_reader_that_comes_late_gets_the_present_and_not_the_backlog() -> None:
    with open_source("synthetic://?size=64x48&fps=100&frames=4") as paced:
        paced.read()
        time.sleep(0.1)
        resumed_at = time.perf_counter()
        paced.read()
        after = paced.read()
    assert after is not None
    assert after.captured_at - resumed_at >= 1 / 100


def test_the_size_that_is_asked_for_wins_over_the_one_in_the_uri() -> None:
    with open_source("synthetic://?size=320x180&frames=1&pace=0", size=(64, 48)) as opened:
        assert opened.size == (64, 48)


# Video files


def test_a_video_comes_back_as_it_was_written(tmp_path: Path) -> None:
    with open_source(write_video(tmp_path / "clip.mp4")) as opened:
        for frame in read_all(opened):
            assert np.abs(frame.pixels.astype(int) - 8 * frame.index % 256).max() <= 3


@pytest.mark.parametrize("name", ["take:2.mp4", "12:30 Uhr.mp4", "clip", "Zürich?.mp4"])
def test_a_video_may_have_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "clip.mp4", frames=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_source(name) as opened:
        assert len(read_all(opened)) == 3


def test_a_portrait_video_stays_upright(tmp_path: Path) -> None:
    with open_source(write_video(tmp_path / "clip.mp4", frames=2, size=(96, 160))) as opened:
        assert opened.size == (96, 160)
        assert [frame.pixels.shape for frame in read_all(opened)] == [(160, 96, 3)] * 2


TURNS: dict[int, tuple[tuple[int, int, int, int], Callable[[Pixels], Pixels]]] = {
    90: ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
    180: ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
    270: ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),
}


@pytest.mark.skipif(
    not hasattr(av.VideoFrame, "rotation"), reason="PyAV before 14.2 does not tell the rotation"
)
@pytest.mark.parametrize("clockwise", TURNS)
def test_a_phone_video_is_turned_as_its_header_says(clockwise: int, tmp_path: Path) -> None:
    matrix, turn = TURNS[clockwise]
    path, stored = tmp_path / "phone.mp4", quarters(96, 160)
    with VideoSink(path) as sink:
        sink.write(stored, Frame(stored, 0, 0.0, 0.0))
    content = bytearray(path.read_bytes())
    # The track header's matrix lies 40 bytes behind its version byte.
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    expected = turn(stored)
    with open_source(path) as opened:
        frame = opened.read()
        assert frame is not None
        assert opened.size == (expected.shape[1], expected.shape[0])
    assert frame.pixels.shape == expected.shape
    assert frame.pixels.flags.c_contiguous
    # Away from the edges between the quarters, where 4:2:0 mixes the colours.
    difference = np.abs(frame.pixels.astype(int) - expected).max(axis=2)
    assert (difference > 8).mean() < 0.05


@pytest.mark.parametrize(("height", "matrix"), [(480, "ITU601"), (720, "ITU709")])
def test_a_video_without_colour_tags_is_read_as_players_read_it(
    height: int, matrix: str, tmp_path: Path
) -> None:
    path, colours = tmp_path / "untagged.mp4", quarters(height, 640)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 640, height, "yuv420p"
        rgb = av.VideoFrame.from_ndarray(colours, format="bgr24")
        picture = rgb.reformat(format="yuv420p", dst_colorspace=matrix)
        picture.colorspace = 2  # AVCOL_SPC_UNSPECIFIED
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with open_source(path) as opened:
        frame = opened.read()
    assert frame is not None
    for y, x in ((100, 100), (100, 500), (height - 100, 100), (height - 100, 500)):
        assert np.abs(frame.pixels[y, x].astype(int) - colours[y, x]).max() <= 6


def test_a_size_is_filled_and_never_squashed(tmp_path: Path) -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    cv2.circle(wide, (200, 50), 40, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "circle.png"), wide)
    with open_source(tmp_path / "circle.png", size=(200, 200)) as opened:
        frame = opened.read()
    assert frame is not None
    assert frame.pixels.shape == (200, 200, 3)
    lit = frame.pixels[:, :, 0] > 127
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    assert np.ptp(rows) == pytest.approx(160, abs=3)
    assert np.ptp(columns) == pytest.approx(160, abs=3)
    assert columns.mean() == pytest.approx(100, abs=2)


def test_a_video_takes_the_size_that_is_asked_for(tmp_path: Path) -> None:
    with open_source(write_video(tmp_path / "clip.mp4", frames=2), size=(80, 80)) as opened:
        assert opened.size == (80, 80)
        assert {frame.pixels.shape for frame in read_all(opened)} == {(80, 80, 3)}


def test_a_truncated_video_says_where_it_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (30, 96, 160, 3), np.uint8)
    with VideoSink(path) as sink:
        for index, pixels in enumerate(noise):
            sink.write(pixels, Frame(pixels, index, 0.0, index / 25))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with open_source(path) as opened:
        expected = r"clip.mp4 breaks off after 2\d of 30 frames.*: the file is truncated or damaged"
        with pytest.raises(SourceError, match=expected):
            read_all(opened)


def test_a_video_without_its_index_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.mp4")
    # A recording that broke off has no `moov` box: recorders write it last.
    path.write_bytes(path.read_bytes().replace(b"moov", b"void"))
    with pytest.raises(SourceError, match=r"cut.mp4 as a video .*complete to its last byte"):
        open_source(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"dear diary\n" * 100, r"cannot read .*notes.mp4 as a video \(Invalid data .*H.264 MP4"),
        (b"", r"notes.mp4 is empty \(0 bytes\): expected a video file"),
    ],
)
def test_what_is_no_video_is_refused(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=complaint):
        open_source(path)


def test_a_file_with_sound_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"sound.mp4 holds no video stream"):
        open_source(path)


# Images


def test_a_folder_is_read_in_natural_order_with_names(tmp_path: Path) -> None:
    for name in ("10.png", "2.jpg", "1.png", ".hidden.png", "notes.txt"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), quarters(32, 48))
        (tmp_path / f"{name}.png").rename(tmp_path / name)
    for uri in (tmp_path, f"{tmp_path}/", f"frames://{tmp_path}"):
        with open_source(uri) as opened:
            assert [frame.name for frame in read_all(opened)] == ["1.png", "2.jpg", "10.png"]


def test_images_may_differ_in_size_and_have_no_rate(tmp_path: Path) -> None:
    for index, (height, width) in enumerate([(32, 48), (64, 24)]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), quarters(height, width))
    with open_source(tmp_path) as opened:
        assert (opened.size, opened.fps) == ((48, 32), None)
        frames = read_all(opened)
    assert [frame.pixels.shape for frame in frames] == [(32, 48, 3), (64, 24, 3)]
    assert [frame.pts_s for frame in frames] == [None, None]


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), quarters(32, 48))
    (tmp_path / "2.png").write_bytes(b"no image")
    with open_source(tmp_path) as opened:
        opened.read()
        with pytest.raises(SourceError, match=r"2.png \(8 bytes\) is no image"):
            opened.read()


def test_an_image_too_small_is_named_before_a_model_sees_it(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny.png"
    cv2.imwrite(str(tiny), quarters(8, 48))
    with pytest.raises(SourceError, match=r"tiny.png is 48x8, expected an image of at least 16x16"):
        open_source(tiny)
    with open_source(tiny, size=(64, 48)) as opened:
        assert opened.size == (64, 48)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(SourceError, match=r"holds 1 files and no image: .* name the file itself"):
        open_source(tmp_path)


# Cameras


@pytest.mark.parametrize("name", ["97", "/dev/video97", "v4l2:///dev/video97"])
def test_a_camera_that_does_not_exist_is_one_line_with_those_that_do(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match=r"there is no camera '/dev/video97'") as caught:
        open_source(name)
    for camera in list_cameras() or ["no /dev/video*"]:
        assert camera in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_device_that_is_no_camera_is_refused_in_silence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SourceError, match=r"'/dev/null' cannot be opened as a camera"):
        open_source("/dev/null")
    assert capfd.readouterr() == ("", "")


def test_a_file_is_no_camera(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match=r"video0' is not a camera device"):
        open_source(f"v4l2://{tmp_path}/video0")


@pytest.mark.camera
@pytest.mark.skipif(not list_cameras(), reason="needs a camera at /dev/video*")
def test_a_camera_gives_frames_of_the_size_that_it_reports() -> None:
    with open_source(list_cameras()[0]) as camera:
        assert camera.is_live
        frames = [camera.read() for _ in range(3)]
    assert all(frame is not None and frame.pixels.shape[1::-1] == camera.size for frame in frames)


# Words


def test_a_missing_file_is_named_with_what_was_expected() -> None:
    with pytest.raises(SourceError, match=r"no file or folder 'nope.mp4': expected a camera"):
        open_source("nope.mp4")


@pytest.mark.parametrize("uri", ["ftp://host/x", "webrtc://@:8554/x"])
def test_an_unknown_scheme_is_a_usage_error_that_lists_the_known(uri: str) -> None:
    with pytest.raises(UsageError, match=r"no source has the scheme .*synthetic://"):
        open_source(uri)


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("", "empty name"),
        ("synthetic://?size=1280", "expected WIDTHxHEIGHT, each from 16 to 16384"),
        ("synthetic://?size=8x8", "expected WIDTHxHEIGHT, each from 16 to 16384"),
        ("synthetic://?fps=0", "fps='0': expected a number from 1 to 1000"),
        ("synthetic://?fps=fast", "fps='fast': expected a number from 1 to 1000"),
        ("synthetic://?speed=2", "the option 'speed': expected one of size, fps, frames, pace"),
        ("synthetic://?fps", r"expected \?key=value&"),
        ("v4l2:///dev/video0?zoom=2", "the option 'zoom': expected one of size, fps, format"),
    ],
)
def test_wrong_words_are_usage_errors(uri: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        open_source(uri)


# Loops


def test_a_loop_goes_on_with_numbers_and_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames=5)
    with open_source(path, loop=True) as looped:
        assert looped.frame_count is None
        assert (looped.is_live, looped.fps) == (False, Fraction(25))
        frames = [looped.read() for _ in range(12)]
    known = [frame for frame in frames if frame is not None]
    assert [frame.index for frame in known] == list(range(12))
    assert [frame.pts_s for frame in known] == pytest.approx([index / 25 for index in range(12)])
    assert np.array_equal(known[0].pixels, known[5].pixels)


def test_a_looped_folder_keeps_its_names(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), quarters(32, 48))
    with open_source(tmp_path, loop=True) as looped:
        frames = [looped.read() for _ in range(5)]
    assert [frame.name for frame in frames if frame] == [
        "1.png",
        "2.png",
        "1.png",
        "2.png",
        "1.png",
    ]


def test_a_live_source_cannot_be_looped() -> None:
    with pytest.raises(SourceError, match="is live and cannot be looped"):
        open_source("synthetic://", loop=True)


# Pipelines


@pytest.mark.skipif(
    cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER), reason="this OpenCV has GStreamer"
)
@pytest.mark.parametrize("uri", ["csi://0?fps=30&flip=2", "gst:videotestsrc ! appsink"])
def test_without_gstreamer_a_pipeline_says_which_opencv_has_it(uri: str) -> None:
    with pytest.raises(SourceError, match=r"built without GStreamer, .*python3-opencv"):
        open_source(uri)


@pytest.mark.skipif(
    not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER),
    reason="this OpenCV has no GStreamer, as all of pip's",
)
def test_a_gstreamer_pipeline_is_live() -> None:
    with open_source("gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48") as source:
        assert (source.size, source.is_live) == ((64, 48), True)
        assert source.read() is not None


def test_a_csi_camera_is_asked_for_size_rate_and_turn() -> None:
    from dayshift.runtime.sources.gstreamer import csi_pipeline

    pipeline = csi_pipeline(1, size=(1920, 1080), fps=60, flip=2)
    assert "nvarguscamerasrc sensor-id=1" in pipeline
    assert "width=1920,height=1080,framerate=60/1" in pipeline
    assert "flip-method=2" in pipeline
    assert pipeline.endswith("appsink drop=true max-buffers=1 sync=false")


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("csi://front", "names no sensor"),
        ("csi://0?flip=9", "expected a number from 0 to 7"),
        ("v4l2:///dev/video0?format=H264", "expected one of MJPG, YUYV"),
    ],
)
def test_wrong_words_for_cameras_are_usage_errors(uri: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        open_source(uri)
