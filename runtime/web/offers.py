"""Where the page asks for the live picture by WebRTC: one request, an offer for an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dayshift.runtime.errors import MissingDependency, UsageError
from dayshift.runtime.web.board import Board
from dayshift.runtime.web.exchange import HEADERS, problem, read_body

if TYPE_CHECKING:
    from dayshift.runtime.web.peers import Peers

_LARGEST_OFFER_BYTES = 16 * 1024  # Chromium's for one video has 6 kB


class Offers:
    """Answers offers. The library for it, an extra, is imported when the first one comes."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._peers: Peers | None = None

    async def answer(self, request: Request) -> Response:
        """Answer `{"sdp": OFFER, "is_comparing": BOOL}` with `{"sdp": ANSWER}`.

        Raises:
            UsageError: The body is something else.
        """
        offer, is_comparing = _read_offer(await read_body(request, _LARGEST_OFFER_BYTES))
        try:
            peers_class = await run_in_threadpool(_import_peers)
        except MissingDependency as error:
            return problem(str(error), status=501)
        self._peers = self._peers or peers_class(self._board)
        # The address at which this connection came in, not one that the client names.
        address = request.scope["server"][0]
        answer = await self._peers.answer(offer, "both" if is_comparing else "image", address)
        if answer is None:
            return problem("too many viewers", status=503)
        return JSONResponse({"sdp": answer}, headers=HEADERS)

    async def close(self) -> None:
        """Let all viewers go."""
        if self._peers is not None:
            await self._peers.close()


def _import_peers() -> type[Peers]:
    from dayshift.runtime.web.peers import Peers

    return Peers


def _read_offer(body: object) -> tuple[str, bool]:
    if not isinstance(body, dict) or body.keys() != {"sdp", "is_comparing"}:
        raise UsageError("expected a JSON object with sdp and is_comparing")
    offer, is_comparing = body["sdp"], body["is_comparing"]
    if not isinstance(offer, str) or not isinstance(is_comparing, bool):
        raise UsageError("expected a text for sdp, and true or false for is_comparing")
    return offer, is_comparing
