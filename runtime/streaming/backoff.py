"""How long to wait before the next attempt: longer each time, up to a limit, never in step."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Capped exponential backoff with jitter.

    Jitter keeps many cameras behind one switch, or many clients of one server, from coming back
    in the same instant.

    Attributes:
        first_s: Before the first attempt.
        factor: From one attempt to the next.
        cap_s: No wait is longer, jitter included.
        jitter: Each wait is shortened by a random part of up to this much of it.
    """

    first_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 30.0
    jitter: float = 0.3

    def delay_s(self, attempt: int, chance: float | None = None) -> float:
        """Return the wait before `attempt`, the first of which is 1.

        Args:
            attempt: From 1.
            chance: In [0, 1), what the dice show; thrown when None.
        """
        # The exponent is held small: after days of outage the power would overflow.
        full_s = min(self.cap_s, self.first_s * self.factor ** min(attempt - 1, 60))
        return full_s * (1 - self.jitter * (random.random() if chance is None else chance))
