"""One run: rows opened one after the other, measured in rounds, compared with the reference."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dayshift.benchmarks.cases import Case
from dayshift.benchmarks.machine import Instant, describe_conditions
from dayshift.benchmarks.rounds import RowFailed, Worker, memory_left_mib
from dayshift.benchmarks.rows import Row

OnProgress = Callable[[int, int, str], None]

# A new row is opened only while this much memory is left; the others wait for the next group.
_LEAST_MEMORY_MIB = 2500.0
_LEAST_TURNS = 3


@dataclass(frozen=True)
class Pace:
    """How long a run may take.

    Attributes:
        rounds: turns of each row; nine give limits of the median with 96 % confidence.
        block_s: length of a turn; slow rows make one call.
        row_budget_s: what a slow row may take in all; it then has fewer turns, spread evenly.
        warm_up_s: limit of the warm-up.
    """

    rounds: int = 9
    block_s: float = 0.35
    row_budget_s: float = 25.0
    warm_up_s: float = 3.0


FULL_PACE = Pace(rounds=15, block_s=0.6, row_budget_s=75.0, warm_up_s=6.0)


class Session:
    """Measures rows. `rows` is complete after `run`, also after Ctrl-C.

    Args:
        cases: what to measure.
        pace: how long.
        setting_of: what the process of a case must know: frames, clip, folder.
        on_progress: called with turns done, turns in all, and what is being done.

    Attributes:
        rows: one per case, same order.
        was_interrupted: Ctrl-C came; what was measured by then is kept.
    """

    def __init__(
        self,
        cases: list[Case],
        pace: Pace,
        setting_of: Callable[[Case], dict[str, Any]],
        on_progress: OnProgress,
    ) -> None:
        self.rows = [Row(case) for case in cases]
        self.was_interrupted = False
        self._pace = pace
        self._setting_of = setting_of
        self._on_progress = on_progress
        self._workers: dict[int, Worker] = {}  # by position in rows
        self._kept: list[int] = []  # in every group, to compare with
        self._group = 0
        self._done = 0

    def run(self, finish_row: Callable[[Row, Worker], None]) -> None:
        """Open, measure and finish all rows; memory decides how many at a time.

        Args:
            finish_row: asks a measured row's process for what else is wanted, such as quality.
        """
        waiting = list(range(len(self.rows)))
        try:
            while waiting:
                waiting = self._open_group(waiting)
                self._measure_group()
                self._finish_group(finish_row, last=not waiting)
                self._group += 1
        except KeyboardInterrupt:
            self.was_interrupted = True
            for row in self.rows:
                if row.status == "passed" and not row.is_measured:
                    row.fail("skipped", "interrupted before its first turn")
        finally:
            for worker in self._workers.values():
                worker.kill()

    def _open_group(self, waiting: list[int]) -> list[int]:
        """Open rows while memory lasts, at least one; return those that still wait."""
        for place, position in enumerate(waiting):
            if place > 0 and memory_left_mib() < _LEAST_MEMORY_MIB:
                return waiting[place:]
            row = self.rows[position]
            self._tell(f"open {label(row.case)}")
            worker = Worker(row.case, self._setting_of(row.case))
            self._workers[position] = worker
            try:
                row.facts = worker.open()
                limit = {"do": "warm_up", "limit_s": self._pace.warm_up_s}
                row.warm_up = worker.ask(limit)
            except RowFailed as failed:
                self._give_up(position, failed)
                continue
            if row.case.backend == "peak" or not any(
                self.rows[kept].case.backend != "peak" for kept in self._kept
            ):
                self._kept.append(position)
        return []

    def _measure_group(self) -> None:
        """Let all open rows take their turns, in another order every round."""
        order = list(self._workers)
        turns = {position: set(range(self._pace.rounds)) for position in order}
        shuffled = random.Random(0)
        for number in range(self._pace.rounds):
            shuffled.shuffle(order)
            for position in [p for p in order if p in self._workers and number in turns[p]]:
                started_at = time.perf_counter()
                self._take_turn(position, number)
                if number == 0:
                    turns[position] = self._turns(time.perf_counter() - started_at)

    def _turns(self, cost_s: float) -> set[int]:
        """Return in which rounds a row has its turn, when one takes `cost_s`."""
        rounds = self._pace.rounds
        count = max(_LEAST_TURNS, min(rounds, int(self._pace.row_budget_s / cost_s)))
        count = min(count, rounds)
        return {round(i * (rounds - 1) / max(1, count - 1)) for i in range(count)}

    def _take_turn(self, position: int, number: int) -> None:
        row, worker = self.rows[position], self._workers[position]
        self._tell(f"round {number + 1}: {label(row.case)}")
        before = Instant.now()
        try:
            block_s = self._pace.block_s
            # A call as long as a turn is not repeated for the sake of warm caches.
            rewarm = row.warm_up["call_ms"] < 1e3 * block_s
            block = worker.ask({"do": "block", "seconds": block_s, "rewarm": rewarm})
        except RowFailed as failed:
            self._give_up(position, failed)
            return
        after = Instant.now()
        block["conditions"] = describe_conditions(before, after, block["cpu_s"])
        # Every group has rounds of its own: rows are compared where they ran side by side.
        row.blocks[self._group * self._pace.rounds + number] = block
        self._done += 1

    def _finish_group(self, finish_row: Callable[[Row, Worker], None], *, last: bool) -> None:
        for position, worker in list(self._workers.items()):
            if position in self._kept and not last:
                continue
            self._tell(f"compare {label(self.rows[position].case)}")
            try:
                finish_row(self.rows[position], worker)
            except RowFailed as failed:
                self._give_up(position, failed)
                continue
            del self._workers[position]
            worker.close()

    def _give_up(self, position: int, failed: RowFailed) -> None:
        self.rows[position].fail(failed.status, str(failed))
        self._workers.pop(position).kill()

    def _tell(self, what: str) -> None:
        open_rows = sum(row.status == "passed" for row in self.rows)
        self._on_progress(self._done, open_rows * self._pace.rounds, what)


def label(case: Case) -> str:
    """Name a case in progress and messages."""
    words = [case.model.rpartition("/")[2], case.backend, case.device, case.precision]
    if case.backend != "peak":
        words += [case.size, case.scenario]
    return " ".join(word for word in words if word)
