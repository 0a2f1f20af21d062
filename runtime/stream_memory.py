"""What a stream remembers between two frames, for graphs with a recurrent state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dayshift.runtime.backends.base import Array


class Memory:
    """The state of one stream. It serves one frame at a time.

    Nothing is remembered of another engine or frame size. Nor of other controls: who turns one sees
    the change at once.
    """

    def __init__(self) -> None:
        self._origin: tuple[object, Mapping[str, float]] = (None, {})
        self._states: dict[str, Array] = {}

    def recall(self, engine: object, controls: Mapping[str, float]) -> Mapping[str, Array]:
        """Return the states by name for the next frame; none where there is nothing to go on from.

        Args:
            engine: What will run, for frames of one size.
            controls: What it is turned to; never changed afterwards.
        """
        before, turned_to = self._origin
        if before is not engine or turned_to != controls:
            self._origin = (engine, controls)
            self._states = {}
        return self._states

    def keep(self, states: Mapping[str, Array]) -> None:
        """Keep the states for the frame after; they are copied, as engines use their arrays again.

        Args:
            states: By name, float32.
        """
        for name, state in states.items():
            if name in self._states:
                np.copyto(self._states[name], state)
            else:
                self._states[name] = state.copy()
