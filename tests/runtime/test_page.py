"""The page in a real browser: Chromium, headless, over its DevTools protocol."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest

pytest.importorskip("websockets", reason="driving a browser needs the extra `dev`")

from dayshift.benchmarks.chromium import Browser, Tab, find_chromium, open_chromium
from dayshift.runtime.model import Model, load
from dayshift.runtime.provenance.verification import verify_file
from dayshift.runtime.sinks.http import HttpSink
from dayshift.runtime.sources import open_source
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.live_model import LiveModel
from dayshift.runtime.streaming.loading import Choice
from dayshift.runtime.streaming.pipeline import run_pipeline
from dayshift.runtime.web.desk import Desk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="needs chromium: apt-get install chromium"),
]

# The brightness of the picture that is shown, read back from the page's own canvas.
LEVEL = """(() => { const c = document.getElementById('picture');
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let sum = 0; for (let i = 0; i < d.length; i += 4) sum += d[i] + d[i + 1] + d[i + 2];
  return sum / d.length * 4 / 3; })()"""

# The mean colour of each of sixteen parts of that picture.
COLOURS = """(() => { const small = document.createElement('canvas').getContext('2d');
  small.canvas.width = small.canvas.height = 4; small.imageSmoothingQuality = 'high';
  small.drawImage(document.getElementById('picture'), 0, 0, 4, 4);
  return Array.from(small.getImageData(0, 0, 4, 4).data); })()"""

needs_webrtc = pytest.mark.skipif(
    importlib.util.find_spec("aiortc") is None, reason="needs the extra `webrtc`"
)
# How pictures come to the page.
WAYS = [pytest.param("WebRTC", marks=needs_webrtc), "MJPEG"]

# Whether the page shows the slider, by model.
LAMPS = {"tiny": "false", "lit": "true"}


@dataclass
class Stream:
    url: str
    folder: Path


@pytest.fixture(scope="module")
def stream(lit_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """`dayshift run` with a page, as a person starts it; other machines may see it."""
    yield from run(lit_model, tmp_path_factory.mktemp("kept"), "http://0.0.0.0:0")


def run(
    model: Path, folder: Path, sink: str, environment: dict[str, str] | None = None
) -> Iterator[Stream]:
    words = ["run", "synthetic://?size=320x240&fps=30", sink, "-m", model, "--recordings", folder]
    command = [sys.executable, "-m", "dayshift", *map(str, words)]
    told = os.environ | (environment or {})
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=told) as process:
        assert process.stderr is not None
        line = ""
        while "watch it at " not in line:
            line = process.stderr.readline()
            assert line, "the run ended"
        yield Stream(line.partition("watch it at ")[2].strip(), folder)
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as opened:
        yield opened


@pytest.fixture(params=WAYS)
def tab(request: pytest.FixtureRequest, browser: Browser, stream: Stream) -> Iterator[Tab]:
    """The page, once as it is and once without WebRTC."""
    opened = browser.new_tab()
    opened.open(stream.url)
    opened.wait_for("shown.serial > 2 && told")
    take(opened, request.param)
    yield opened
    opened.wait_for(f"{WAY} === '{request.param}'")
    assert opened.problems == []
    opened.open("about:blank")
    opened.close()


# What the page says of it.
WAY = "document.getElementById('way').textContent"


def take(tab: Tab, way: str) -> None:
    """Let pictures come in one of two ways."""
    if way == "MJPEG":
        tab.evaluate("live.isPossible = false; live.drop()")
    tab.wait_for(f"live.isLive === {str(way == 'WebRTC').lower()}")
    before = tab.evaluate("shown.serial")
    tab.wait_for(f"shown.serial > {before} + 2")


def press(tab: Tab, name: str) -> None:
    tab.evaluate(f"document.getElementById('{name}').click()")


def test_the_token_leaves_the_address_bar(tab: Tab, stream: Stream) -> None:
    assert "?token=" in stream.url
    assert tab.evaluate("location.search") == ""
    assert tab.evaluate("document.cookie") == ""  # not for scripts


def test_the_picture_is_live_and_the_stream_tells_of_itself(tab: Tab) -> None:
    before = tab.evaluate("shown.serial")
    tab.wait_for(f"shown.serial > {before} + 10")
    assert tab.evaluate("document.getElementById('state').textContent.trim()") == "running"
    tab.wait_for("document.getElementById('facts').textContent.includes('320x240')")
    tab.wait_for("document.getElementById('latency').textContent.includes('ms p95')")


def slide(tab: Tab, name: str, value: float) -> float:
    """Move a slider; return the brightness of the picture that follows."""
    tab.evaluate(
        f"(() => {{ const s = document.getElementById('{name}'); s.value = {value};"
        " s.dispatchEvent(new Event('input')); })()"
    )
    tab.wait_for(f"told.settings.{name} === {value}")
    before = tab.evaluate("shown.serial")
    tab.wait_for(f"shown.serial > {before} + 5")
    return float(tab.evaluate(LEVEL))


def choose(tab: Tab, name: str, value: str) -> None:
    tab.evaluate(
        f"(() => {{ const s = document.getElementById('{name}'); s.value = '{value}';"
        " s.dispatchEvent(new Event('change')); })()"
    )


def test_the_strength_slider_changes_the_picture(tab: Tab) -> None:
    dark, light = slide(tab, "strength", 1), slide(tab, "strength", 0)
    assert abs(light - dark) > 10
    assert slide(tab, "strength", 1) == pytest.approx(dark, abs=4)


def test_the_lamps_slider_is_there_where_the_model_in_use_has_lamps(
    browser: Browser, lit_model: Path, tiny_model: Path
) -> None:
    control = Control()
    models = {"lit": str(lit_model), "tiny": str(tiny_model)}

    def load_again(choice: Choice) -> Model:
        return load(choice.model, size=(240, 320))

    first = load(lit_model, lamps=0.5, size=(240, 320))
    source = open_source("synthetic://?size=320x240&fps=30")
    with (
        LiveModel(first, Choice(lit_model), load_again, control) as model,
        HttpSink(Desk(control, models=models), port=0) as sink,
    ):
        streaming = Thread(
            target=run_pipeline, args=(source, model, [sink]), kwargs={"control": control}
        )
        streaming.start()
        try:
            tab = browser.new_tab()
            tab.open(sink.url)
            tab.wait_for("shown.serial > 2 && told")
            tab.wait_for("document.getElementById('lamps-value').textContent === '50 %'")
            lit, dark = slide(tab, "lamps", 1), slide(tab, "lamps", 0)
            assert lit > dark + 10
            slide(tab, "lamps", 0.25)
            for name in ("tiny", "lit"):
                choose(tab, "model", name)
                tab.wait_for(f"told.settings.model === '{name}'")
                tab.wait_for(
                    f"document.getElementById('lamps').checkVisibility() === {LAMPS[name]}"
                )
            assert tab.evaluate("document.getElementById('lamps-value').textContent") == "25 %"
            end = time.monotonic() + 10
            while model.lamps != 0.25:  # set with the first frame of the model that is back
                assert time.monotonic() < end, model.lamps
                time.sleep(0.05)
            assert tab.problems == []
            tab.close()
        finally:
            control.stop()
            streaming.join()


def test_the_split_shows_the_source_on_the_left(tab: Tab) -> None:
    whole = tab.evaluate(LEVEL)
    press(tab, "compare")
    tab.wait_for("!!shown.source")
    tab.evaluate("setSplit(1)")
    assert abs(tab.evaluate(LEVEL) - whole) > 5
    press(tab, "compare")


def test_a_recording_is_made_downloaded_plays_and_is_marked(tab: Tab, tmp_path: Path) -> None:
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    press(tab, "record")
    tab.wait_for("told.settings.is_recording")
    time.sleep(1.5)
    press(tab, "record")
    tab.wait_for("told.recordings.length > 0")
    tab.wait_for("!!document.querySelector('#recordings a')")
    name = tab.evaluate("document.querySelector('#recordings a').download")
    tab.evaluate("document.querySelector('#recordings a').click()")
    path = tmp_path / name
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.1)
    with open_source(path) as back:
        assert len(list(iter(back.read, None))) > 3
    assert verify_file(path).status in ("authentic", "marked")


def test_another_precision_is_taken_while_the_stream_runs(tab: Tab) -> None:
    for precision in ("fp32", "int8"):
        choose(tab, "precision", precision)
        tab.wait_for(f"told.status.precision === '{precision}'")
        assert tab.evaluate("told.state") == "running"


def test_freezing_holds_the_picture(tab: Tab) -> None:
    press(tab, "freeze")
    tab.wait_for("told.settings.is_frozen")
    time.sleep(0.5)
    first = tab.evaluate(LEVEL)
    time.sleep(0.5)
    assert tab.evaluate(LEVEL) == pytest.approx(first, abs=0.5)
    press(tab, "freeze")
    tab.wait_for("!told.settings.is_frozen")


def test_a_wrong_token_is_refused_and_said(browser: Browser, stream: Stream) -> None:
    # Another name of the same server: cookies of the other tests do not count there.
    wrong = stream.url.replace(stream.url.split("/")[2].split(":")[0], "localhost")
    opened = browser.new_tab()
    opened.open(wrong[:-4] + "AAAA")
    opened.wait_for("document.body.textContent.includes('with its token')")
    opened.close()


def test_two_viewers_see_the_stream_while_a_third_stops_reading(stream: Stream, tab: Tab) -> None:
    host, port = stream.url.split("/")[2].split(":")
    token = stream.url.partition("?token=")[2]
    head = f"GET /live.mjpg?token={token} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
    with socket.create_connection((host, int(port))) as stalled, open_chromium() as second:
        stalled.sendall(head.encode())
        other = second.new_tab()
        other.open(stream.url)
        other.wait_for("shown.serial > 2")
        both_go_on(tab, other)
        other.close()


def both_go_on(*tabs: Tab) -> None:
    """See that the stream and its viewers go on."""
    delivered = tabs[0].evaluate("told.status.frames_out")
    before = [one.evaluate("shown.serial") for one in tabs]
    for one, serial in zip(tabs, before, strict=True):
        one.wait_for(f"shown.serial > {serial} + 30")
    tabs[0].wait_for(f"told.status.frames_out > {delivered} + 30")


@needs_webrtc
def test_a_viewer_by_webrtc_that_stops_reading_holds_nobody_up(
    stream: Stream, browser: Browser
) -> None:
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    async def stall(tab: Tab) -> None:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTransceiver("video", direction="recvonly")
        await connection.setLocalDescription()
        request = urllib.request.Request(
            f"{stream.url.partition('?')[0]}api/offer",
            json.dumps({"sdp": connection.localDescription.sdp, "is_comparing": False}).encode(),
            {
                "authorization": f"Bearer {stream.url.partition('=')[2]}",
                "content-type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            description = RTCSessionDescription(json.load(answer)["sdp"], "answer")
        await connection.setRemoteDescription(description)
        await asyncio.wait_for(connection.getReceivers()[0].track.recv(), 10)
        # From here on this viewer reads nothing: its loop stands still.
        both_go_on(tab)
        assert tab.evaluate("live.isLive")
        await connection.close()

    opened = browser.new_tab()
    opened.open(stream.url)
    opened.wait_for("told && live.isLive")
    asyncio.run(stall(opened))
    opened.close()


@needs_webrtc
def test_a_page_whose_connection_breaks_goes_on_and_comes_back(
    browser: Browser, stream: Stream
) -> None:
    opened = browser.new_tab()
    opened.open(stream.url)
    opened.wait_for(f"{WAY} === 'WebRTC'")
    opened.evaluate("live.current.connection.close()")
    opened.wait_for(f"{WAY} === 'MJPEG'")
    before = opened.evaluate("shown.serial")
    opened.wait_for(f"shown.serial > {before} + 5")
    opened.wait_for(f"{WAY} === 'WebRTC'", timeout_s=30)
    assert opened.problems == []
    opened.close()


@needs_webrtc
def test_the_video_has_the_colours_of_the_picture(browser: Browser, stream: Stream) -> None:
    opened = browser.new_tab()
    opened.open(stream.url)
    opened.wait_for("told && live.isLive")
    press(opened, "freeze")
    opened.wait_for("told.settings.is_frozen")
    time.sleep(1)
    by_video = np.array(opened.evaluate(COLOURS))
    take(opened, "MJPEG")
    by_jpeg = np.array(opened.evaluate(COLOURS))
    press(opened, "freeze")
    opened.wait_for("!told.settings.is_frozen")
    assert np.abs(by_video - by_jpeg).max() < 6, (by_video, by_jpeg)
    opened.close()


def test_without_the_extra_pictures_come_as_jpeg(
    browser: Browser, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "aiortc.py").write_text("raise ImportError('it is not installed')\n")
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    for without in run(tiny_model, tmp_path / "kept", "http://:0", environment):
        opened = browser.new_tab()
        opened.open(without.url)
        opened.wait_for("shown.serial > 10 && !live.isPossible")
        opened.wait_for(f"{WAY} === 'MJPEG'")
        before = opened.evaluate("shown.serial")
        opened.wait_for(f"shown.serial > {before} + 10")
        assert opened.problems == []
        opened.close()


@pytest.mark.parametrize(("width", "height", "is_phone"), [(1280, 800, False), (360, 740, True)])
def test_the_page_fits_the_screen(
    tab: Tab, tmp_path: Path, width: int, height: int, is_phone: bool
) -> None:
    tab.resize(width, height, is_phone=is_phone)
    time.sleep(0.5)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    record = "document.getElementById('record').getBoundingClientRect()"
    assert tab.evaluate(f"{record}.bottom < {height}")
    assert tab.evaluate(f"{record}.height") >= 44
    tab.screenshot(tmp_path / "page.png")
    seen = cv2.imread(str(tmp_path / "page.png"))
    assert seen is not None
    assert np.asarray(seen).std() > 20
