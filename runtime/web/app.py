"""The routes of the page: pictures, the status, controls, recordings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dayshift.runtime.errors import UsageError
from dayshift.runtime.web.access import Access, Guard
from dayshift.runtime.web.board import Board, View
from dayshift.runtime.web.changes import read_changes
from dayshift.runtime.web.desk import Desk
from dayshift.runtime.web.exchange import HEADERS, problem, read_body, refusing
from dayshift.runtime.web.offers import Offers

_PAGE = Path(__file__).parent / "page"
_PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/webrtc.js": ("webrtc.js", "text/javascript; charset=utf-8"),
    "/chart.js": ("chart.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_LARGEST_BODY_BYTES = 4096
_WAIT_S = 10.0  # for a picture, before the page asks again
_STALLED_S = 30.0  # a stream whose reader takes nothing for so long is ended
_MOST_STREAMS = 8
_BOUNDARY = b"--dayshift"


def build_app(board: Board, desk: Desk, access: Access, offers: Offers) -> Starlette:
    """Return the application; its files are read now."""
    routes = _Routes(board, desk)
    pages = {
        path: ((_PAGE / name).read_bytes(), media) for path, (name, media) in _PAGE_FILES.items()
    }

    async def page(request: Request) -> Response:
        content, media = pages[request.url.path]
        return Response(content, media_type=media, headers=HEADERS)

    return Starlette(
        routes=[
            *(Route(path, page) for path in pages),
            Route("/frame", routes.frame),
            Route("/live.mjpg", routes.live),
            Route("/api/status", routes.status),
            Route("/api/control", refusing(routes.control), methods=["POST"]),
            Route("/api/offer", refusing(offers.answer), methods=["POST"]),
            Route("/api/snapshot", routes.snapshot, methods=["POST"]),
            Route("/recordings/{number:int}", routes.recording),
        ],
        middleware=[Middleware(Guard, access=access)],
    )


class _Routes:
    def __init__(self, board: Board, desk: Desk) -> None:
        self._board = board
        self._desk = desk
        self._streams = 0

    async def frame(self, request: Request) -> Response:
        """Answer with the next picture: the image, and with `source` both, one after the other."""
        seen = _whole_number(request.query_params.get("after"))
        if seen is None:
            return problem("expected after=NUMBER")
        picture = await self._board.after(seen, _WAIT_S)
        if picture is None:
            return Response(status_code=204, headers=HEADERS)
        image = await run_in_threadpool(picture.jpeg, "image")
        parts = [image]
        if request.query_params.get("source") == "1":
            parts.append(await run_in_threadpool(picture.jpeg, "source"))
        headers = {
            **HEADERS,
            "x-frame": str(picture.serial),
            "x-image-bytes": str(len(image)),
            "x-age-ms": f"{(time.perf_counter() - picture.captured_at) * 1e3:.1f}",
        }
        return Response(b"".join(parts), media_type="image/jpeg", headers=headers)

    async def live(self, request: Request) -> Any:
        """Answer with motion JPEG, for players and for browsers without scripts."""
        if self._streams >= _MOST_STREAMS:
            return PlainTextResponse("too many viewers\n", status_code=503, headers=HEADERS)
        view: View = "source" if request.query_params.get("source") == "1" else "image"
        return _MotionJpeg(self._pictures(view))

    def _pictures(self, view: View) -> Callable[[Callable[[bytes], Awaitable[None]]], Any]:
        async def deliver(send: Callable[[bytes], Awaitable[None]]) -> None:
            self._streams += 1
            try:
                seen = 0
                while not self._board.is_closed:
                    picture = await self._board.after(seen, _WAIT_S)
                    if picture is not None:
                        seen = picture.serial
                        await send(_part(await run_in_threadpool(picture.jpeg, view)))
            finally:
                self._streams -= 1

        return deliver

    async def status(self, _: Request) -> Response:
        """Answer with all the page shows besides the picture."""
        desk = self._desk
        settings, status = desk.control.settings, desk.control.status
        effect, recorder = desk.control.effect, desk.recorder
        told = {
            # By this clock the strip below each picture of the video tells its time of capture.
            "now_ms": round(time.perf_counter() * 1e3, 1),
            "state": desk.control.events.state.value,
            "status": None if status is None else status.to_json(),
            "events": [event.to_json() for event in desk.control.events.recent[-8:]],
            "settings": {
                "strength": effect.strength,
                "lamps": effect.lamps,
                "is_frozen": settings.is_frozen,
                "is_recording": settings.is_recording,
                "model": next(
                    (name for name, value in desk.models.items() if value == settings.model),
                    status.model if status else None,
                ),
                "precision": settings.precision or (status.precision if status else None),
            },
            "models": list(desk.models),
            "precisions": desk.precisions,
            "domains": desk.domains,
            "can_record": recorder is not None,
            "recordings": [] if recorder is None else recorder.describe(),
        }
        return JSONResponse(told, headers=HEADERS)

    async def control(self, request: Request) -> Response:
        """Turn what the body names.

        Raises:
            UsageError: It may not be turned.
        """
        body = await read_body(request, _LARGEST_BODY_BYTES)
        changes = read_changes(body, models=self._desk.models, precisions=self._desk.precisions)
        if changes.get("is_recording") and self._desk.recorder is None:
            raise UsageError("this stream has no recorder")
        if "lamps" in changes and self._desk.control.effect.lamps is None:
            raise UsageError("the model in use has no lamps to turn")
        # Not in the loop: whoever listens to the control may take its time.
        await run_in_threadpool(lambda: self._desk.control.change(**changes))
        return JSONResponse({"changed": sorted(changes)}, headers=HEADERS)

    async def snapshot(self, _: Request) -> Response:
        """Keep the next image."""
        if self._desk.recorder is None:
            return problem("this stream has no recorder")
        await run_in_threadpool(self._desk.control.request_snapshot)
        return JSONResponse({}, headers=HEADERS)

    async def recording(self, request: Request) -> Response:
        """Answer with a finished recording or snapshot, by its number in the list."""
        recorder = self._desk.recorder
        path = None if recorder is None else recorder.find(request.path_params["number"])
        if path is None or not path.is_file():
            return PlainTextResponse("no such recording\n", status_code=404, headers=HEADERS)
        return FileResponse(path, filename=path.name, headers=HEADERS)


class _MotionJpeg:
    """A response without end.

    Each part is sent with the boundary behind it: a browser shows a part when it sees its end.
    """

    def __init__(
        self, deliver: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]
    ) -> None:
        self._deliver = deliver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send pictures until the viewer leaves, stalls, or the stream ends."""
        media = b"multipart/x-mixed-replace; boundary=dayshift"
        headers = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*headers, (b"content-type", media)],
            }
        )

        async def write(body: bytes) -> None:
            message = {"type": "http.response.body", "body": body, "more_body": True}
            await asyncio.wait_for(send(message), _STALLED_S)

        async def leave() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def work() -> None:
            await write(_BOUNDARY + b"\r\n")
            await self._deliver(write)

        tasks = [asyncio.ensure_future(work()), asyncio.ensure_future(leave())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done and tasks[0].exception() is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _part(jpeg: bytes) -> bytes:
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
    return head + jpeg + b"\r\n" + _BOUNDARY + b"\r\n"


def _whole_number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return int(text)
