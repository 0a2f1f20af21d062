"""Where images go: video files, folders, a window, a browser, a virtual camera, nowhere.

`open_sink` takes what a person types; the classes are in one module per kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from dayshift.runtime.errors import UsageError
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks.base import Sink, StreamStopped
from dayshift.runtime.uri import Uri, check_options, parse_number, parse_uri

if TYPE_CHECKING:
    from dayshift.runtime.web.desk import Desk

__all__ = ["Sink", "StreamStopped", "open_sink"]

_VIDEO_SUFFIXES = frozenset({".mp4", ".m4v"})
_KINDS = (
    "FILE.mp4, frames://DIR or DIR/, segments://DIR, display://, http://[HOST]:PORT, "
    "v4l2loopback:///dev/videoN, virtualcam:// or null://"
)


@dataclass(frozen=True)
class _Stream:
    """What is known of the images to come; see `open_sink`."""

    size: tuple[int, int] | None
    fps: Fraction | None
    mark: Mark | None
    desk: Desk | None


def open_sink(
    sink: str | Path,
    *,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    mark: Mark | None = None,
    desk: Desk | None = None,
) -> Sink:
    """Open a sink by its URI or path.

    Args:
        sink: `FILE.mp4`, `DIR/`, `frames://DIR?format=png|jpg`, `segments://DIR?seconds=600&keep=N`,
            `display://`, `http://[HOST]:PORT`, `v4l2loopback:///dev/videoN`, `virtualcam://` or
            `null://`.
        size: (width, height) of the images, where known; a video file then takes no other.
        fps: Nominal frames per second of a video file.
        mark: Put into files; None leaves them unmarked.
        desk: What a window or a page turns; by default one of its own.

    Raises:
        UsageError: The URI has an unknown scheme, suffix or option.
        SinkError: The sink cannot be opened.
        MissingDependency: OpenCV, PyAV or another library is not installed.
    """
    uri, stream = parse_uri(str(sink)), _Stream(size, fps, mark, desk)
    match uri.scheme:
        case "display" | "http" | "null":
            return _open_view(uri, stream)
        case "v4l2loopback" | "virtualcam":
            return _open_camera(uri, stream)
        case "frames":
            return _open_folder(uri, mark)
        case "segments":
            return _open_segments(uri, stream)
        case "":
            return _open_path(uri, stream)
        case unknown:
            raise UsageError(
                f"no sink has the scheme {unknown!r} in {uri.text!r}: expected {_KINDS}"
            )


def _open_view(uri: Uri, stream: _Stream) -> Sink:
    check_options(uri, ())
    if uri.scheme == "http":
        from dayshift.runtime.sinks.http import open_http

        return open_http(uri, stream.desk)
    if uri.scheme == "null":
        from dayshift.runtime.sinks.null import NullSink

        return NullSink()
    from dayshift.runtime.sinks.window import WindowSink

    return WindowSink(control=None if stream.desk is None else stream.desk.control)


def _open_camera(uri: Uri, stream: _Stream) -> Sink:
    check_options(uri, ())
    if uri.scheme == "virtualcam":
        from dayshift.runtime.sinks.obs_camera import ObsCameraSink

        return ObsCameraSink(size=stream.size, fps=stream.fps)
    if not uri.rest.startswith("/dev/"):
        raise UsageError(
            f"{uri.text!r} names no device: expected v4l2loopback:///dev/videoN, with its number"
        )
    from dayshift.runtime.sinks.virtual_camera import VirtualCameraSink

    return VirtualCameraSink(Path(uri.rest), size=stream.size, fps=stream.fps)


def _open_path(uri: Uri, stream: _Stream) -> Sink:
    path = Path(uri.rest)
    if uri.rest.endswith("/"):
        return _open_folder(uri, stream.mark)
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        from dayshift.runtime.sinks.video import VideoSink

        return VideoSink(
            path, size=stream.size, fps=stream.fps, is_recording=True, mark=stream.mark
        )
    if path.is_dir():
        return _open_folder(uri, stream.mark)
    raise UsageError(f"cannot tell what to write to {uri.text!r}: expected {_KINDS}")


def _open_segments(uri: Uri, stream: _Stream) -> Sink:
    check_options(uri, ("seconds", "keep"))
    from dayshift.runtime.sinks.segments import SegmentSink

    seconds = parse_number("seconds", uri, default=600, low=1, high=86_400)
    keep = int(parse_number("keep", uri, default=0, low=0, high=1_000_000))
    folder = _folder(uri)
    return SegmentSink(folder, seconds=seconds, keep=keep or None, fps=stream.fps, mark=stream.mark)


def _open_folder(uri: Uri, mark: Mark | None) -> Sink:
    check_options(uri, ("format",))
    from dayshift.runtime.sinks.images import FORMATS, ImageSink

    suffix = uri.options.get("format", FORMATS[0])
    if suffix not in FORMATS:
        raise UsageError(
            f"{uri.text!r} has format={suffix!r}: expected one of {', '.join(FORMATS)}"
        )
    return ImageSink(_folder(uri), suffix=suffix, mark=mark)


def _folder(uri: Uri) -> Path:
    if not uri.rest:
        raise UsageError(f"{uri.text!r} names no folder: expected {uri.scheme}://DIR")
    return Path(uri.rest)
