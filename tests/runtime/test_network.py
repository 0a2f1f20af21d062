"""Streams over the network, from real servers on loopback, and the screen of a real X server."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources import open_source
from dayshift.runtime.sources.network import network_address
from dayshift.runtime.sources.supervised import SupervisedSource, Watch
from dayshift.runtime.streaming.backoff import Backoff
from dayshift.runtime.streaming.events import Events, State

SERVER = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"
USER, PASSWORD = "ann", "s3cr/t@x"

Dayshift = Callable[..., object]


def has_gstreamer_server() -> bool:
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    check += "; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None)"
    check += "; assert Gst.ElementFactory.find('x264enc')"
    with contextlib.suppress(OSError):
        done = subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, check=False)
        return done.returncode == 0
    return False


needs_rtsp_server = pytest.mark.skipif(
    not has_gstreamer_server(),
    reason="needs GStreamer's RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def rtsp_server(port: int, *credentials: str) -> Iterator[subprocess.Popen[str]]:
    command = [SYSTEM_PYTHON, str(SERVER), str(port), *credentials]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, stderr=subprocess.DEVNULL
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="module")
def street_url() -> Iterator[str]:
    port = free_port()
    with rtsp_server(port):
        yield f"rtsp://127.0.0.1:{port}/street"


@pytest.fixture(scope="module")
def guarded_url() -> Iterator[str]:
    port = free_port()
    with rtsp_server(port, USER, PASSWORD):
        yield f"rtsp://127.0.0.1:{port}/street"


@needs_rtsp_server
@pytest.mark.parametrize("transport", ["", "#transport=tcp", "#transport=udp"])
def test_an_rtsp_camera_is_live(street_url: str, transport: str) -> None:
    with open_source(street_url + transport) as camera:
        assert (camera.size, camera.is_live, camera.frame_count) == ((160, 96), True, None)
        frames = [camera.read() for _ in range(10)]
    times = [frame.pts_s or 0.0 for frame in frames if frame is not None]
    assert len(times) == 10
    assert times == sorted(times)


@needs_rtsp_server
@pytest.mark.parametrize("where", ["address", "address as typed", "environment"])
def test_credentials_come_from_the_address_or_the_environment(
    where: str, guarded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = guarded_url
    if where == "address":
        url = url.replace("rtsp://", f"rtsp://{USER}:s3cr%2Ft%40x@")
    elif where == "address as typed":
        url = url.replace("rtsp://", f"rtsp://{USER}:{PASSWORD}@")
    else:
        monkeypatch.setenv("DAYSHIFT_SOURCE_USER", USER)
        monkeypatch.setenv("DAYSHIFT_SOURCE_PASSWORD", PASSWORD)
    with open_source(url) as camera:
        assert camera.read() is not None
        assert "s3cr" not in camera.name


@pytest.mark.parametrize(
    ("typed", "opened"),
    [
        ("ann:s3/c@r@cam/street", "ann:s3%2Fc%40r@cam/street"),
        ("ann:s3%2Fcr/@cam/street", "ann:s3%2Fcr%2F@cam/street"),
        ("ann:s3cr@cam:554/street", "ann:s3cr@cam:554/street"),
        ("cam:554/street@1", "bob:p%2F@cam:554/street@1"),
        ("[fe80::1]:554/street@1", "bob:p%2F@[fe80::1]:554/street@1"),
        ("cam", "bob:p%2F@cam"),
    ],
)
def test_an_address_with_credentials_gets_no_others(typed: str, opened: str) -> None:
    environment = {"DAYSHIFT_SOURCE_USER": "bob", "DAYSHIFT_SOURCE_PASSWORD": "p/"}
    address = network_address("shown", f"rtsp://{typed}", environment=environment)
    assert address.url == f"rtsp://{opened}"


@needs_rtsp_server
@pytest.mark.parametrize("credentials", ["", "ann:wrong-s3cr@"])
def test_wrong_credentials_say_so_and_are_told_to_nobody(
    credentials: str, guarded_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = guarded_url.replace("rtsp://", f"rtsp://{credentials}")
    with pytest.raises(SourceError, match="user name or password is wrong, or missing") as caught:
        open_source(url)
    told = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert "DAYSHIFT_SOURCE_USER" in told
    assert "s3cr" not in told


@needs_rtsp_server
def test_a_path_that_the_camera_does_not_have_says_so(street_url: str) -> None:
    with pytest.raises(SourceError, match=r"there is no such stream: check the path"):
        open_source(street_url + "/nope")


@pytest.mark.slow
@needs_rtsp_server
def test_a_camera_that_restarts_in_the_middle_of_the_stream_is_found_again() -> None:
    port, events = free_port(), Events()
    url = f"rtsp://127.0.0.1:{port}/street"
    watch = Watch(stalled_after_s=1.0, reopen_after_s=1.0, backoff=Backoff(first_s=0.1, cap_s=0.5))
    with rtsp_server(port) as server:
        source = SupervisedSource(open_source(url), events, watch)
        first = [source.read() for _ in range(5)]
        server.kill()
        server.wait()
    restarted: list[object] = []

    def restart() -> None:
        time.sleep(1.0)
        with rtsp_server(port):
            restarted.append(port)
            finished.wait(60)

    finished = threading.Event()
    server_thread = threading.Thread(target=restart)
    server_thread.start()
    try:
        with source:
            after = [source.read() for _ in range(40)]
    finally:
        finished.set()
        server_thread.join()
    numbers = [frame.index for frame in (*first, *after) if frame is not None]
    assert len(numbers) == 45
    assert numbers == sorted(set(numbers))
    states = [event.state for event in events.recent if event.part == "source"]
    assert State.RECONNECTING in states
    assert states[-1] is State.RUNNING
    assert events.outage_count >= 1


def test_an_address_where_nothing_answers_is_one_line_without_credentials(
    capfd: pytest.CaptureFixture[str],
) -> None:
    secret = "".join(["s3", "cr"])  # tracebacks show the lines of this test, too
    url = f"rtsp://ann:{secret}@127.0.0.1:{free_port()}/street"
    with pytest.raises(SourceError, match="nothing answers there") as caught:
        open_source(url)
    told = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert "s3cr" not in told
    assert "\n" not in str(caught.value)


# HTTP


class _Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web_folder(tmp_path: Path) -> Iterator[str]:
    """Serve `tmp_path` over HTTP; yields the address."""

    handler = functools.partial(_Folder, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_video_on_a_web_server_is_a_file(
    web_folder: str, street_video: Path, tmp_path: Path
) -> None:
    shutil.copy(street_video, tmp_path / "street.mp4")
    with open_source(f"{web_folder}/street.mp4?quality=high") as video:
        assert (video.size, video.is_live) == ((160, 120), False)
        assert len(list(iter(video.read, None))) == 12
        assert video.read() is None


def test_a_missing_page_says_so(web_folder: str) -> None:
    with pytest.raises(SourceError, match=r"/nope.mp4: there is no such stream"):
        open_source(f"{web_folder}/nope.mp4")


@pytest.mark.parametrize("uri", ["rtsp://cam/1#transport=smoke", "http://cam/#speed=2"])
def test_unknown_options_of_an_address_are_usage_errors(uri: str) -> None:
    from dayshift.runtime.errors import UsageError

    with pytest.raises(UsageError, match="expected one of"):
        open_source(uri)


# The screen


@pytest.fixture
def x_display() -> Iterator[str]:
    if shutil.which("Xvfb") is None or not sys.platform.startswith("linux"):
        pytest.skip("needs an X server: apt-get install xvfb")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "320x200x24", "-nolisten", "tcp"]
    # Else the server starts anew when its last client leaves, and refuses the next one meanwhile.
    command.append("-noreset")
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as number:
            display = f":{number.readline().strip()}"
        yield display
        server.terminate()


def test_the_screen_is_a_live_source(x_display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", x_display)
    with open_source("screen://?fps=20") as screen:
        assert (screen.size, screen.is_live) == ((320, 200), True)
        frames = [screen.read() for _ in range(3)]
        assert all(frame is not None and frame.pixels.shape == (200, 320, 3) for frame in frames)
    with open_source(f"screen://{x_display}+10,20?size=64x48") as part:
        assert part.size == (64, 48)


def test_a_missing_display_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(SourceError, match=r"there is no X display .*screen://:0.0"):
        open_source("screen://")
