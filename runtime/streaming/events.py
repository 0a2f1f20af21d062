"""What happens to a stream: its states, the events that tell of them, and who is told.

    starting -> running <-> stalled <-> reconnecting        ended | failed

*Stalled* is a part that gives nothing although it is open; *reconnecting* one that is being opened
again. No event holds a credential: names and messages come from redacted URIs.
"""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from dayshift.runtime.streaming.listeners import Listeners

_log = logging.getLogger("dayshift.stream")

Part = Literal["stream", "source", "engine", "sink", "policy", "control"]

_KEPT_EVENTS = 200
_KEPT_OUTAGES = 1000


class State(str, enum.Enum):
    """What a stream, or a part of it, is doing."""

    STARTING = "starting"
    RUNNING = "running"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


# A stream is as well as the worst of these parts: a failed sink leaves it running.
_VITAL: tuple[Part, ...] = ("stream", "source", "engine")
_SEVERITY = (
    State.RUNNING,
    State.STARTING,
    State.STALLED,
    State.RECONNECTING,
    State.ENDED,
    State.FAILED,
)
_LEVELS = {
    State.STALLED: logging.WARNING,
    State.RECONNECTING: logging.WARNING,
    State.FAILED: logging.ERROR,
}


@dataclass(frozen=True)
class Event:
    """Something happened to a part of a stream.

    Attributes:
        part: Which part.
        name: Its name, such as that of the source or sink.
        state: What that part is doing now; it may be what it did before.
        message: One line for a person.
        at_s: Seconds since the epoch.
        attempt: How often it was tried to mend it in this outage; 0 outside of one.
        retry_in_s: Seconds until the next attempt, None where none is due.
    """

    part: Part
    name: str
    state: State
    message: str
    at_s: float = field(default_factory=time.time)
    attempt: int = 0
    retry_in_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain data."""
        return {**asdict(self), "state": self.state.value}


@dataclass(frozen=True)
class Outage:
    """A time without frames, or with an engine that did not translate.

    Attributes:
        began_at_s: Seconds since the epoch.
        seconds: How long it lasted.
        cause: The event that began it, in words.
    """

    began_at_s: float
    seconds: float
    cause: str


OnEvent = Callable[[Event], object]


class Events:
    """The events of one stream. Any thread may tell, listen and look.

    Every event is logged on `dayshift.stream`, kept among the recent ones, and given to the
    listeners in the thread that tells it. A listener must return soon; what it raises is logged.

    Attributes:
        outage_count: How often the stream was stalled or reconnecting so far.
    """

    def __init__(self, *listeners: OnEvent) -> None:
        # Reentrant: a signal handler may tell an event while its own thread is at it.
        self._lock = threading.RLock()
        self._listeners = Listeners(*listeners)
        self._recent: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self._states: dict[tuple[Part, str], State] = {}
        self._outages: deque[Outage] = deque(maxlen=_KEPT_OUTAGES)
        self._outage: tuple[float, Event] | None = None
        self.outage_count = 0

    @property
    def state(self) -> State:
        """What the stream as a whole is doing: the worst of its vital parts."""
        with self._lock:
            states = [state for (part, _), state in self._states.items() if part in _VITAL]
        return max(states, key=_SEVERITY.index, default=State.STARTING)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """The last outages that are over, oldest first."""
        with self._lock:
            return tuple(self._outages)

    @property
    def outage_s(self) -> float | None:
        """How long the present outage has lasted; None where there is none."""
        outage = self._outage
        return None if outage is None else time.monotonic() - outage[0]

    @property
    def lost_sinks(self) -> tuple[str, ...]:
        """The names of the sinks that have failed."""
        with self._lock:
            states = tuple(self._states.items())
        return tuple(n for (part, n), state in states if part == "sink" and state is State.FAILED)

    @property
    def recent(self) -> tuple[Event, ...]:
        """The last events, oldest first."""
        with self._lock:
            return tuple(self._recent)

    def tell(
        self,
        part: Part,
        name: str,
        state: State,
        message: str,
        *,
        attempt: int = 0,
        retry_in_s: float | None = None,
    ) -> Event:
        """Log, keep and pass on an event; return it."""
        event = Event(part, name, state, message, attempt=attempt, retry_in_s=retry_in_s)
        with self._lock:
            self._states[part, name] = state
            self._recent.append(event)
            self._keep_outages(event)
        _log.log(_LEVELS.get(state, logging.INFO), "%s: %s", part, message, extra={"event": event})
        self._listeners.tell(event)
        return event

    def _keep_outages(self, event: Event) -> None:
        is_out = self.state in (State.STALLED, State.RECONNECTING)
        if is_out and self._outage is None:
            self._outage = (time.monotonic(), event)
            self.outage_count += 1
        elif not is_out and self._outage is not None:
            began, first = self._outage
            self._outage = None
            self._outages.append(Outage(first.at_s, time.monotonic() - began, first.message))

    def subscribe(self, listener: OnEvent) -> Callable[[], None]:
        """Call `listener` at every event to come; call what is returned to remove it."""
        return self._listeners.add(listener)
