"""Viewers by WebRTC: an offer is answered with the live picture, and with nothing else.

Nothing is sent but to who came here: neither STUN nor TURN servers are asked, the addresses in an
offer are thrown away, and the picture leaves from the one address at which its viewer found the
page. All of this runs in the server's event loop; only the encoding has threads.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import UsageError
from dayshift.runtime.web.board import Board
from dayshift.runtime.web.video import Content, VideoEncoder

try:
    from aiortc import (
        MediaStreamTrack,
        RTCConfiguration,
        RTCPeerConnection,
        RTCRtpSender,
        RTCSessionDescription,
    )
    from aiortc.mediastreams import MediaStreamError
    from av import Packet
except ImportError as error:
    raise missing_dependency("aiortc", error) from error

MOST_VIEWERS = 8
CONNECT_S = 10.0  # from an offer to its viewer; who is not there by then is forgotten
_CLOSE_S = 1.0
_MOST_WAITING = 2  # pictures for one viewer; who takes them too slowly goes on at a whole one
_WAIT_S = 1.0

_log = logging.getLogger(__name__)


class Peers:
    """All viewers by WebRTC, and for each content the video that they share."""

    def __init__(self, board: Board) -> None:
        self._videos: dict[Content, _Video] = {
            "image": _Video(board, "image"),
            "both": _Video(board, "both"),
        }
        self._connections: set[RTCPeerConnection] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def answer(self, offer: str, content: Content, address: str) -> str | None:
        """Return the SDP that answers a viewer's; None where there are `MOST_VIEWERS`.

        Args:
            offer: SDP with one video, to be received, and nothing beside it.
            content: What the viewer wants to look at.
            address: The address of this machine at which the viewer found the page.

        Raises:
            UsageError: The offer is no such thing.
        """
        if len(self._connections) >= MOST_VIEWERS:
            return None
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connections.add(connection)
        try:
            track = _Track(self._videos[content])
            _send_from(connection, track, address)
            self._watch(connection, track)
            try:
                await connection.setRemoteDescription(_read_offer(offer))
            except Exception as error:  # whatever a parser makes of what strangers send
                raise UsageError("expected an SDP offer to receive one video as H.264") from error
            await connection.setLocalDescription()
            answer = str(connection.localDescription.sdp)
            _check_candidates(answer, address)
        except BaseException:
            await self._close(connection)
            raise
        return answer

    async def close(self) -> None:
        """Let all viewers go."""
        await asyncio.gather(*map(self._close, tuple(self._connections)), *self._closing)

    def _watch(self, connection: RTCPeerConnection, track: _Track) -> None:
        """Close a connection that is not made in time, or whose viewer or video ends."""
        loop = asyncio.get_running_loop()

        def close() -> None:
            task = loop.create_task(self._close(connection))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        def look() -> None:
            if connection.connectionState in ("failed", "closed"):
                close()

        def give_up() -> None:
            if connection.connectionState != "connected":
                close()

        connection.add_listener("connectionstatechange", look)
        track.add_listener("ended", close)
        loop.call_later(CONNECT_S, give_up)

    async def _close(self, connection: RTCPeerConnection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(connection.close(), _CLOSE_S)


class _Video:
    """One video for all who look at the same; while nobody does, nothing is encoded."""

    def __init__(self, board: Board, content: Content) -> None:
        self._board = board
        self._content = content
        self._tracks: set[_Track] = set()
        self._task: asyncio.Task[None] | None = None
        self._is_key_wanted = False

    def join(self, track: _Track) -> None:
        """Give a viewer the pictures from now on, of which the first is a whole one."""
        self._tracks.add(track)
        self._is_key_wanted = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def leave(self, track: _Track) -> None:
        """Give a viewer nothing more."""
        self._tracks.discard(track)

    async def _run(self) -> None:
        encoder, seen = VideoEncoder(self._content), 0
        try:
            while self._tracks and not self._board.is_closed:
                picture = await self._board.after(seen, _WAIT_S)
                if picture is None:
                    continue
                seen = picture.serial
                is_key, self._is_key_wanted = self._is_key_wanted, False
                packets = await run_in_threadpool(encoder.encode, picture, is_key=is_key)
                for track in tuple(self._tracks):
                    track.put(packets)
        except Exception:  # the page goes on without
            _log.exception("the live video failed: viewers get JPEG instead")
        finally:
            self._task = None
            for track in tuple(self._tracks):
                track.stop()


class _Track(MediaStreamTrack):
    """What one viewer is sent, already encoded."""

    kind = "video"

    def __init__(self, video: _Video) -> None:
        super().__init__()
        self._video = video
        self._packets: asyncio.Queue[Packet[Any] | None] = asyncio.Queue()
        self._has_joined = False
        self._needs_key = True

    def put(self, packets: list[Packet[Any]]) -> None:
        """Take the next picture, unless there are too many already."""
        if self._packets.qsize() >= _MOST_WAITING:
            self._has_joined = False
            self._video.leave(self)
            return
        for packet in packets:
            # A picture tells what changed since the one before, which must not be missing.
            if packet.is_keyframe or not self._needs_key:
                self._needs_key = False
                self._packets.put_nowait(packet)

    async def recv(self) -> Packet[Any]:
        """Wait for the next picture, as aiortc's sender does when it has sent the last."""
        if self.readyState == "live" and not self._has_joined:
            self._has_joined = self._needs_key = True
            self._video.join(self)
        packet = await self._packets.get() if self.readyState == "live" else None
        if packet is None:
            raise MediaStreamError
        return packet

    def stop(self) -> None:
        """End, also for who waits."""
        super().stop()
        self._video.leave(self)
        self._packets.put_nowait(None)


def _read_offer(text: str) -> RTCSessionDescription:
    """Return an offer without addresses: to them, whosever they are, something would be sent."""
    lines = text.splitlines()
    media = [line for line in lines if line.startswith("m=")]
    if len(media) != 1 or not media[0].startswith("m=video "):
        raise ValueError(f"{len(media)} media sections where one for video was expected")
    kept = [line for line in lines if not line.startswith(("a=candidate", "a=end-of-candidates"))]
    return RTCSessionDescription("\r\n".join([*kept, ""]), "offer")


def _send_from(connection: RTCPeerConnection, track: _Track, address: str) -> None:
    """Make ready to send a track as H.264, and from one address alone."""
    sending = connection.addTransceiver(track, direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    sending.setCodecPreferences([one for one in codecs if one.mimeType.lower() == "video/h264"])
    # aioice takes all addresses but loopback, and has no say in it.
    ice: Any = sending.sender.transport.transport.iceGatherer._connection
    gather = ice.get_component_candidates

    def gather_one(component: int, addresses: object, timeout: int = 5) -> Any:
        return gather(component=component, addresses=[address], timeout=timeout)

    ice.get_component_candidates = gather_one


def _check_candidates(answer: str, address: str) -> None:
    """See that no other address of this machine is told or listened on.

    Raises:
        RuntimeError: One is, by another version of aioice than was tried.
    """
    found = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")}
    if found != {address}:
        raise RuntimeError(f"WebRTC would use {sorted(found)} where {address} was expected")
