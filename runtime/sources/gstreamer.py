"""GStreamer pipelines, and the CSI cameras of a Jetson, through an OpenCV that has GStreamer."""

from __future__ import annotations

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources.base import Source
from dayshift.runtime.sources.opencv import OpenCvSource, quiet_opencv
from dayshift.runtime.uri import redact

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

DEFAULT_CSI_SIZE = (1280, 720)
DEFAULT_CSI_FPS = 30.0

# One buffer, the oldest dropped: a reader that is late gets the present.
_APPSINK = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"


class GStreamerSource(OpenCvSource):
    """The frames of a GStreamer pipeline, live.

    Args:
        pipeline: As for gst-launch-1.0. Without an `appsink` one is added that takes BGR.

    Raises:
        SourceError: This OpenCV has no GStreamer, or the pipeline cannot be started.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        label = f"pipeline {redact(pipeline)!r}"
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise SourceError(
                f"cannot run the {label}: this OpenCV {cv2.__version__} was built without "
                "GStreamer, as all of pip's are; use JetPack's or your distribution's OpenCV "
                "(apt-get install python3-opencv), or name a camera, file or rtsp:// address"
            )
        complete = pipeline if "appsink" in pipeline else f"{pipeline} ! {_APPSINK}"
        with quiet_opencv():
            # No timeouts: an OpenCV that does not know them for GStreamer refuses to open at all.
            capture = cv2.VideoCapture(complete, cv2.CAP_GSTREAMER)
        hint = "try it with gst-launch-1.0, fakesink in place of appsink"
        if not capture.isOpened():
            raise SourceError(f"cannot start the {label}: {hint}")
        super().__init__(capture, label, hint)

    def reopen(self) -> Source:
        """Start the pipeline again."""
        return GStreamerSource(self._pipeline)


def csi_pipeline(
    sensor: int, *, size: tuple[int, int] | None = None, fps: float | None = None, flip: int = 0
) -> str:
    """Return the pipeline of a Jetson's CSI camera: Argus debayers, VIC converts, no CPU work.

    Args:
        sensor: Number of the sensor, from 0.
        size: (width, height).
        fps: Frames per second.
        flip: nvvidconv's flip-method: 0 none, 2 upside down.
    """
    width, height = size or DEFAULT_CSI_SIZE
    rate = f"{fps or DEFAULT_CSI_FPS:g}/1"
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={width},"
        f"height={height},framerate={rate} ! nvvidconv flip-method={flip} ! "
        f"video/x-raw,format=BGRx ! {_APPSINK}"
    )
