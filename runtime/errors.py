"""The errors dayshift raises for what the world or the caller got wrong.

    DayshiftError           exit code 1
    ├── UsageError          exit code 2: the caller's words are wrong (unknown name, malformed size)
    ├── MissingDependency   an optional library is absent; the message names its extra
    ├── ModelError          a model folder is missing, malformed or not what its hash says
    ├── SourceError         frames cannot be had from a camera, file or folder
    ├── SinkError           frames cannot be delivered to a window, file or folder
    ├── BackendError        an engine refused a graph or failed while running it
    │   └── CacheError      the private cache of compiled engines cannot be used
    ├── UpdateError         an update of a model is not genuine, not newer, or does not work here
    └── GateError           exit code 3: a stated limit on quality or rate was not met

Every message is one line that says what was got, what was expected and what to do.
"""

from __future__ import annotations


class DayshiftError(Exception):
    """Base of all errors that dayshift raises on purpose."""

    exit_code = 1


class UsageError(DayshiftError):
    """The request itself is wrong: an unknown name, a malformed value."""

    exit_code = 2


class MissingDependency(DayshiftError):
    """An optional library that this request needs is not installed."""


class ModelError(DayshiftError):
    """A model folder is missing, malformed or corrupt."""


class SourceError(DayshiftError):
    """A source of frames cannot be opened or broke off."""


class SinkError(DayshiftError):
    """A sink for frames cannot be opened or failed to take one."""


class BackendError(DayshiftError):
    """An engine is unusable, refused a graph or failed while running it."""


class CacheError(BackendError):
    """The private cache of compiled engines cannot be read, written or trusted."""


class UpdateError(DayshiftError):
    """An update of a model cannot be had, is not genuine, or does not work here."""


class GateError(DayshiftError):
    """A stated limit on quality or rate was not met."""

    exit_code = 3
