"""Viewers by WebRTC: aiortc as the other end, in this process; browsers are in `test_page.py`."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("aiortc", reason="needs the extra `webrtc`")

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from dayshift.runtime.frame import Frame
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.web import peers
from dayshift.runtime.web.access import Limits
from dayshift.runtime.web.board import Board, Picture
from dayshift.runtime.web.desk import Desk
from dayshift.runtime.web.server import PageServer
from dayshift.runtime.web.video import (
    BLOCK_PX,
    FIELD_BITS,
    VideoEncoder,
    draw_strip,
    strip_height,
)

Pixels = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 320, 240


def plain(level: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def read_strip(frame: Pixels) -> tuple[int, int]:
    """Return number and milliseconds as the page's script reads them."""
    columns = frame.shape[1] // BLOCK_PX
    strip = frame[-strip_height(frame.shape[1]) :]
    centers = strip[BLOCK_PX // 2 :: BLOCK_PX, BLOCK_PX // 2 : columns * BLOCK_PX : BLOCK_PX, 1]
    bits = (centers.ravel() > 127)[: 2 * FIELD_BITS]
    powers = 2 ** np.arange(FIELD_BITS)
    return int(bits[:FIELD_BITS] @ powers), int(bits[FIELD_BITS:] @ powers)


class Shown:
    """A page whose pictures a thread of its own makes, 30 a second, of the level that is set."""

    def __init__(self, limits: Limits | None = None, host: str | None = None) -> None:
        self.server = PageServer(Desk(Control()), host=host, port=0, limits=limits)
        self.level, self.source_level = 60, 200
        self.longest_s = 0.0
        self._is_open = True
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        index = 0
        while self._is_open:
            at = time.perf_counter()
            frame = Frame(plain(self.source_level), index, at, index / 30, None)
            self.server.board.publish(plain(self.level), frame)
            self.longest_s = max(self.longest_s, time.perf_counter() - at)
            index += 1
            time.sleep(1 / 30)

    def ask(self, body: object, **headers: str) -> tuple[int, Any]:
        """Post an offer; return the status, and what the answer says."""
        port = int(self.server.name.rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        sent = {"content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request("POST", "/api/offer", content, sent)
            answer = connection.getresponse()
            told = answer.read()
            is_json = answer.headers["content-type"] == "application/json"
            return answer.status, json.loads(told) if is_json else told.decode()
        finally:
            connection.close()

    def close(self) -> None:
        self._is_open = False
        self._thread.join()
        self.server.close()


@pytest.fixture
def shown() -> Iterator[Shown]:
    page = Shown()
    yield page
    page.close()


class Viewer:
    """The other end of a connection."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTransceiver("video", direction="recvonly")
        self.offer = self.answer = ""

    async def connect(self, page: Shown, is_comparing: bool = False, **headers: str) -> int:
        await self.connection.setLocalDescription()
        self.offer = self.connection.localDescription.sdp
        body = {"sdp": self.offer, "is_comparing": is_comparing}
        status, told = await asyncio.to_thread(page.ask, body, **headers)
        if status == 200:
            self.answer = told["sdp"]
            await self.connection.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        return status

    async def see(self) -> Pixels:
        """Return the next frame of the video."""
        track = self.connection.getReceivers()[0].track
        frame: Any = await asyncio.wait_for(track.recv(), 10)
        return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)

    async def see_level(self, level: float, height: int = HEIGHT) -> Pixels:
        """Wait for a frame whose image has a level."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            frame = await self.see()
            if abs(float(frame[:height].mean()) - level) < 4:
                return frame
        raise AssertionError(f"no picture of level {level} came")


def meet(scene: Callable[[Viewer], Coroutine[Any, Any, None]]) -> None:
    """Run a scene with a viewer."""

    async def run() -> None:
        viewer = Viewer()
        try:
            await scene(viewer)
        finally:
            await viewer.connection.close()

    asyncio.run(run())


def wait_for(check: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def viewers(page: Shown) -> int:
    found = page.server._offers._peers
    return 0 if found is None else len(found._connections)


# The video


@pytest.mark.parametrize("width", [64, 320, 1280])
def test_the_strip_tells_number_and_time(width: int) -> None:
    strip = draw_strip(2**24 + 12345, 98765.4321, width)
    assert strip.shape == (strip_height(width), width, 3)
    assert read_strip(strip) == (12345, 98765432 % 2**24)


def test_the_picture_comes_with_its_number_and_its_age(shown: Shown) -> None:
    async def scene(viewer: Viewer) -> None:
        assert await viewer.connect(shown) == 200
        frame = await viewer.see_level(60)
        assert frame.shape == (HEIGHT + strip_height(WIDTH), WIDTH, 3)
        first, captured_ms = read_strip(frame)
        assert 0 <= (time.perf_counter() * 1e3 - captured_ms) % 2**24 < 5000
        assert read_strip(await viewer.see())[0] > first
        shown.level = 180
        await viewer.see_level(180)

    meet(scene)


def test_who_compares_sees_the_source_below_the_image(shown: Shown) -> None:
    async def scene(viewer: Viewer) -> None:
        await viewer.connect(shown, is_comparing=True)
        frame = await viewer.see_level(60)
        assert frame.shape == (2 * HEIGHT + strip_height(WIDTH), WIDTH, 3)
        assert frame[HEIGHT : 2 * HEIGHT].mean() == pytest.approx(200, abs=4)

    meet(scene)


def test_colours_are_those_of_the_picture() -> None:
    import av

    image = plain(0)
    for column, color in enumerate([(0, 0, 255), (0, 255, 0), (255, 0, 0), (40, 120, 200)]):
        image[:, 80 * column : 80 * (column + 1)] = color
    packets = VideoEncoder("image").encode(picture(image), is_key=True)
    (frame,) = av.CodecContext.create("h264", "r").decode(packets[0])
    assert frame.colorspace in (5, 6)  # BT.601, by one name or the other
    assert frame.color_range == 1
    seen = frame.to_ndarray(format="bgr24")
    for column in range(4):
        middle = 80 * column + 40
        assert seen[100, middle] == pytest.approx(image[100, middle], abs=6)


def picture(image: Pixels, serial: int = 1, at: float = 0.0) -> Picture:
    return Picture(serial, image, Frame(image, serial, at, 0.0, None))


def test_an_odd_size_and_another_size_are_encoded() -> None:
    encoder = VideoEncoder("both")
    for serial, (width, height) in enumerate([(325, 241), (320, 240), (64, 48)]):
        packets = encoder.encode(picture(plain(90, width, height), serial), is_key=False)
        assert [packet.is_keyframe for packet in packets] == [True], (width, height)


def test_whole_pictures_are_rare_and_come_when_they_are_asked_for() -> None:
    encoder = VideoEncoder("image")
    keys = [
        encoder.encode(picture(plain(90), index, index / 30), is_key=index == 40)[0].is_keyframe
        for index in range(120)
    ]
    assert [index for index, is_key in enumerate(keys) if is_key] == [0, 40, 101]


# Viewers


def test_two_viewers_share_a_video_and_a_late_one_begins_at_once(shown: Shown) -> None:
    async def scene(first: Viewer) -> None:
        second = Viewer()
        try:
            await first.connect(shown)
            await first.see_level(60)
            await second.connect(shown)
            await second.see_level(60)
            shown.level = 150
            await asyncio.gather(first.see_level(150), second.see_level(150))
        finally:
            await second.connection.close()

    meet(scene)


def test_a_viewer_that_leaves_is_forgotten_and_nothing_is_encoded(shown: Shown) -> None:
    async def scene(viewer: Viewer) -> None:
        await viewer.connect(shown)
        await viewer.see()
        assert viewers(shown) == 1

    meet(scene)
    wait_for(lambda: viewers(shown) == 0)
    wait_for(lambda: not shown.server.board.is_watched)


def test_viewers_are_few(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MOST_VIEWERS", 1)

    async def scene(viewer: Viewer) -> None:
        second = Viewer()
        assert await viewer.connect(shown) == 200
        assert await second.connect(shown) == 503
        await second.connection.close()

    meet(scene)


def test_who_does_not_come_is_forgotten(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "CONNECT_S", 0.3)
    status, _ = shown.ask({"sdp": offer_of_nobody(), "is_comparing": False})
    assert status == 200
    assert viewers(shown) == 1
    wait_for(lambda: viewers(shown) == 0)


def offer_of_nobody(*, has_data: bool = False) -> str:
    async def make() -> str:
        viewer = Viewer()
        if has_data:
            viewer.connection.createDataChannel("more")
        await viewer.connection.setLocalDescription()
        await viewer.connection.close()
        return str(viewer.connection.localDescription.sdp)

    return asyncio.run(make())


def test_the_end_of_the_stream_lets_viewers_go_at_once(shown: Shown) -> None:
    async def scene(viewer: Viewer) -> None:
        await viewer.connect(shown)
        await viewer.see()
        started_at = time.monotonic()
        await asyncio.to_thread(shown.close)
        assert time.monotonic() - started_at < 2
        while viewer.connection.connectionState == "connected":
            await asyncio.sleep(0.05)
        assert viewers(shown) == 0

    meet(scene)


def test_pictures_that_a_viewer_does_not_take_are_not_kept() -> None:
    async def scene() -> None:
        board = Board()
        board.open()
        video = peers._Video(board, "image")
        track = peers._Track(video)
        waiting = asyncio.ensure_future(track.recv())

        async def show(index: int) -> None:
            image = plain(90)
            at = time.perf_counter()
            board.publish(image, Frame(image, index, at, index / 30, None))
            await asyncio.sleep(0.05)

        for index in range(10):
            await show(index)
        assert (await waiting).is_keyframe
        assert not video._tracks  # it is given nothing more until it asks
        assert track._packets.qsize() == peers._MOST_WAITING
        kept: list[Any] = [await track.recv() for _ in range(peers._MOST_WAITING)]
        assert not any(packet.is_keyframe for packet in kept)
        await show(10)
        # After the gap comes what does not build upon it, and it is new.
        again: Any = await track.recv()
        assert again.is_keyframe
        assert again.pts - kept[-1].pts > 90_000 * 0.05 * 7
        track.stop()
        board.close()
        await asyncio.sleep(0.1)

    asyncio.run(scene())


# Who may come, and with what


def test_only_the_address_at_which_the_page_was_found_is_used(shown: Shown) -> None:
    async def scene(viewer: Viewer) -> None:
        await viewer.connect(shown)
        lines = [line for line in viewer.answer.splitlines() if line.startswith("a=candidate:")]
        assert {line.split()[4] for line in lines} == {"127.0.0.1"}
        assert {line.split()[7] for line in lines} == {"host"}  # of no STUN or TURN server

    meet(scene)


def test_no_other_server_is_asked(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    from aioice import ice

    asked = []

    async def ask(protocol: object, server: tuple[str, int]) -> object:
        asked.append(server)
        raise ConnectionError

    monkeypatch.setattr(ice, "server_reflexive_candidate", ask)
    status, _ = shown.ask({"sdp": offer_of_nobody(), "is_comparing": False})
    assert (status, asked) == (200, [])


def test_nothing_is_sent_to_addresses_of_an_offer(shown: Shown) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.settimeout(1.5)
        port = elsewhere.getsockname()[1]
        lines = offer_of_nobody().splitlines()
        candidate = f"a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host"
        lines = [line for line in lines if not line.startswith("a=candidate")]
        offer = "\r\n".join([*lines, candidate, "a=end-of-candidates", ""])
        status, _ = shown.ask({"sdp": offer, "is_comparing": False})
        assert status == 200
        with pytest.raises(TimeoutError):
            elsewhere.recv(2048)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"{", "expected a JSON object"),
        ([], "expected a JSON object with sdp and is_comparing"),
        ({"sdp": "v=0"}, "expected a JSON object with sdp and is_comparing"),
        ({"sdp": 1, "is_comparing": False}, "expected a text for sdp"),
        ({"sdp": "v=0", "is_comparing": 1}, "true or false for is_comparing"),
        ({"sdp": "", "is_comparing": False}, "expected an SDP offer"),
        ({"sdp": "m=video 9 UDP/TLS/RTP/SAVPF 96", "is_comparing": False}, "expected an SDP offer"),
        ({"sdp": "m=video 9 X 1\r\n" * 2, "is_comparing": False}, "expected an SDP offer"),
        ({"sdp": "m=application 9 X 1", "is_comparing": False}, "expected an SDP offer"),
        (b" " * 20_000, "at most 16384 bytes"),
    ],
)
def test_what_is_no_offer_is_refused_in_a_line(shown: Shown, body: object, line: str) -> None:
    status, told = shown.ask(body)
    assert (status, line in told["error"]) == (400, True), told
    assert viewers(shown) == 0


def test_an_offer_of_more_than_a_video_is_refused(shown: Shown) -> None:
    offer = offer_of_nobody(has_data=True)
    status, told = shown.ask({"sdp": offer, "is_comparing": False})
    assert (status, "one video" in told["error"]) == (400, True)


def test_an_offer_without_h264_is_refused(shown: Shown) -> None:
    offer = offer_of_nobody().replace("H264", "VP9")
    status, told = shown.ask({"sdp": offer, "is_comparing": False})
    assert (status, "as H.264" in told["error"]) == (400, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"content_type": "text/plain"}, 400),
    ],
)
def test_offers_of_other_sites_are_refused(
    shown: Shown, headers: dict[str, str], status: int
) -> None:
    body = {"sdp": offer_of_nobody(), "is_comparing": False}
    assert shown.ask(body, **headers)[0] == status
    assert viewers(shown) == 0


def test_elsewhere_than_on_loopback_an_offer_needs_the_token() -> None:
    page = Shown(host="0.0.0.0")
    try:
        token = page.server.url.partition("?token=")[2]
        body = {"sdp": offer_of_nobody(), "is_comparing": False}
        assert page.ask(body)[0] == 401
        assert page.ask(body, authorization=f"Bearer {token[:-4]}AAAA")[0] == 401
        assert page.ask(body, authorization=f"Bearer {token}")[0] == 200
    finally:
        page.close()


def test_offers_are_limited_in_their_rate() -> None:
    page = Shown(limits=Limits(offers=(0.001, 2.0)))
    try:
        body = {"sdp": "", "is_comparing": False}
        assert [page.ask(body)[0] for _ in range(4)] == [400, 400, 429, 429]
    finally:
        page.close()


def test_the_pipeline_never_waits_for_a_viewer(shown: Shown) -> None:
    async def scene(viewer: Viewer) -> None:
        await viewer.connect(shown)
        await viewer.see()
        shown.longest_s = 0.0
        time.sleep(1.5)  # the viewer's loop stands still: nothing is read, nothing acknowledged
        await viewer.see()

    meet(scene)
    assert shown.longest_s < 1
