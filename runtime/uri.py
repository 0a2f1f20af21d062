"""The words for sources and sinks: `scheme://rest?key=value`, a plain path or a camera number."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from dayshift.runtime.errors import UsageError

# `gst:PIPELINE` has no slashes; two letters at least, so that a drive letter is no scheme.
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<slashes>//)?(?P<rest>.*)", re.DOTALL)
# What stays on this machine holds no credentials; an @ in a path is a letter like any other.
_LOCAL = "csi|display|file|frames|null|screen|segments|synthetic|v4l2|v4l2loopback"
# Up to the last @: people do type passwords with a / or @ in them.
_USERINFO = re.compile(rf"\b(?!(?:{_LOCAL})://)([a-z][a-z0-9+.-]*://)[^\s'\"<>]*@", re.IGNORECASE)
_SECRETS = re.compile(
    r"([?&;\s](?:user|username|usr|login|user-id|user-pw|pass|passwd|password|pwd|pw|auth|secret|sig"
    r"|signature|(?:[a-z]+[_-]?)?(?:token|key))=)[^&#\s'\"]+",
    re.IGNORECASE,
)
_HIDDEN = r"\1***"
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")
_SMALLEST_PX, _LARGEST_PX = 16, 16384
MOST_PIXELS = _LARGEST_PX**2  # of a picture: no decoder makes a larger one


@dataclass(frozen=True)
class Uri:
    """A URI in its parts; `scheme` is empty and `rest` the whole text for a plain path.

    Attributes:
        text: For messages: as it was typed, its credentials hidden.
        scheme: In lower case.
        rest: What follows the scheme, without the options.
        options: From the query; of an address in a network from the fragment, since the query
            belongs to the server.
        address: As it was typed, credentials included, without the options. Never to be shown.
    """

    text: str
    scheme: str
    rest: str = field(repr=False)
    options: dict[str, str] = field(default_factory=dict)
    address: str = field(default="", repr=False)


def redact(text: str) -> str:
    """Hide user names, passwords and tokens in a text that may hold URIs or pipelines."""
    return _SECRETS.sub(_HIDDEN, _USERINFO.sub(r"\1***@", text))


def parse_uri(text: str, *, opaque: Collection[str] = ()) -> Uri:
    """Take a URI apart; what names an existing file, or has no scheme, is a plain path.

    Args:
        text: As a person types it.
        opaque: Schemes whose addresses are not ours to take apart: only a fragment is cut off.

    Raises:
        UsageError: The text is empty or its options are not `key=value` pairs.
    """
    if not text:
        raise UsageError("got an empty name: expected a path or a URI such as synthetic://")
    if "\0" in text:
        raise UsageError(f"got the name {redact(text)!r} with a null byte, which no file has")
    match = _SCHEME.fullmatch(text)
    if match is None or (match["slashes"] is None and _exists(text)):
        return Uri(text, "", text)
    scheme = match["scheme"].lower()
    mark = "#" if scheme in opaque else "?"
    if scheme == "gst":
        return Uri(redact(text), scheme, match["rest"], address=text)
    rest, _, query = match["rest"].partition(mark)
    shown = redact(text)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        # The cause is left out: it quotes what may be a password.
        expected = f"expected {mark}key=value&..."
        raise UsageError(f"cannot read the options of {shown!r}: {expected}") from None
    address = f"{match['scheme']}:{match['slashes'] or ''}{rest}"
    return Uri(shown, scheme, rest, dict(pairs), address)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a name, or with a zero in it
        return False


def check_options(uri: Uri, known: Collection[str]) -> None:
    """Refuse options that a source or sink does not have.

    Raises:
        UsageError: One is not among `known`.
    """
    unknown = sorted(set(uri.options) - set(known))
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "none"
        raise UsageError(f"{uri.text!r} has the option {unknown[0]!r}: expected {expected}")


def parse_size(text: str, uri: Uri) -> tuple[int, int]:
    """Read `1280x720` as (width, height).

    Raises:
        UsageError: It is not two numbers of pixels that can be streamed.
    """
    match = _SIZE.fullmatch(text)
    size_wh = (int(match[1]), int(match[2])) if match else (0, 0)
    if not _SMALLEST_PX <= min(size_wh) <= max(size_wh) <= _LARGEST_PX:
        raise UsageError(
            f"{uri.text!r} has the size {text!r}: expected WIDTHxHEIGHT, "
            f"each from {_SMALLEST_PX} to {_LARGEST_PX}, such as 1280x720"
        )
    return size_wh


def parse_number(name: str, uri: Uri, *, default: float, low: float, high: float) -> float:
    """Read the option `name` as a number from `low` to `high`.

    Raises:
        UsageError: It is no number, or out of range.
    """
    text = uri.options.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise UsageError(
            f"{uri.text!r} has {name}={text!r}: expected a number from {low:g} to {high:g}"
        )
    return value
