"""What a model runs on: TensorRT's engines, or others for as long as TensorRT builds those."""

from __future__ import annotations

import atexit
import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

from dayshift.runtime.backends import BuildProgress, OnBuildProgress
from dayshift.runtime.choice import Setup, stand_ins
from dayshift.runtime.engines import Building, Engines
from dayshift.runtime.errors import BackendError, DayshiftError, MissingDependency, ModelError
from dayshift.runtime.plan import Lanes
from dayshift.runtime.spec import ModelSpec


class EnginesInUse:
    """Opens the engines of a setup; where they must be built first, perhaps others meanwhile.

    Any thread may call.

    Attributes:
        now: What runs the next frame.
    """

    def __init__(
        self,
        model: tuple[Path, ModelSpec],
        setup: Setup,
        *,
        size: tuple[int, int],
        lanes: int,
        building: Building,
    ) -> None:
        self._model = model
        self._size = size
        self._lanes = lanes
        self._building = building
        self._swapping = threading.Lock()
        self._is_closed = False
        self._upgrade: _Upgrade | None = None
        self._failure: DayshiftError | None = None
        self.now: Engines
        self._start(setup)

    def lanes_of(self, height: int, width: int) -> Lanes:
        """Return the plans for a frame size, compiling it when it is new.

        Raises:
            BackendError: The engine refuses, there is none, or these engines were closed.
        """
        if self._failure is not None:
            raise self._failure
        return self.now.lanes_of(height, width)

    def close(self) -> None:
        """Free the engines, and end a build. Safe to call twice."""
        with self._swapping:
            self._is_closed = True
        if self._upgrade is not None:
            self._upgrade.cancel()
        self.now.close()

    def _start(self, setup: Setup) -> None:
        on_progress = self._building.on_progress
        if setup.backend == "tensorrt" and self._building.in_background:
            try:
                self.now = self._make(setup, _refuse)
                return
            except _Cancelled:
                meanwhile = self._stand_in(setup)
            if meanwhile is not None:
                self.now = meanwhile
                self._upgrade = _Upgrade(
                    lambda tell: self._make(setup, tell),
                    on_ready=self._swap,
                    on_failure=lambda error: self._stay(setup, error),
                    on_progress=on_progress,
                )
                return
        self.now = self._make(setup, on_progress)

    def _stand_in(self, setup: Setup) -> Engines | None:
        """Return engines to run on while TensorRT builds, None where no other backend works."""
        for other in stand_ins(self._model[1], setup.precision_requested):
            try:
                return self._make(other, self._building.on_progress)
            except (MissingDependency, BackendError, ModelError):
                continue
        return None

    def _make(self, setup: Setup, on_progress: OnBuildProgress) -> Engines:
        return Engines(
            self._model,
            setup,
            size=self._size,
            lanes=self._lanes,
            building=dataclasses.replace(self._building, on_progress=on_progress),
        )

    def _swap(self, engines: Engines) -> None:
        """Run on the new engines from the next frame on.

        The old ones are not closed: frames may be in them still, and the last one frees them.
        """
        with self._swapping:
            if self._is_closed:
                engines.close()
                return
            self.now = engines
        self._building.on_change(f"swapped: {engines.description}")

    def _stay(self, setup: Setup, error: DayshiftError) -> None:
        """Run on as before where that was free to choose; else the next frame is the error."""
        if setup.is_asked:
            self._failure = error
        self._building.on_change(f"tensorrt has no engine: {error}")


class _Cancelled(Exception):
    """Raised into a build to end it."""


class _Upgrade:
    """Builds engines on a thread of its own and hands them over.

    The process may end meanwhile: the build is ended first, at its next step.

    Args:
        make: Makes the engines, telling the callback it is given of the build.
        on_ready: Takes the engines.
        on_failure: Takes the reason why there are none.
        on_progress: Told of the build.
    """

    def __init__(
        self,
        make: Callable[[OnBuildProgress], Engines],
        *,
        on_ready: Callable[[Engines], None],
        on_failure: Callable[[DayshiftError], None],
        on_progress: OnBuildProgress,
    ) -> None:
        self._make = make
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._on_progress = on_progress
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dayshift-build", daemon=True)
        atexit.register(self.cancel)
        self._thread.start()

    def cancel(self) -> None:
        """End the build and wait until it has ended; nothing where it has."""
        self._cancelled.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._on_ready(self._make(self._tell))
        except _Cancelled:
            pass
        except DayshiftError as error:
            self._on_failure(error)
        finally:
            atexit.unregister(self.cancel)

    def _tell(self, progress: BuildProgress) -> None:
        if self._cancelled.is_set():
            raise _Cancelled
        self._on_progress(progress)


def _refuse(_: object) -> None:
    raise _Cancelled
