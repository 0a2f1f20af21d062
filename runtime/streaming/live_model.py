"""A model that outlives its engine: reopened when it throws, replaced by the next, switched live.

It is a translator like any other: the pipeline need not know. Everything happens on the threads
that translate, but for the loading of a model that was asked for meanwhile, which has its own.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

from dayshift.runtime.backends.server_address import is_server, parse_server
from dayshift.runtime.closing import Closing
from dayshift.runtime.effect import effect_of
from dayshift.runtime.errors import BackendError, UsageError
from dayshift.runtime.frame import Pixels
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.backoff import Backoff
from dayshift.runtime.streaming.candidates import Candidates
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.loading import Choice, Load, Loader, OpenModel, hand_on
from dayshift.runtime.streaming.translator import Translated
from dayshift.runtime.uri import redact

_MAX_ATTEMPTS = 8


class LiveModel(Closing):
    """Translates with whatever engine works. At most `lanes` threads at a time.

    Args:
        first: The model, loaded; closed by this one.
        choice: What it was loaded by.
        load_model: Loads it again, or another choice.
        control: Whose `model` and `precision` are followed; its events are told, and which
            controls the model in use has.
        backoff: Between attempts to get an engine back; the first is made at once.
    """

    def __init__(
        self,
        first: OpenModel,
        choice: Choice,
        load_model: Load,
        control: Control,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self._choice = choice
        self._load = load_model
        self._control = control
        self._backoff = backoff or Backoff(first_s=0.2, cap_s=5.0)
        self._model = first
        control.tell_model(effect_of(first), first.spec.controls)
        self._size: tuple[int, int] | None = None
        self._loader: Loader | None = None
        self._mending = threading.Lock()
        self._server = parse_server(choice.backend) if is_server(choice.backend) else None
        self._candidates = Candidates(self._server)
        self._look_again_at = 0.0

    @property
    def lanes(self) -> int:
        """How many frames it translates at a time."""
        return self._model.lanes

    @property
    def name(self) -> str:
        """The model's own."""
        return self._model.name

    @property
    def backend_name(self) -> str:
        """The engine in use."""
        return self._model.backend_name

    @property
    def backend_version(self) -> str:
        """Its own version."""
        return self._model.backend_version

    @property
    def device(self) -> str:
        """What it runs on."""
        return self._model.device

    @property
    def precision_requested(self) -> str:
        """What was asked for, perhaps "auto"."""
        return self._model.precision_requested

    @property
    def precision(self) -> str:
        """What the engine says it computes in."""
        return self._model.precision

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that the model has files of, and can be switched to."""
        return self._model.precisions

    @property
    def cheaper_precision(self) -> str | None:
        """A faster precision than the one in use; None where this is the fastest."""
        return "int8" if "int8" in self.precisions and self.precision != "int8" else None

    @property
    def sha256(self) -> str:
        """Hash of the graph in use."""
        return self._model.sha256

    @property
    def strength(self) -> float:
        """How much of the effect; it goes as far as the model in use lets it."""
        return self._model.strength

    @strength.setter
    def strength(self, value: float) -> None:
        model = self._model
        model.strength = model.spec.controls.strength.nearest(value)

    @property
    def lamps(self) -> float:
        """The share of the artificial light that burns: the same, where the model has lamps."""
        return self._model.lamps

    @lamps.setter
    def lamps(self, value: float) -> None:
        model = self._model
        limits = model.spec.controls.lamps
        if limits is not None:
            model.lamps = limits.nearest(value)

    def warm_up(self, height: int, width: int) -> None:
        """Compile for a frame size."""
        self._size = (height, width)
        self._model.warm_up(height, width)

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translated:
        """Translate a frame, by another engine where this one fails; see `Model.translate`.

        Raises:
            UsageError: It is no frame.
            BackendError: No engine works any more.
        """
        self._size = (frame.shape[0], frame.shape[1])
        with self._mending:
            self._follow()
            model = self._model
        try:
            return model.translate(frame, memory)
        except UsageError:
            raise
        except Exception as error:  # engines raise what they like
            with self._mending:
                if model is self._model:
                    return self._heal(frame, memory, error)
            # Another lane has replaced it meanwhile.
            return self._model.translate(frame, memory)

    def close(self) -> None:
        """Free the engines. Safe to call twice."""
        if self._loader is not None:
            self._loader.leave()
            self._loader = None
        self._model.close()

    def _heal(self, frame: Pixels, memory: Memory | None, error: Exception) -> Translated:
        """Translate the frame after all, with a new engine."""
        self._model.close()
        candidates = self._candidates.after_failure(self._choice, self.backend_name)
        # Where there is nothing but a server, it is awaited.
        alone = self._server if candidates == [self._choice] else None
        give_up_at = time.perf_counter() + (0.0 if alone is None else alone.give_up_s)
        for attempt in itertools.count(1):
            if attempt > _MAX_ATTEMPTS and time.perf_counter() >= give_up_at:
                break
            choice = candidates[(attempt - 1) % len(candidates)]
            wait_s = 0.0 if attempt == 1 else self._backoff.delay_s(attempt - 1)
            self._tell(
                State.RECONNECTING,
                f"{_line(error)}; opening {redact(choice.backend)} in {wait_s:.1f} s "
                f"(attempt {attempt})",
                attempt=attempt,
                retry_in_s=wait_s,
            )
            if self._control.settings.is_stopping:
                break
            time.sleep(wait_s)
            try:
                translated = self._replace(choice, frame, memory)
            except Exception as again:  # the next candidate may work
                error = again
                continue
            self._tell(State.RUNNING, f"{self.backend_name} {self.precision} translates again")
            return translated
        raise BackendError(f"no engine works any more: {_line(error)}") from error

    def _replace(self, choice: Choice, frame: Pixels, memory: Memory | None) -> Translated:
        model = self._load(choice)
        try:
            hand_on(self._model, model)
            translated = model.translate(frame, memory)
        except BaseException:
            model.close()
            raise
        if model.backend_name != self.backend_name:
            self._candidates.forgive()
        self._model = model
        self._look_later()
        return translated

    def _look_later(self) -> None:
        """Set when a server that was lost is looked for next."""
        if self._server is not None:
            self._look_again_at = time.perf_counter() + self._server.retry_s

    def _follow(self) -> None:
        """Begin to load what is wanted, or take over what has been loaded."""
        if self._loader is not None:
            if not self._loader.is_done:
                return
            loader, self._loader = self._loader, None
            self._take_over(loader)
        settings = self._control.settings
        wanted = replace(
            self._choice,
            model=settings.model or self._choice.model,
            precision=settings.precision or self._choice.precision,
        )
        if wanted != self._choice and self._size is not None:
            self._control.events.tell(
                "control", self.name, State.STARTING, f"loading {wanted.model} {wanted.precision}"
            )
            self._loader = Loader(wanted, self._load, self._size)
        elif self._is_server_lost and time.perf_counter() >= self._look_again_at:
            assert self._size is not None  # a frame was translated before the server was lost
            self._loader = Loader(self._choice, self._load, self._size)

    @property
    def _is_server_lost(self) -> bool:
        """Whether this machine stands in for the server that was asked for."""
        return self._server is not None and self.backend_name != "kserve"

    def _take_over(self, loader: Loader) -> None:
        is_return = loader.choice == self._choice
        if loader.model is None:
            if is_return:
                self._look_later()
                return
            # What cannot be had is not wanted any more, or it would be tried at every frame.
            self._control.change(model=str(self._choice.model), precision=self._choice.precision)
            said = f"kept {self.name} {self.precision}: {_line(loader.error)}"
            self._control.events.tell("control", self.name, State.FAILED, said)
            return
        hand_on(self._model, loader.model)
        self._model.close()
        self._model, self._choice = loader.model, loader.choice
        self._control.tell_model(effect_of(self._model), self._model.spec.controls)
        if is_return:
            self._tell(State.RUNNING, f"{self.device} is back: {self.backend_name} translates")
            return
        said = f"switched to {self.name}, {self.backend_name} {self.precision}"
        self._control.events.tell("control", self.name, State.RUNNING, said)

    def _tell(
        self, state: State, message: str, *, attempt: int = 0, retry_in_s: float | None = None
    ) -> None:
        # One name for all engines: the part is well again when any of them is.
        self._control.events.tell(
            "engine", "engine", state, message, attempt=attempt, retry_in_s=retry_in_s
        )


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split()) or type(error).__name__
