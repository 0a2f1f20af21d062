"""Where a model server is and how it is spoken to: `kserve+grpc://HOST:PORT/MODEL?timeout_ms=500`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from dayshift.runtime.errors import UsageError
from dayshift.runtime.uri import Uri, check_options, parse_number, parse_uri

_PLAIN, _SECURE = "kserve+grpc", "kserve+grpcs"
EXPECTED = f"{_PLAIN}://HOST:PORT/MODEL"

Sharing = Literal["auto", "on", "off"]
Fallback = Literal["auto", "none"]

_OPTIONS = (
    "version",
    "timeout_ms",
    "connect_ms",
    "open_ms",
    "retry_s",
    "give_up_s",
    "shared_memory",
    "fallback",
)
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOUR_MS, _DAY_S = 3.6e6, 86400.0


@dataclass(frozen=True)
class ServerAddress:
    """A model on a server, and the limits of talking to it.

    Attributes:
        text: As it was typed, for messages; credentials hidden.
        host: "HOST:PORT".
        model: Its name on the server.
        version: Of the model; empty takes the server's choice.
        is_secure: TLS, with the certificates that this system trusts.
        timeout_ms: A frame that has no answer after so long has failed.
        connect_ms: So long may the server take to say what it serves.
        open_ms: So long may the first frame of a size take, for which the server compiles.
        retry_s: While a stream runs without the server, it is looked for so often.
        give_up_s: A stream that has nothing else waits so long for the server.
        shared_memory: "on", "off", or "auto": on where the server is on this host and can.
        fallback: What a stream runs on while the server is away: "auto", the best engine of this
            machine, or "none".
    """

    text: str
    host: str
    model: str
    version: str
    is_secure: bool
    timeout_ms: float
    connect_ms: float
    open_ms: float
    retry_s: float
    give_up_s: float
    shared_memory: Sharing
    fallback: Fallback

    @property
    def may_share_memory(self) -> bool:
        """Whether to try to hand frames over in memory of this host."""
        is_here = self.host.rpartition(":")[0] in _LOOPBACK
        return self.shared_memory == "on" or (self.shared_memory == "auto" and is_here)


def is_server(backend: str) -> bool:
    """Say whether a backend's name is the address of a server."""
    return backend.partition(":")[0].lower() in (_PLAIN, _SECURE)


def parse_server(text: str) -> ServerAddress:
    """Read the address of a model on a server.

    Raises:
        UsageError: A part is missing, or an option unknown or out of range.
    """
    uri = parse_uri(text)
    check_options(uri, _OPTIONS)
    host, _, model = uri.rest.partition("/")
    name, _, port = host.rpartition(":")
    if not name or not port.isdigit() or not 0 < int(port) < 65536 or not model or "/" in model:
        raise UsageError(f"cannot read the server {uri.text!r}: expected {EXPECTED}")
    return ServerAddress(
        text=uri.text,
        host=host,
        model=model,
        version=uri.options.get("version", ""),
        is_secure=uri.scheme == _SECURE,
        timeout_ms=parse_number("timeout_ms", uri, default=1000, low=1, high=_HOUR_MS),
        connect_ms=parse_number("connect_ms", uri, default=2000, low=1, high=_HOUR_MS),
        open_ms=parse_number("open_ms", uri, default=30_000, low=1, high=_HOUR_MS),
        retry_s=parse_number("retry_s", uri, default=2, low=0.1, high=_DAY_S),
        give_up_s=parse_number("give_up_s", uri, default=60, low=0, high=_DAY_S),
        shared_memory=cast("Sharing", _word("shared_memory", uri, get_args(Sharing))),
        fallback=cast("Fallback", _word("fallback", uri, get_args(Fallback))),
    )


def _word(name: str, uri: Uri, words: tuple[str, ...]) -> str:
    """Read an option that is one of a few words, the first by default."""
    word = uri.options.get(name, words[0])
    if word not in words:
        raise UsageError(f"{uri.text!r} has {name}={word!r}: expected {' or '.join(words)}")
    return word
