"""Clients of the page that say little, or are many."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from dayshift.runtime.frame import Frame
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.web import app, connections
from dayshift.runtime.web.access import Limits
from dayshift.runtime.web.desk import Desk
from dayshift.runtime.web.server import PageServer

GREETING = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    monkeypatch.setattr(connections, "REQUEST_S", 0.5)
    server = PageServer(Desk(Control()), port=0)
    yield server
    server.close()


def connect(page: PageServer) -> socket.socket:
    port = int(page.name.rstrip("/").rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.settimeout(10)
    return connection


def is_cut(connection: socket.socket) -> bool:
    """Wait for the other end to hang up."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: local",
        b"POST /api/control HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{",
        GREETING + b"\r\n" + b"GET / HTTP/1.1\r\n",  # the second request is the slow one
    ],
    ids=["nothing", "half a head", "half a body", "half of a second request"],
)
def test_a_client_that_does_not_come_to_an_end_is_cut(page: PageServer, said: bytes) -> None:
    with connect(page) as connection:
        connection.sendall(said)
        assert is_cut(connection)


def test_a_byte_now_and_then_gains_no_time(page: PageServer) -> None:
    with connect(page) as connection:
        connection.settimeout(0.1)
        for byte in GREETING * 10:  # 40 s of it
            try:
                connection.sendall(bytes([byte]))
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        pytest.fail("it was served for as long as it liked")


def test_a_client_that_watches_is_not_cut(page: PageServer) -> None:
    with connect(page) as connection:
        connection.settimeout(1.5)
        connection.sendall(b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert not is_cut(connection)


def test_one_client_does_not_take_all_connections(page: PageServer) -> None:
    held = [connect(page) for _ in range(connections.MOST_OF_ONE_CLIENT + 8)]
    try:
        for connection in held:
            connection.sendall(GREETING)  # begun, so that it is held
        answered = 0
        for connection in held:
            try:
                connection.sendall(b"\r\n")
                answered += connection.recv(12) == b"HTTP/1.1 200"
            except ConnectionError:
                continue
        assert answered <= connections.MOST_OF_ONE_CLIENT
        assert answered > 0
    finally:
        for connection in held:
            connection.close()


def ask(page: PageServer, path: str, client: str = "127.0.0.1") -> int:
    """Ask as the client of an address of this machine; return the status."""
    port = int(page.name.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=10, source_address=(client, 0)
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_one_client_that_asks_too_often_is_slowed_down() -> None:
    page = PageServer(Desk(Control()), port=0, limits=Limits(requests=(0.01, 5.0)))
    try:
        assert [ask(page, "/api/status") for _ in range(7)] == [200] * 5 + [429] * 2
        assert ask(page, "/api/status", client="127.0.0.2") == 200
    finally:
        page.close()


def watch(page: PageServer) -> tuple[socket.socket, bytes]:
    """Begin an endless stream; return its first words."""
    connection = connect(page)
    connection.sendall(b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return connection, connection.recv(12)


def test_endless_streams_are_few(page: PageServer) -> None:
    held = [watch(page) for _ in range(9)]
    for connection, _ in held:
        connection.close()
    assert [first for _, first in held] == [b"HTTP/1.1 200"] * 8 + [b"HTTP/1.1 503"]


def test_a_viewer_that_reads_nothing_is_cut(
    page: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_STALLED_S", 0.3)
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    connection, first = watch(page)
    assert first == b"HTTP/1.1 200"
    with connection:
        for index in range(40):  # more than all buffers between hold
            page.board.publish(noise, Frame(noise, index, 0.0, 0.0, None))
            time.sleep(0.05)
        received = 0
        while chunk := connection.recv(1 << 20):
            received += len(chunk)
        assert received < 20 << 20
