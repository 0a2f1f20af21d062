"""Where images go: video files, folders, a window, a browser, nowhere.

`open_sink` takes what a person types; the classes are in one module per kind.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from dayshift.runtime.errors import UsageError
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks.base import Sink, StreamStopped
from dayshift.runtime.uri import Uri, check_options, parse_uri

if TYPE_CHECKING:
    from dayshift.runtime.web.desk import Desk

__all__ = ["Sink", "StreamStopped", "open_sink"]

_VIDEO_SUFFIXES = frozenset({".mp4", ".m4v"})
_KINDS = "FILE.mp4, frames://DIR or DIR/, display://, http://[HOST]:PORT or null://"


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
        sink: `FILE.mp4`, `DIR/`, `frames://DIR?format=png|jpg`, `display://`, `http://[HOST]:PORT`
            or `null://`.
        size: (width, height) of the images, where known; a video file then takes no other.
        fps: Nominal frames per second of a video file.
        mark: Put into files; None leaves them unmarked.
        desk: What a browser view shows and turns; by default that of a stream of its own.

    Raises:
        UsageError: The URI has an unknown scheme, suffix or option.
        SinkError: The sink cannot be opened.
        MissingDependency: OpenCV or PyAV is not installed.
    """
    uri = parse_uri(str(sink))
    match uri.scheme:
        case "display":
            check_options(uri, ())
            from dayshift.runtime.sinks.window import WindowSink

            return WindowSink()
        case "http":
            from dayshift.runtime.sinks.http import open_http

            return open_http(uri, desk)
        case "null":
            check_options(uri, ())
            from dayshift.runtime.sinks.null import NullSink

            return NullSink()
        case "frames":
            return _open_folder(uri, mark)
        case "":
            return _open_path(uri, size, fps, mark)
        case unknown:
            raise UsageError(
                f"no sink has the scheme {unknown!r} in {uri.text!r}: expected {_KINDS}"
            )


def _open_path(
    uri: Uri, size: tuple[int, int] | None, fps: Fraction | None, mark: Mark | None
) -> Sink:
    path = Path(uri.rest)
    if uri.rest.endswith("/"):
        return _open_folder(uri, mark)
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        from dayshift.runtime.sinks.video import VideoSink

        return VideoSink(path, size=size, fps=fps, is_recording=True, mark=mark)
    if path.is_dir():
        return _open_folder(uri, mark)
    raise UsageError(f"cannot tell what to write to {uri.text!r}: expected {_KINDS}")


def _open_folder(uri: Uri, mark: Mark | None) -> Sink:
    check_options(uri, ("format",))
    from dayshift.runtime.sinks.images import FORMATS, ImageSink

    suffix = uri.options.get("format", FORMATS[0])
    if suffix not in FORMATS:
        raise UsageError(
            f"{uri.text!r} has format={suffix!r}: expected one of {', '.join(FORMATS)}"
        )
    if not uri.rest:
        raise UsageError(f"{uri.text!r} names no folder: expected frames://DIR")
    return ImageSink(Path(uri.rest), suffix=suffix, mark=mark)
