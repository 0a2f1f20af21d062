"""What a person turns while a stream runs, and what they see of it.

One `Control` belongs to one stream. The window's keys, the browser page and the program turn it
with `change`; the pipeline and the sinks read `settings`, an immutable whole, so that nobody sees
half a change. In the other direction the pipeline publishes a `Status` about once a second.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dayshift.runtime.effect import Effect
from dayshift.runtime.errors import UsageError
from dayshift.runtime.spec import Control as Limits
from dayshift.runtime.spec import Controls
from dayshift.runtime.streaming.events import Events
from dayshift.runtime.streaming.listeners import Listeners
from dayshift.runtime.streaming.status import Status


@dataclass(frozen=True)
class Settings:
    """What is wanted of a stream now.

    Attributes:
        strength: 0 returns the frame unchanged, 1 is the full effect; None leaves the model's own.
        lamps: The share of the artificial light that burns, in models that have the control; None
            leaves the model's own.
        is_frozen: Sinks get the last image again and again; nothing is translated.
        has_overlay: Views show state, rate and latency. Files never do.
        split: Where views part the frame, on the left, from its translation: 0 to 1 of the width;
            None shows the translation alone.
        is_recording: A recording is wanted.
        snapshots: How often a snapshot was asked for; a sink that takes them compares.
        model: Bundled name or folder of the model that is wanted; None leaves the one in use.
        precision: The precision that is wanted, or "auto"; None leaves the one in use.
        is_stopping: The stream is to end well.
    """

    strength: float | None = None
    lamps: float | None = None
    is_frozen: bool = False
    has_overlay: bool = False
    split: float | None = None
    is_recording: bool = False
    snapshots: int = 0
    model: str | None = None
    precision: str | None = None
    is_stopping: bool = False

    def __post_init__(self) -> None:
        for name in ("strength", "lamps", "split"):
            value = getattr(self, name)
            # Written so that NaN fails too.
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"got {name} {value!r}: expected a number from 0 to 1")


OnChange = Callable[[Settings], object]
OnStatus = Callable[[Status], object]


class Control:
    """The desk of one stream. Any thread may use it.

    Args:
        settings: What is wanted at the start.
        events: Of the same stream; new ones by default.
        model_effect: What the model is at by itself; `LiveModel` says it for its own, and the
            limits of its controls.

    Attributes:
        events: What happens to the stream.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        events: Events | None = None,
        *,
        model_effect: Effect | None = None,
    ) -> None:
        self.events = events or Events()
        self._settings = settings or Settings()
        self.tell_model(model_effect or Effect())
        self._status: Status | None = None
        self._changes: Listeners[Settings] = Listeners()
        self._statuses: Listeners[Status] = Listeners()
        # Reentrant: a signal handler may stop the stream while its own thread turns a knob.
        self._lock = threading.RLock()

    @property
    def settings(self) -> Settings:
        """What is wanted now; to be read once per frame, and used as a whole."""
        return self._settings

    @property
    def effect(self) -> Effect:
        """What the controls of the model in use are at: what is wanted, as far as they go."""
        settings, (own, limits) = self._settings, self._model
        return Effect(
            own.strength if settings.strength is None else settings.strength,
            own.lamps if own.lamps is None or settings.lamps is None else settings.lamps,
        ).within(limits)

    @property
    def status(self) -> Status | None:
        """How the stream did when it last told; None before its first second."""
        return self._status

    def change(self, **changes: Any) -> Settings:
        """Replace the named settings and tell whoever listens; return what is wanted now.

        Raises:
            UsageError: There is no such setting, or the value is out of range; nothing changed.
        """
        with self._lock:
            known = [field.name for field in dataclasses.fields(Settings)]
            unknown = sorted(set(changes) - set(known))
            if unknown:
                raise UsageError(f"no setting {unknown[0]!r}: expected one of {', '.join(known)}")
            settings = dataclasses.replace(self._settings, **changes)
            if settings == self._settings:
                return settings
            self._settings = settings
        self._changes.tell(settings)
        return settings

    def request_snapshot(self) -> None:
        """Ask every sink that can to keep its next image."""
        with self._lock:
            self.change(snapshots=self._settings.snapshots + 1)

    def stop(self) -> None:
        """End the stream well: what is on its way is delivered, and files are completed."""
        self.change(is_stopping=True)

    def tell_model(self, effect: Effect, controls: Controls | None = None) -> None:
        """Say what the model that is now in use is at, and how far its controls go.

        By default it has those that the effect has, and they go from 0 to 1.
        """
        lamps = None if effect.lamps is None else Limits()
        self._model = (effect, controls or Controls(lamps=lamps))

    def publish(self, status: Status) -> None:
        """Let everyone see how the stream does; called by the pipeline."""
        self._status = status
        self._statuses.tell(status)

    def subscribe(self, listener: OnChange) -> Callable[[], None]:
        """Call `listener` after every change, in the thread that made it; returns its removal."""
        return self._changes.add(listener)

    def subscribe_status(self, listener: OnStatus) -> Callable[[], None]:
        """Call `listener` with every status, in the pipeline's thread; returns its removal."""
        return self._statuses.add(listener)
