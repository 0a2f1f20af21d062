"""Where frames come from: cameras, video files, images, and a synthetic street.

`open_source` takes what a person types; the classes are in one module per kind.
"""

from __future__ import annotations

from pathlib import Path

from dayshift.runtime.errors import SourceError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import Source
from dayshift.runtime.uri import Uri, check_options, parse_number, parse_size, parse_uri

__all__ = ["Frame", "Source", "open_source"]

_KINDS = (
    "a camera (0, /dev/video0 or v4l2:///dev/video0), a video file, an image, a folder of images "
    "(DIR or frames://DIR), or synthetic://"
)


def open_source(source: str | int | Path, *, size: tuple[int, int] | None = None) -> Source:
    """Open a source by its URI, path or camera number.

    Args:
        source: `0`, `/dev/video0`, `v4l2://DEVICE?size=WxH&fps=N`, `FILE`, `DIR`, `frames://DIR` or
            `synthetic://?size=WxH&fps=N&frames=N&pace=0|1`. A number is a camera, `./0` a file.
        size: (width, height) to ask a camera for; files are scaled and cut to it, never squashed.

    Raises:
        UsageError: The URI has an unknown scheme or option.
        SourceError: The source cannot be opened.
        MissingDependency: OpenCV or PyAV is not installed.
    """
    uri = parse_uri(str(source))
    match uri.scheme:
        case "synthetic":
            from dayshift.runtime.sources.synthetic import open_synthetic

            return open_synthetic(uri, size)
        case "v4l2":
            return _open_camera(uri, size)
        case "frames":
            check_options(uri, ())
            return _open_path(Path(uri.rest), size)
        case "" if uri.rest.isdecimal() or uri.rest.startswith("/dev/"):
            return _open_camera(uri, size)
        case "":
            return _open_path(Path(uri.rest), size)
        case unknown:
            raise UsageError(
                f"no source has the scheme {unknown!r} in {uri.text!r}: expected {_KINDS}"
            )


def _open_camera(uri: Uri, size: tuple[int, int] | None) -> Source:
    check_options(uri, ("size", "fps"))
    in_uri = parse_size(uri.options["size"], uri) if "size" in uri.options else None
    fps = parse_number("fps", uri, default=0, low=1, high=1000) or None
    from dayshift.runtime.sources.camera import CameraSource

    return CameraSource(uri.rest, size=size or in_uri, fps=fps)


def _open_path(path: Path, size: tuple[int, int] | None) -> Source:
    if not path.exists():
        raise SourceError(f"there is no file or folder {str(path)!r}: expected {_KINDS}")
    from dayshift.runtime.sources.images import IMAGE_SUFFIXES, ImageSource

    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(path, size=size)
    from dayshift.runtime.sources.video import VideoSource

    return VideoSource(path, size=size)
