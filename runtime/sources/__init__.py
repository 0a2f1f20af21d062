"""Where frames come from: cameras, networks, video files, images, the screen, a synthetic street.

`open_source` takes what a person types; the classes are in one module per kind.
"""

from __future__ import annotations

from pathlib import Path

from dayshift.runtime.errors import SourceError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import CorruptFrame, Source
from dayshift.runtime.uri import Uri, check_options, parse_number, parse_size, parse_uri

__all__ = ["CorruptFrame", "Frame", "Source", "open_source"]

_NETWORK = ("rtsp", "rtsps", "http", "https", "rtmp", "srt", "udp", "rtp")
_KINDS = (
    "a camera (0, /dev/video0, v4l2:///dev/v4l/by-id/... or csi://0), an address (rtsp://... or "
    "http://...), a video file, an image, a folder of images (DIR or frames://DIR), "
    "gst:PIPELINE, screen:// or synthetic://"
)


def open_source(
    source: str | int | Path, *, size: tuple[int, int] | None = None, loop: bool = False
) -> Source:
    """Open a source by its URI, path or camera number.

    Args:
        source: `0`, `/dev/video0`, `v4l2://DEVICE?size=WxH&fps=N&format=MJPG|YUYV`,
            `csi://SENSOR?size=WxH&fps=N&flip=N`, `gst:PIPELINE`, `rtsp://...#transport=tcp|udp`,
            `http://...`, `screen://[DISPLAY]?size=WxH&fps=N`, `FILE`, `DIR`, `frames://DIR` or
            `synthetic://?size=WxH&fps=N&frames=N&pace=0|1&faults=...`. A number is a camera,
            `./0` a file.
        size: (width, height) to ask a camera for; files are scaled and cut to it, never squashed.
        loop: Begin a file or folder again at its end.

    Raises:
        UsageError: The URI has an unknown scheme or option.
        SourceError: The source cannot be opened, or is live and cannot be looped.
        MissingDependency: OpenCV or PyAV is not installed.
    """
    uri = parse_uri(str(source), opaque=(*_NETWORK, "gst"))
    if loop:
        from dayshift.runtime.sources.looped import LoopedSource

        return LoopedSource(lambda: _open(uri, size))
    return _open(uri, size)


def _open(uri: Uri, size: tuple[int, int] | None) -> Source:
    match uri.scheme:
        case "synthetic":
            from dayshift.runtime.sources.synthetic import open_synthetic

            return open_synthetic(uri, size)
        case "v4l2":
            return _open_camera(uri, size)
        case "csi" | "gst":
            return _open_pipeline(uri, size)
        case "screen":
            return _open_screen(uri, size)
        case "frames":
            check_options(uri, ())
            return _open_path(Path(uri.rest), size)
        case "" if uri.rest.isdecimal() or uri.rest.startswith("/dev/"):
            return _open_camera(uri, size)
        case "":
            return _open_path(Path(uri.rest), size)
        case network if network in _NETWORK:
            return _open_network(uri, size)
        case unknown:
            raise UsageError(
                f"no source has the scheme {unknown!r} in {uri.text!r}: expected {_KINDS}"
            )


def _open_camera(uri: Uri, size: tuple[int, int] | None) -> Source:
    check_options(uri, ("size", "fps", "format"))
    from dayshift.runtime.sources.camera import FORMATS, CameraSource

    wanted = _choice("format", uri, FORMATS)
    return CameraSource(uri.rest, size=size or _size_in(uri), fps=_fps_in(uri), pixel_format=wanted)


def _open_pipeline(uri: Uri, size: tuple[int, int] | None) -> Source:
    from dayshift.runtime.sources.gstreamer import GStreamerSource, csi_pipeline

    if uri.scheme == "gst":
        # The whole of it: a # or ? of the pipeline is the pipeline's own.
        return GStreamerSource(uri.address.partition(":")[2])
    check_options(uri, ("size", "fps", "flip"))
    if not uri.rest.isdecimal():
        raise UsageError(f"{uri.text!r} names no sensor: expected a number, such as csi://0")
    flip = int(parse_number("flip", uri, default=0, low=0, high=7))
    pipeline = csi_pipeline(int(uri.rest), size=size or _size_in(uri), fps=_fps_in(uri), flip=flip)
    return GStreamerSource(pipeline)


def _open_screen(uri: Uri, size: tuple[int, int] | None) -> Source:
    check_options(uri, ("size", "fps"))
    from dayshift.runtime.sources.network import NetworkSource
    from dayshift.runtime.sources.screen import screen_address

    return NetworkSource(screen_address(uri.rest, size or _size_in(uri), _fps_in(uri)))


def _open_network(uri: Uri, size: tuple[int, int] | None) -> Source:
    check_options(uri, ("transport",))
    transport = _choice("transport", uri, ("tcp", "udp"))
    from dayshift.runtime.sources.network import NetworkSource, network_address

    return NetworkSource(network_address(uri.text, uri.address, transport or "tcp"), size=size)


def _open_path(path: Path, size: tuple[int, int] | None) -> Source:
    if not path.exists():
        raise SourceError(f"there is no file or folder {str(path)!r}: expected {_KINDS}")
    from dayshift.runtime.sources.images import IMAGE_SUFFIXES, ImageSource

    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(path, size=size)
    from dayshift.runtime.sources.video import VideoSource

    return VideoSource(path, size=size)


def _size_in(uri: Uri) -> tuple[int, int] | None:
    return parse_size(uri.options["size"], uri) if "size" in uri.options else None


def _fps_in(uri: Uri) -> float | None:
    return parse_number("fps", uri, default=0, low=1, high=1000) or None


def _choice(name: str, uri: Uri, known: tuple[str, ...]) -> str | None:
    value = uri.options.get(name)
    if value is not None and value not in known:
        raise UsageError(f"{uri.text!r} has {name}={value!r}: expected one of {', '.join(known)}")
    return value
