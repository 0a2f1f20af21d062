"""From what FFmpeg decodes to BGR pixels: colours as players show them, phone videos upright."""

from __future__ import annotations

import numpy as np

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.frame import Pixels
from dayshift.runtime.sources.resize import fill_size
from dayshift.runtime.uri import MOST_PIXELS

try:
    import av
    from av.video.reformatter import Colorspace, VideoReformatter
except ImportError as error:
    raise missing_dependency("av", error) from error
try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

# FFmpeg gives the counter-clockwise angle by which a frame is to be turned.
_TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    -90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    -180: cv2.ROTATE_180,
}
# Players read HD video without a colour tag as BT.709; FFmpeg's scaler reads it as BT.601.
_UNTAGGED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT_PX = 720
# A few bytes may promise frames of gigabytes. FFmpeg wants to be told twice: for the decoders that
# look into what is opened, and for the one that then decodes.
DECODER_LIMITS = {"max_pixels": str(MOST_PIXELS)}


class PixelConverter:
    """Converts the decoded frames of one stream. One thread at a time.

    Args:
        first: The stream's first frame: it tells the rotation of all.
        asked_size: (width, height) that frames are scaled and cut to; None keeps their own.

    Attributes:
        size: (width, height) of what comes out.
    """

    def __init__(self, first: av.VideoFrame, asked_size: tuple[int, int] | None) -> None:
        self._asked_size = asked_size
        # PyAV before 14.2 does not tell; the frame then stays as it is stored.
        self._turn = _TURNS.get(getattr(first, "rotation", 0))
        # One scaler for all frames: `to_ndarray(format=...)` sets one up for each (0.5 ms at 720p).
        self._reformatter = VideoReformatter()
        upright = self._turn in (None, cv2.ROTATE_180)
        stored = (first.width, first.height)
        self.size: tuple[int, int] = asked_size or (stored if upright else stored[::-1])

    def to_pixels(self, decoded: av.VideoFrame) -> Pixels:
        """Return uint8 BGR (H, W, 3), upright."""
        untagged_hd = decoded.colorspace == _UNTAGGED and decoded.height >= _HD_HEIGHT_PX
        picture = self._reformatter.reformat(
            decoded, format="bgr24", src_colorspace=Colorspace.ITU709 if untagged_hd else None
        )
        pixels = np.asarray(picture.to_ndarray(), np.uint8)
        if self._turn is not None:
            pixels = np.asarray(cv2.rotate(pixels, self._turn), np.uint8)
        return fill_size(pixels, self._asked_size) if self._asked_size else pixels
