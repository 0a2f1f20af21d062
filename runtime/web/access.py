"""Who may talk to the page: the names it answers to, the token, other sites, and how often.

A pure ASGI layer around the application, so that no route can be forgotten.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_TOKEN_BYTES = 16
_SAFE_METHODS = frozenset({"GET", "HEAD"})
# Paths that other programs than browsers open by a plain address.
_TOKEN_IN_ADDRESS = frozenset({"/", "/live.mjpg"})
_KNOWN_CLIENTS = 256


def is_loopback(host: str) -> bool:
    """Say whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def make_token() -> str:
    """Return a new secret of 128 bits that fits into an address."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


class Bucket:
    """Lets `rate` calls a second through, and `burst` at once."""

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left = burst
        self._at = clock()

    def take(self) -> bool:
        """Take one; False where there is none."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True)
class Limits:
    """How often things may be done: a second, and at once.

    Attributes:
        requests: Of one client; two views of a 60 fps stream are half of it.
        changes: Of all clients; a slider that is dragged sends 25 a second.
        offers: Connections by WebRTC that all clients ask for; each costs some 20 ms.
        failures: Wrong tokens of all clients, before they are told to wait.
    """

    requests: tuple[float, float] = (300.0, 600.0)
    changes: tuple[float, float] = (30.0, 60.0)
    offers: tuple[float, float] = (2.0, 16.0)
    failures: tuple[float, float] = (1.0, 20.0)


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    Attributes:
        host: The address it listens on.
        port: And its port: cookies know none, so it is in the cookie's name.
        token: What a viewer must bring; None on loopback.
        limits: How often it may come.
    """

    host: str
    port: int
    token: str | None
    limits: Limits = Limits()

    @property
    def cookie(self) -> str:
        """Name of the cookie that carries the token."""
        return f"dayshift_{self.port}"

    def answers_to(self, name: str) -> bool:
        """Say whether a Host header names this server.

        A page of another site can point its own name at this machine (DNS rebinding), but it
        cannot make a browser send another name than its own.
        """
        host = _without_port(name)
        if host in _LOOPBACK_NAMES:
            return True
        if self.token is None:
            return False
        own = socket.gethostname().lower()
        return host in {self.host.lower(), own, f"{own}.local"} or _is_address(host)

    def accepts(self, token: str | None) -> bool:
        """Compare a token in constant time; hashed, since lengths would show otherwise."""
        if self.token is None:
            return True
        given, own = (hashlib.sha256(one.encode()).digest() for one in (token or "", self.token))
        return secrets.compare_digest(given, own)


class Guard:
    """Refuses what `Access` does not allow, before the application sees it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._requests: OrderedDict[str, Bucket] = OrderedDict()
        self._changes = Bucket(*access.limits.changes)
        self._offers = Bucket(*access.limits.offers)
        self._failures = Bucket(*access.limits.failures)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "http":
            answer = self._refuse(Request(scope))
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._access.answers_to(host):
            return _say(421, "this server does not go by that name: use its address")
        if not self._bucket_of(request).take():
            return _say(429, "too many requests: slow down")
        if _is_foreign(request, host):
            return _say(403, "requests from other sites are refused")
        refused = self._check_token(request)
        if refused is None and request.method not in _SAFE_METHODS:
            bucket = self._offers if request.url.path == "/api/offer" else self._changes
            if not bucket.take():
                return _say(429, "too many changes: slow down")
        return refused

    def _check_token(self, request: Request) -> Response | None:
        if self._access.token is None:
            return None
        path = request.url.path
        in_address = request.query_params.get("token") if path in _TOKEN_IN_ADDRESS else None
        if in_address is not None and self._access.accepts(in_address):
            return self._remember(in_address) if path == "/" else None
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._access.accepts(request.cookies.get(self._access.cookie) or bearer):
            return None
        if not self._failures.take():
            return _say(429, "too many wrong tokens: wait a moment")
        return _say(401, "open the address with its token, as dayshift printed it when it started")

    def _remember(self, token: str) -> Response:
        """Move the token from the address, which is kept and shown, into a cookie."""
        answer = RedirectResponse("/", status_code=303, headers=dict(_PRIVATE))
        # Not `secure`: there is no TLS here. Lax: a link in a mail opens the page, and no form or
        # script of another site sends it.
        answer.set_cookie(self._access.cookie, token, httponly=True, samesite="lax")
        return answer

    def _bucket_of(self, request: Request) -> Bucket:
        client = request.client.host if request.client else ""
        bucket = self._requests.pop(client, None) or Bucket(*self._access.limits.requests)
        self._requests[client] = bucket
        if len(self._requests) > _KNOWN_CLIENTS:
            self._requests.popitem(last=False)
        return bucket


def _is_foreign(request: Request, host: str) -> bool:
    """Say whether a page of another site sent a request."""
    origin = request.headers.get("origin")
    if origin is not None and not _is_at(origin, host):
        return True
    site = request.headers.get("sec-fetch-site", "none")
    is_link = request.headers.get("sec-fetch-mode") == "navigate" and request.url.path == "/"
    return site not in ("same-origin", "none") and not (is_link and request.method == "GET")


def _is_at(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # no address at all
        return False


def _without_port(name: str) -> str:
    name = name.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


_PRIVATE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


def _say(status: int, line: str) -> Response:
    return PlainTextResponse(f"{line}\n", status_code=status, headers=dict(_PRIVATE))
