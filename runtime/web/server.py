"""The page's server: uvicorn on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading

import uvicorn

from dayshift.runtime.errors import SinkError
from dayshift.runtime.web.access import Access, Limits, is_loopback, make_token
from dayshift.runtime.web.app import build_app
from dayshift.runtime.web.board import Board
from dayshift.runtime.web.connections import Connection
from dayshift.runtime.web.desk import Desk
from dayshift.runtime.web.offers import Offers

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
# Looked through where no port was asked for.
_OTHER_PORTS = 20
# What the kernel keeps for a viewer that reads slowly: two or three pictures, not seconds of them.
_SEND_BUFFER_BYTES = 256 * 1024
_MOST_CONNECTIONS = 64
_LARGEST_HEAD_BYTES = 16 * 1024
_STOP_S = 1.5

_log = logging.getLogger(__name__)


class PageServer:
    """Serves the page from construction until `close`.

    Args:
        desk: What the page shows and turns.
        host: Address to listen on; None takes loopback.
        port: None takes the first free one from 8080 on.
        limits: How often viewers may come.

    Attributes:
        board: Where the pipeline hangs its pictures.
        url: What to open, with the token where there is one: a secret.

    Raises:
        SinkError: The address cannot be had.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        host: str | None = None,
        port: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.board = Board()
        address = host or DEFAULT_HOST
        self._socket = _listen(address, port)
        bound_port = int(self._socket.getsockname()[1])
        token = None if is_loopback(address) else make_token()
        access = Access(address, bound_port, token, limits or Limits())
        shown = _reachable(address)
        self.name = f"http://{shown}:{bound_port}/"
        self.url = self.name if token is None else f"{self.name}?token={token}"
        self._offers = Offers(self.board)
        self._server = uvicorn.Server(
            uvicorn.Config(
                build_app(self.board, desk, access, self._offers),
                lifespan="off",
                ws="none",
                http=Connection,
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                h11_max_incomplete_event_size=_LARGEST_HEAD_BYTES,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._run, name="dayshift-page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the viewers go and free the address; safe to call twice."""
        self.board.close()
        self._server.should_exit = True
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(_STOP_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:  # the page may fail, the stream goes on
            _log.exception("the browser view at %s failed", self.name)

    async def _serve(self) -> None:
        self.board.open()
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            await self._offers.close()


def _listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket, so that a busy port is reported before the stream starts."""
    ports = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + _OTHER_PORTS)
    problem: OSError | None = None
    for candidate in ports:
        try:
            found = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[0]
            listening = socket.socket(family, kind, protocol)
        except OSError as error:
            raise SinkError(
                f"cannot listen on {host} ({error.strerror}): name an address"
            ) from error
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            listening.bind(address)
            listening.listen(_MOST_CONNECTIONS)
        except OSError as error:
            listening.close()
            problem = error
        else:
            listening.setblocking(False)
            return listening
    assert problem is not None
    raise SinkError(
        f"cannot listen on {host}:{ports[0]} ({problem.strerror}): name another, as in http://:8090"
    ) from problem


def _reachable(host: str) -> str:
    """Return an address that others can open: of a wildcard, this machine's own."""
    if host in ("0.0.0.0", "::"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # Sends nothing: it asks which interface would be taken to leave this network.
                probe.connect(("192.0.2.1", 9))
                return str(probe.getsockname()[0])
            except OSError:
                return socket.gethostname()
    return f"[{host}]" if ":" in host else host
