"""Videos in parts: the same frames as in one piece, wherever a video is cut."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources.base import Source
from dayshift.runtime.sources.video import VideoSource
from dayshift.runtime.sources.video_span import VideoSpan, read_index

FRAMES = 60


def write_video(path: Path, *, codec: str = "libx264", times: list[int] | None = None) -> Path:
    """Write noise that moves, with B-frames whose references cross the key frames."""
    options = {"g": "12", "bf": "3", "x264-params": "open-gop=1:scenecut=0:keyint=12"}
    rng = np.random.default_rng(7)
    canvas = rng.integers(0, 255, (96, 256, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(FRAMES):
            pixels = np.ascontiguousarray(canvas[:, number : number + 128])
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(source: Source) -> list[tuple[str, float | None, int]]:
    """Return hash, time and number of every frame."""
    seen = []
    with source:
        while (frame := source.read()) is not None:
            digest = hashlib.sha256(frame.pixels.tobytes()).hexdigest()
            seen.append((digest, frame.pts_s, frame.index))
    return seen


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("warm_frames", [0, 5, 40])
def test_parts_hold_the_frames_of_the_whole(tmp_path: Path, suffix: str, warm_frames: int) -> None:
    path = write_video(tmp_path / f"drive.{suffix}")
    whole = read(VideoSource(path))
    index = read_index(path)
    assert index is not None
    spans = index.split(0.7, warm_frames)
    assert len(spans) >= 3
    frames: list[tuple[str, float | None]] = []
    for span in spans:
        part = read(VideoSpan(path, span))
        warm = [one for one in part if one[2] < 0]
        own = [one for one in part if one[2] >= 0]
        assert [one[2] for one in own] == list(range(span.frames))
        # The memory is given exactly the frames before the part.
        before = [one[:2] for one in whole[: len(frames)]]
        expected = before[-span.warm_frames :] if span.warm_frames else []
        assert [one[:2] for one in warm] == expected
        assert span.warm_frames == min(warm_frames, len(frames))
        frames += [one[:2] for one in own]
    assert frames == [one[:2] for one in whole]


def test_parts_of_a_variable_rate_keep_their_times(tmp_path: Path) -> None:
    times = [number + number // 7 * 3 for number in range(FRAMES)]
    path = write_video(tmp_path / "phone.mp4", times=times)
    index = read_index(path)
    assert index is not None
    parts = [one for span in index.split(1.0, 0) for one in read(VideoSpan(path, span))]
    assert [one[:2] for one in parts] == [one[:2] for one in read(VideoSource(path))]


def test_parts_are_as_long_as_asked_for(tmp_path: Path) -> None:
    index = read_index(write_video(tmp_path / "drive.mp4"))
    assert index is not None
    assert len(index.split(1000.0, 0)) == 1
    for span in index.split(0.9, 0)[:-1]:
        assert span.end is not None
        assert (span.end - span.start) * index.time_base >= 0.9


def test_a_format_without_a_true_index_is_not_cut(tmp_path: Path) -> None:
    assert read_index(write_video(tmp_path / "drive.ts")) is None


def test_a_part_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.mkv")
    index = read_index(path)
    assert index is not None
    last = index.split(0.7, 0)[-1]
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    with pytest.raises(SourceError, match=r"drive\.mkv"):
        read(VideoSpan(path, last))


def test_a_video_is_read_from_bytes_that_lie_elsewhere(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.mp4")
    file = path.open("rb")
    seen = read(VideoSource(Path("elsewhere/drive.mp4"), file=file))
    assert seen == read(VideoSource(path))
    assert file.closed
