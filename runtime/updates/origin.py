"""Where an update comes from: a folder, or an address under which a web server has one."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit

from dayshift.runtime.errors import UpdateError, UsageError
from dayshift.runtime.plain_files import read_plain
from dayshift.runtime.uri import redact

_TIMEOUT_S = 30.0


class Origin:
    """Reads files of bounded size from a folder or over HTTP; whether to trust them others say.

    Raises:
        UsageError: The address is none that can be read, or holds a password.
    """

    def __init__(self, place: str) -> None:
        parts = urlsplit(place)
        self._is_web = parts.scheme in ("http", "https")
        self._place = place
        if parts.scheme and not self._is_web and "://" in place:
            raise UsageError(f"got {redact(place)!r}: expected a folder, http:// or https://")
        if self._is_web and ("@" in parts.netloc or parts.query):
            raise UsageError(
                f"got {redact(place)!r} with a password or a query: a signed update needs to be "
                "hidden from nobody; else fetch the folder yourself and name that"
            )

    def read(self, name: str, most: int) -> bytes:
        """Return a file of at most `most` bytes.

        Raises:
            UpdateError: It cannot be had, or is larger.
        """
        if not self._is_web:
            path = Path(self._place) / name
            try:
                return read_plain(path, most)
            except OSError as error:
                raise UpdateError(
                    f"cannot read {path} ({error.strerror}): expected a folder that dayshift sign "
                    "has signed"
                ) from error
        url = f"{self._place.rstrip('/')}/{quote(name)}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
                content = bytes(answer.read(most + 1))
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise UpdateError(
                f"cannot fetch {url} ({reason}): check the address and the network"
            ) from error
        if len(content) > most:
            raise UpdateError(f"{url} has more than {most} bytes, expected no more")
        return content
