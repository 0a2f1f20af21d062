"""RTSP cameras and HTTP streams, and the screen, read by PyAV (FFmpeg).

A user name and password may stand in the address, or in the environment where no process list shows
them: DAYSHIFT_SOURCE_USER and DAYSHIFT_SOURCE_PASSWORD. No message holds them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import quote

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sources.base import CorruptFrame, Source
from dayshift.runtime.sources.decoded import DECODER_LIMITS, PixelConverter

try:
    import av
except ImportError as error:
    raise missing_dependency("av", error) from error

_PLACE = re.compile(r"(\[[^]]*\]|[^:]*)(:\d*)?")  # host and port
USER, PASSWORD = "DAYSHIFT_SOURCE_USER", "DAYSHIFT_SOURCE_PASSWORD"

_OPEN_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 5.0
# What arrives is decoded at once: FFmpeg would otherwise hold frames back to even out the network.
# Not for HTTP: of a file, `nobuffer` throws away what was read to find out what it is.
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "max_delay": "0"}


@dataclass(frozen=True)
class Address:
    """What FFmpeg opens.

    Attributes:
        name: For messages; holds no credentials.
        url: For FFmpeg; may hold some.
        format: FFmpeg's name of the input format, None to find out.
        options: FFmpeg's own.
        never_ends: The end of the stream is a broken connection.
    """

    name: str
    url: str
    format: str | None
    options: dict[str, str]
    never_ends: bool

    def __repr__(self) -> str:
        return f"Address({self.name!r})"


class NetworkSource(Source):
    """A stream that FFmpeg opens by its address; live unless it says how long it is.

    Args:
        address: What to open.
        size: (width, height) that frames are scaled and cut to; None keeps the stream's own.

    Raises:
        SourceError: It cannot be reached, refuses the credentials, or holds no video.
    """

    frame_count = None

    def __init__(self, address: Address, *, size: tuple[int, int] | None = None) -> None:
        self.name = address.name
        self._address = address
        self._asked_size = size
        self._index = 0
        self._container = self._open()
        try:
            self._open_stream()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> av.container.InputContainer:
        try:
            return av.open(
                self._address.url,
                format=self._address.format,
                options=self._address.options | DECODER_LIMITS,
                metadata_errors="replace",
                timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S),
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # The cause is left out, since its text holds the address with all credentials.
            raise SourceError(f"cannot open {self.name}: {_explain(error)}") from None

    def _open_stream(self) -> None:
        videos = self._container.streams.video
        if not videos:
            raise SourceError(f"{self.name} holds no video stream: expected a camera or a video")
        self._stream = videos[0]
        if self._stream.codec_context is None:
            raise SourceError(f"{self.name} is in a format that FFmpeg cannot decode: try H.264")
        # Threads that take a frame each would each hold one back.
        self._stream.codec_context.options = DECODER_LIMITS
        self._stream.thread_type = "SLICE"
        self.is_live = self._address.never_ends or self._container.duration is None
        self.fps: Fraction | None = self._stream.average_rate or None
        self._frames = self._decode()
        try:
            self._first = next(self._frames, None)
        except CorruptFrame:
            self._first = None
        if self._first is None:
            raise SourceError(f"{self.name} gives no frame that can be decoded: try it in a player")
        self._started_at = self._first[0]
        self._start_pts = self._first[1].pts
        self._converter = PixelConverter(self._first[1], self._asked_size)
        self.size = self._converter.size

    def read(self) -> Frame | None:
        """Return the next frame.

        Raises:
            CorruptFrame: A part of the stream was lost or damaged.
            SourceError: The connection broke, or gave nothing for some seconds.
        """
        taken = self._first or next(self._frames, None)
        self._first = None
        if taken is None:
            if self.is_live:
                raise SourceError(f"{self.name} ended: the other side closed the stream")
            return None
        captured_at, decoded = taken
        pixels = self._converter.to_pixels(decoded)
        frame = Frame(pixels, self._index, captured_at, self._time_of(captured_at, decoded))
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the connection."""
        # The decoder first: suspended in the middle of the stream, it would outlive the container.
        self._frames.close()
        self._container.close()

    def reopen(self) -> Source:
        """Open the same address again."""
        return NetworkSource(self._address, size=self._asked_size)

    def _decode(self) -> Generator[tuple[float, av.VideoFrame], None, None]:
        packets = self._container.demux(self._stream)
        damaged = 0
        while True:
            try:
                packet = next(packets, None)
                arrived_at = time.perf_counter()
                decoded = packet.decode() if packet is not None else []
            except av.error.InvalidDataError:
                # A stream that is joined in the middle begins with what cannot be decoded.
                damaged += 1
                if damaged > _DAMAGED_PACKETS:
                    raise SourceError(
                        f"{self.name} gives damaged data: try it in a player"
                    ) from None
                continue
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(f"{self.name} broke off: {_explain(error)}") from None
            if packet is None:
                return
            for frame in decoded:
                damaged = 0
                yield arrived_at, frame

    def _time_of(self, captured_at: float, decoded: av.VideoFrame) -> float:
        base = decoded.time_base
        if self.is_live or decoded.pts is None or self._start_pts is None or base is None:
            return captured_at - self._started_at
        return float((decoded.pts - self._start_pts) * base)


_DAMAGED_PACKETS = 300


def network_address(
    shown: str,
    url: str,
    transport: str = "tcp",
    environment: Mapping[str, str] = os.environ,
) -> Address:
    """Return what to open for an address in a network.

    Args:
        shown: The address without credentials, for messages.
        url: The address as it was typed.
        transport: tcp or udp, for RTSP.
        environment: Where credentials are looked up that the address does not have.
    """
    scheme = url.partition(":")[0].lower()
    is_rtsp = scheme in ("rtsp", "rtsps")
    ffmpeg = {} if scheme in ("http", "https") else dict(_LOW_DELAY)
    if is_rtsp:
        # UDP loses packets in most networks, and a lost packet is a torn picture until the next
        # key frame.
        ffmpeg["rtsp_transport"] = transport
        ffmpeg["timeout"] = str(int(_READ_TIMEOUT_S * 1e6))
    return Address(shown, _with_credentials(url, environment), None, ffmpeg, is_rtsp)


def _with_credentials(url: str, environment: Mapping[str, str]) -> str:
    scheme, mark, rest = url.partition("://")
    user, password = environment.get(USER), environment.get(PASSWORD)
    authority = rest.partition("/")[0]
    if "@" in rest and "@" not in authority and not _PLACE.fullmatch(authority):
        # A / in the password, where an address ends for FFmpeg.
        typed, _, rest = rest.rpartition("@")
        return f"{scheme}{mark}{quote(typed, safe=':%')}@{rest}"
    if not mark or user is None or "@" in authority:
        return url
    secret = f":{quote(password, safe='')}" if password is not None else ""
    return f"{scheme}://{quote(user, safe='')}{secret}@{rest}"


def _explain(error: Any) -> str:
    """Say what went wrong, and what to do, in words that hold no address."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    # The classes are looked up by name: PyAV makes them at import, some versions lack some.
    match type(error).__name__:
        case "HTTPUnauthorizedError" | "HTTPForbiddenError":
            return f"the user name or password is wrong, or missing ({USER}, {PASSWORD})"
        case "HTTPNotFoundError":
            return "there is no such stream: check the path of the address"
        case "ConnectionRefusedError":
            return "nothing answers there: check host and port, and that the camera is on"
        case "ExitError" | "TimeoutError":
            return "no answer in time: check the network, and that the camera is on"
    return f"{reason}; check the address"
