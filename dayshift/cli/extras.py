"""Verbs whose libraries are optional."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dayshift.runtime.errors import MissingDependency


@contextlib.contextmanager
def needs(libraries: str, *, extra: str) -> Iterator[None]:
    """Turn a failed import inside the block into an error that names the extra to install."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith("dayshift"):
            raise
        raise MissingDependency(
            f"this needs {libraries} ({error}): pip install 'dayshift[{extra}]'"
        ) from error
