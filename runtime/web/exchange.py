"""What the page's answers have in common, and how a small JSON body is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from dayshift.runtime.errors import UsageError

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_BODY_TIMEOUT_S = 5.0

Handler = Callable[[Request], Awaitable[Response]]


def problem(line: str, *, status: int = 400) -> Response:
    """Return the answer that says in a line what is wrong."""
    return JSONResponse({"error": line}, status_code=status, headers=HEADERS)


def refusing(handler: Handler) -> Handler:
    """Return a handler that answers what the other raises over a body."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except UsageError as error:
            return problem(str(error))
        except asyncio.TimeoutError:
            return problem("the body did not arrive", status=408)
        except ClientDisconnect:
            return Response(status_code=499)

    return answer


async def read_body(request: Request, most_bytes: int) -> object:
    """Return what a small JSON body says; for handlers that are `refusing`.

    Raises:
        UsageError: It is not JSON, or too large.
        asyncio.TimeoutError: It does not arrive.
        ClientDisconnect: Its sender hung up.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise UsageError("expected the content type application/json")
    body = await asyncio.wait_for(_gather(request, most_bytes), _BODY_TIMEOUT_S)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("expected a JSON object") from error


async def _gather(request: Request, most_bytes: int) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise UsageError(f"expected at most {most_bytes} bytes")
    return body
