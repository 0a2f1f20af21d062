"""The page's server over real sockets; what a browser does with it is in `test_page.py`."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.effect import Effect
from dayshift.runtime.errors import SinkError, UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sinks.http import HttpSink
from dayshift.runtime.sinks.recorder import RecorderSink
from dayshift.runtime.sources import open_source
from dayshift.runtime.streaming.control import Control, Settings
from dayshift.runtime.web import server
from dayshift.runtime.web.access import Access, Bucket, Limits
from dayshift.runtime.web.changes import read_changes
from dayshift.runtime.web.desk import Desk

Pixels = npt.NDArray[np.uint8]


def picture(level: int = 128) -> Pixels:
    return np.full((48, 64, 3), level, np.uint8)


def frame(index: int = 0, level: int = 10) -> Frame:
    return Frame(picture(level), index, time.perf_counter(), index / 30, None)


def level_of(jpeg: bytes) -> float:
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return float(decoded.mean())


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A page with a recorder, on a port of its own."""

    def __init__(self, folder: Path, host: str | None = None) -> None:
        self.control = Control()
        self.recorder = RecorderSink(folder / "kept", self.control)
        desk = Desk(
            self.control,
            self.recorder,
            models={"day2night": "day2night", "other": "/models/other"},
            precisions=("auto", "int8"),
            domains=("day", "night"),
        )
        self.sink = HttpSink(desk, host=host, port=0)
        self.port = int(self.sink.name.rstrip("/").rpartition(":")[2])
        self.token = self.sink.url.partition("?token=")[2]

    def show(self, level: int = 128, index: int = 0) -> None:
        for sink in (self.recorder, self.sink):
            sink.write(picture(level), frame(index))

    def ask(self, path: str, method: str = "GET", body: object = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if method == "POST":
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, content if method == "POST" else None, sent)
            answer = connection.getresponse()
            return Answer(
                answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def close(self) -> None:
        self.sink.close()
        self.recorder.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    page = Served(tmp_path)
    yield page
    page.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    """A page that other machines can reach, so that it asks for its token."""
    page = Served(tmp_path, host="0.0.0.0")
    yield page
    page.close()


def test_the_page_and_its_parts_come_from_here_alone(served: Served) -> None:
    page = served.ask("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"https://" not in page.body
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    # Neither framed nor used by pages of other sites.
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cross-origin-resource-policy"] == "same-origin"
    for path in ("/page.css", "/page.js", "/chart.js", "/icon.svg"):
        assert served.ask(path).status == 200


def test_the_newest_picture_is_given_and_the_next_is_waited_for(served: Served) -> None:
    served.show(40)
    first = served.ask("/frame?after=0")
    assert first.status == 200
    threading.Timer(0.2, served.show, [200]).start()
    second = served.ask(f"/frame?after={first.headers['x-frame']}")
    assert [level_of(one.body) for one in (first, second)] == pytest.approx([40, 200], abs=2)
    assert float(second.headers["x-age-ms"]) < 5000


def test_both_pictures_are_given_to_who_compares(served: Served) -> None:
    served.show(200)
    both = served.ask("/frame?after=0&source=1")
    length = int(both.headers["x-image-bytes"])
    assert (level_of(both.body[:length]), level_of(both.body[length:])) == pytest.approx(
        (200, 10), abs=2
    )


@pytest.mark.parametrize("query", ["", "?after=", "?after=-1", "?after=x", "?after=" + "9" * 30])
def test_a_malformed_question_for_a_picture_is_refused(served: Served, query: str) -> None:
    assert served.ask(f"/frame{query}").status == 400


def test_motion_jpeg_shows_each_picture_at_once(served: Served) -> None:
    served.show(50)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", "/live.mjpg")
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=dayshift"
    got = b""
    # The part is followed by its boundary without a second picture.
    while got.count(b"--dayshift\r\n") < 2:
        got += answer.read1(65536)
    start, end = got.index(b"\xff\xd8"), got.rindex(b"\xff\xd9")
    assert level_of(got[start : end + 2]) == pytest.approx(50, abs=2)
    connection.close()


def test_a_stream_ends_when_the_sink_is_closed(served: Served) -> None:
    served.show()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", "/live.mjpg")
    answer = connection.getresponse()
    served.sink.close()
    answer.read()  # would time out
    connection.close()


def test_a_viewer_that_stops_reading_does_not_hold_up_the_others(served: Served) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    stalled = socket.create_connection(("127.0.0.1", served.port))
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.sendall(b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    served.sink.write(noise, frame())
    took = []
    seen = "0"
    for index in range(15):
        started_at = time.perf_counter()
        served.sink.write(np.roll(noise, index, axis=1), frame(index))
        took.append(time.perf_counter() - started_at)
        seen = served.ask(f"/frame?after={seen}").headers["x-frame"]
    # The writer never waits for a socket: were it to, it would wait for good.
    assert max(took) < 5
    stalled.close()


def test_nobody_looking_costs_no_copy(served: Served) -> None:
    for index in range(50):
        served.show(index, index)
    served.show(255, 50)
    assert int(served.ask("/frame?after=0").headers["x-frame"]) <= 2


# Controls


def test_what_the_page_turns_arrives_at_the_control(served: Served) -> None:
    changes = {"strength": 0.25, "is_frozen": True, "model": "other", "precision": "int8"}
    assert served.ask("/api/control", "POST", changes).status == 200
    settings = served.control.settings
    assert (settings.strength, settings.is_frozen, settings.precision) == (0.25, True, "int8")
    assert settings.model == "/models/other"
    told = served.ask("/api/status")
    assert (told.json["settings"]["strength"], told.json["settings"]["model"]) == (0.25, "other")
    assert b"/models" not in told.body


def test_lamps_are_told_and_turned_where_the_model_in_use_has_them(served: Served) -> None:
    def lamps() -> object:
        return served.ask("/api/status").json["settings"]["lamps"]

    assert lamps() is None
    refused = served.ask("/api/control", "POST", {"lamps": 0.5})
    assert (refused.status, refused.json["error"]) == (400, "the model in use has no lamps to turn")
    assert served.control.settings == Settings()
    served.control.tell_model(Effect(1.0, 0.8))
    assert lamps() == 0.8
    assert served.ask("/api/control", "POST", {"lamps": 0.25}).status == 200
    assert served.control.settings == Settings(lamps=0.25)
    assert lamps() == 0.25
    served.control.tell_model(Effect(1.0))
    assert lamps() is None


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ([], "expected a JSON object"),
        ({}, "expected a JSON object"),
        ({"strength": 2}, "from 0 to 1 for strength"),
        ({"strength": True}, "from 0 to 1 for strength"),
        ({"strength": float("nan")}, "from 0 to 1 for strength"),
        ({"lamps": -1}, "from 0 to 1 for lamps"),
        ({"is_frozen": 1}, "true or false for is_frozen"),
        ({"model": "../../etc"}, "expected one of day2night, other for model"),
        ({"precision": "fp8"}, "expected one of auto, int8 for precision"),
        ({"is_stopping": True}, "nothing of that name"),
        (b"{", "expected a JSON object"),
        (b"[" * 4000, "expected a JSON object"),
        (b" " * 5000, "at most 4096 bytes"),
    ],
)
def test_what_may_not_be_changed_is_refused_in_a_line(
    served: Served, body: object, line: str
) -> None:
    before = served.control.settings
    answer = served.ask("/api/control", "POST", body)
    assert answer.status == 400
    assert line in answer.json["error"]
    assert served.control.settings == before


def test_a_recording_is_made_and_downloaded_by_its_number(served: Served, tmp_path: Path) -> None:
    served.ask("/api/control", "POST", {"is_recording": True})
    for index in range(30):
        served.show(index * 8, index)
    served.ask("/api/snapshot", "POST")
    served.ask("/api/control", "POST", {"is_recording": False})
    served.show(0, 30)
    listed = wait_for(lambda: len(served.recorder.describe()) == 2 and served.recorder.describe())
    kinds = {one["kind"]: one for one in listed}
    answer = served.ask(f"/recordings/{kinds['recording']['number']}")
    assert f'filename="{kinds["recording"]["name"]}"' in answer.headers["content-disposition"]
    (tmp_path / "back.mp4").write_bytes(answer.body)
    with open_source(tmp_path / "back.mp4") as back:
        assert len(list(iter(back.read, None))) == 30
    assert str(tmp_path) not in json.dumps(served.ask("/api/status").json)


def wait_for(check: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := check():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come about")


@pytest.mark.parametrize("path", ["0", "2", "-1", "x", "..%2f..%2fetc%2fpasswd", "1/../../x"])
def test_no_path_of_a_client_reaches_the_disk(served: Served, path: str) -> None:
    assert served.ask(f"/recordings/{path}").status == 404


def test_a_folder_that_cannot_be_written_ends_the_recording_only(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    page = Served(tmp_path)
    page.control.change(is_recording=True)
    page.show()
    wait_for(lambda: not page.control.settings.is_recording)
    assert "a file has that name" in page.control.events.recent[-1].message
    page.show()
    assert page.ask("/frame?after=0").status == 200
    page.close()


# Who may talk to it


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:{port}", "[::1]:9", "LOCALHOST:8080"])
def test_names_of_this_machine_are_answered_to(served: Served, host: str) -> None:
    assert served.ask("/", host=host.format(port=served.port)).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""])
def test_a_name_that_was_pointed_at_this_machine_is_not(served: Served, host: str) -> None:
    for path in ("/", "/frame?after=0", "/live.mjpg", "/api/status"):
        assert served.ask(path, host=host).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:1"},
        {"origin": "null"},
        {"origin": "http://[l"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(served: Served, headers: dict[str, str]) -> None:
    answer = served.ask("/api/control", "POST", {"strength": 0.1}, **headers)
    assert answer.status == 403
    assert served.control.settings.strength is None
    assert served.ask("/live.mjpg", **headers).status == 403


def test_forms_change_nothing(served: Served) -> None:
    answer = served.ask("/api/control", "POST", b'{"strength": 0}', content_type="text/plain")
    assert answer.status == 400


def test_the_page_itself_is_not_refused(served: Served) -> None:
    own = f"http://127.0.0.1:{served.port}"
    answer = served.ask(
        "/api/control", "POST", {"strength": 0.1}, origin=own, sec_fetch_site="same-origin"
    )
    assert answer.status == 200


def test_loopback_asks_for_no_token_and_is_the_default(served: Served) -> None:
    assert served.token == ""
    assert served.sink.name.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("path", ["/", "/frame?after=0", "/live.mjpg", "/api/status", "/page.js"])
def test_other_addresses_ask_for_the_token_everywhere(guarded: Served, path: str) -> None:
    assert len(guarded.token) >= 22
    guarded.show()
    assert guarded.ask(path).status == 401
    wrong = guarded.token[:-1] + ("A" if guarded.token[-1] != "A" else "B")
    assert guarded.ask(path, authorization=f"Bearer {wrong}").status == 401
    assert guarded.ask(path, cookie=f"dayshift_{guarded.port}={wrong}").status == 401
    assert guarded.ask(f"/?token={wrong}").status == 401
    assert guarded.ask(f"/?token={guarded.token}%C3%A9").status == 401


def test_the_token_moves_from_the_address_to_a_cookie(guarded: Served) -> None:
    answer = guarded.ask(f"/?token={guarded.token}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert guarded.ask("/api/status", cookie=cookie.partition(";")[0]).status == 200
    assert guarded.ask("/api/status", authorization=f"Bearer {guarded.token}").status == 200
    # In other addresses it would be kept in logs and histories for nothing.
    assert guarded.ask(f"/api/status?token={guarded.token}").status == 401


def test_wrong_tokens_are_slowed_down_and_the_right_one_is_not(guarded: Served) -> None:
    answers = [guarded.ask("/api/status", authorization="Bearer x").status for _ in range(30)]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert guarded.ask("/api/status", authorization=f"Bearer {guarded.token}").status == 200


def test_the_log_does_not_tell_the_token(guarded: Served, caplog: pytest.LogCaptureFixture) -> None:
    guarded.ask(f"/?token={guarded.token}")
    assert guarded.token not in caplog.text
    assert guarded.token not in guarded.sink.name


def test_changes_are_limited_in_their_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "Limits", lambda: Limits(changes=(0.001, 5.0)))
    page = Served(tmp_path)
    statuses = [page.ask("/api/snapshot", "POST").status for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert page.ask("/api/status").status == 200
    page.close()


def test_a_bucket_fills_again() -> None:
    now = 0.0
    bucket = Bucket(2.0, 3.0, lambda: now)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now = 1.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_an_open_page_answers_to_addresses_and_not_to_names() -> None:
    access = Access("0.0.0.0", 8080, "secret")
    assert access.answers_to("192.168.1.5:8080")
    assert access.answers_to(f"{socket.gethostname()}.local:8080")
    assert not access.answers_to("evil.example:8080")


def test_choices_are_only_those_that_were_offered() -> None:
    with pytest.raises(UsageError, match="expected one of nothing for model"):
        read_changes({"model": "day2night"}, models={}, precisions=())


# The sink


def test_a_busy_port_is_named(served: Served) -> None:
    with pytest.raises(SinkError, match=f"cannot listen on 127.0.0.1:{served.port}"):
        open_sink(f"http://:{served.port}")


def test_without_a_port_the_next_free_one_is_taken() -> None:
    with open_sink("http://") as one, open_sink("http://") as other:
        assert one.name != other.name


@pytest.mark.parametrize(
    "uri", ["http://:99999", "http://a b", "http://localhost:80/x", "http://:x"]
)
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="is no address to listen on"):
        open_sink(uri)


def test_closing_twice_is_fine_and_frees_the_port(tmp_path: Path) -> None:
    page = Served(tmp_path)
    page.close()
    page.sink.close()
    open_sink(f"http://:{page.port}").close()
