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
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")
_SMALLEST_PX, _LARGEST_PX = 16, 16384


@dataclass(frozen=True)
class Uri:
    """A URI in its parts; `scheme` is empty and `rest` the whole text for a plain path."""

    text: str
    scheme: str
    rest: str
    options: dict[str, str] = field(default_factory=dict)


def parse_uri(text: str) -> Uri:
    """Take a URI apart; what names an existing file, or has no scheme, is a plain path.

    Raises:
        UsageError: The text is empty or its options are not `key=value` pairs.
    """
    if not text:
        raise UsageError("got an empty name: expected a path or a URI such as synthetic://")
    match = _SCHEME.fullmatch(text)
    if match is None or (match["slashes"] is None and Path(text).exists()):
        return Uri(text, "", text)
    rest, _, query = match["rest"].partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise UsageError(f"cannot read the options of {text!r}: expected ?key=value&...") from error
    return Uri(text, match["scheme"].lower(), rest, dict(pairs))


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
