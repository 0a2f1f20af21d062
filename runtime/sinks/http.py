"""The browser view as a sink: `http://[HOST]:PORT`."""

from __future__ import annotations

import re

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import UsageError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.uri import Uri, check_options
from dayshift.runtime.web.desk import Desk

try:
    from dayshift.runtime.web.server import PageServer
except ImportError as error:
    raise missing_dependency("starlette", error) from error

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]*)(?::(?P<port>\d{1,5}))?/?")


class HttpSink(Sink):
    """A page with the live picture; writing costs one copy, and nothing while nobody looks.

    Attributes:
        name: The address, for messages.
        url: What to open; a secret where it has a token.

    Raises:
        SinkError: The address cannot be had.
    """

    def __init__(self, desk: Desk, *, host: str | None = None, port: int | None = None) -> None:
        self._server = PageServer(desk, host=host, port=port)
        self.name = self._server.name
        self.url = self._server.url

    def write(self, image: Pixels, frame: Frame) -> None:
        """Let viewers see an image."""
        self._server.board.publish(image, frame)

    def close(self) -> None:
        """Let the viewers go."""
        self._server.close()

    def abort(self) -> None:
        """Let the viewers go."""
        self._server.close()


def open_http(uri: Uri, desk: Desk | None = None) -> HttpSink:
    """Open the sink of an `http://` URI; without a desk it shows and turns nothing.

    Raises:
        UsageError: It names no address.
    """
    check_options(uri, ())
    match = _ADDRESS.fullmatch(uri.rest)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and port > 65535):
        raise UsageError(
            f"{uri.text!r} is no address to listen on: expected http://HOST:PORT, "
            "such as http://:8080 or http://0.0.0.0:8080"
        )
    return HttpSink(desk or Desk(Control()), host=match["host"].strip("[]") or None, port=port)
