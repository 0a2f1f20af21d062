"""Connections to the page: none may be held by saying little, nor all by one client."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0  # for all of a request to arrive
MOST_OF_ONE_CLIENT = 32


class Connection(H11Protocol):
    """Uvicorn's, cut where a request takes long to arrive or the client has too many of them."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Let the client in, unless it is in too often."""
        super().connection_made(transport)
        if self._of_this_client() > MOST_OF_ONE_CLIENT:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the client."""
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Give what is missing of a request its time, from its first byte on."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_watching()
        elif self._patience is None:
            self._patience = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _of_this_client(self) -> int:
        host = self.client[0] if self.client else None
        others = (getattr(one, "client", None) for one in self.connections)
        return sum(one is not None and one[0] == host for one in others)
