"""Pictures and videos of a stranger take what they hold, not what their header promises."""

from __future__ import annotations

import functools
import http.server
import shutil
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources import decoded, network, open_source, video

# Peak memory in MiB, after all that was imported.
# Not getrusage: what it tells of a new process includes the one that started it.
_PEAK = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print("peak", int(line.split()[1]) >> 10)
"""


def write_png(path: Path, side: int) -> Path:
    """Write a whole PNG of black, one bit a pixel, which is read as three bytes a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def test_a_picture_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, run_python: Callable[..., str], tiny_model: Path
) -> None:
    bomb = write_png(tmp_path / "bomb.png", 17_000)
    assert bomb.stat().st_size < 1 << 20
    told = run_python(
        "import sys; from dayshift.cli import main; sys.stderr = sys.stdout\n"
        f"print(main(['run', {str(bomb)!r}, 'null://', '--model', {str(tiny_model)!r}]))\n" + _PEAK
    )
    error, code, peak = told.splitlines()
    assert "is no image that OpenCV can read" in error
    assert code == "1"
    assert int(peak.split()[1]) < 700  # unpacked it is 827 MiB


def _video_of_size(path: Path, side: int) -> Path:
    """Write a raw video in AVI whose header promises frames of `side` by `side`."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "bgr24"
        for packet in stream.encode(av.VideoFrame(64, 64, "bgr24")):
            container.mux(packet)
    content = path.read_bytes()
    # Upside down, as AVI says it of pictures whose first row is the top one.
    content = content.replace(struct.pack("<ii", 64, -64), struct.pack("<ii", side, -side))
    path.write_bytes(content)
    return path


def test_a_video_whose_header_promises_gigabytes_is_refused(tmp_path: Path) -> None:
    with open_source(_video_of_size(tmp_path / "small.avi", 64)) as source:
        assert source.size == (64, 64)
    with pytest.raises(SourceError, match=r"breaks off after 0 of 1 frames"):
        open_source(_video_of_size(tmp_path / "giant.avi", 17_000))


def test_a_decoder_makes_no_larger_frames_than_its_limit(
    street_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream may change its size on the way, when no header is looked at any more."""
    assert decoded.DECODER_LIMITS["max_pixels"] == str(16384**2)
    open_source(street_video).close()
    open_as_ever = video.open_container

    def open_then_limit(path: Path, file: BinaryIO | None = None) -> Any:
        container = open_as_ever(path, file)  # whose header promised nothing giant
        monkeypatch.setattr(video, "DECODER_LIMITS", {"max_pixels": "1000"})
        return container

    monkeypatch.setattr(video, "open_container", open_then_limit)
    with pytest.raises(SourceError, match=r"cannot read|breaks off|no frame"):
        open_source(street_video)


def _looked_into(path: Path) -> Path:
    """Write a video of a kind whose frames FFmpeg decodes to find out what is in it."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as made:
        stream = made.add_stream("ffv1", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for packet in [*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode()]:
            made.mux(packet)
    return path


def test_a_decoder_that_looks_into_a_file_has_the_limit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _looked_into(tmp_path / "looked-into.mkv")
    with video.open_container(path) as container:
        assert container.streams.video[0].codec_context.width == 64
    monkeypatch.setattr(video, "DECODER_LIMITS", {"max_pixels": "1000"})
    with video.open_container(path) as container:
        assert container.streams.video[0].codec_context.width == 0  # it was not looked into


class _Camera(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""


def test_a_camera_has_these_limits_too(
    street_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(street_video, tmp_path / "street.mp4")
    _looked_into(tmp_path / "looked-into.mkv")
    seen: list[int] = []
    av = pytest.importorskip("av")
    open_as_ever = av.open

    def open_and_look(*words: object, **options: object) -> object:
        container = open_as_ever(*words, **options)
        seen.append(container.streams.video[0].codec_context.width)
        return container

    monkeypatch.setattr(av, "open", open_and_look)
    handler = functools.partial(_Camera, directory=str(tmp_path))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            for name in ("street.mp4", "looked-into.mkv"):
                open_source(f"{address}/{name}").close()
            monkeypatch.setattr(network, "DECODER_LIMITS", {"max_pixels": "1000"})
            for name in ("street.mp4", "looked-into.mkv"):
                with pytest.raises(SourceError, match=r"gives no frame|broke off"):
                    open_source(f"{address}/{name}")
        finally:
            server.shutdown()
            thread.join()
    assert seen[1] == 64
    assert seen[3] == 0  # it was not looked into
