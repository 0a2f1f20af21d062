"""The process of one row: it opens a case, and measures a block whenever it is told to.

    python -m dayshift.benchmarks.worker

One line of JSON in, one line out, until standard input ends. What engines print goes to standard
error. The process waits between its turns, so that rows can take them in rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from dayshift.benchmarks.cases import Case
    from dayshift.benchmarks.opening import Opened
    from dayshift.benchmarks.scenarios import Subject
    from dayshift.runtime.image import Pixels

WARM_UP_S = 3.0
WARM_UP_CALLS = 400
_WINDOW_CALLS = 5
_WINDOW_MS = 30.0
_LONG_WINDOW_MS = 300.0
_UNTIMED_CALLS = 3
_UNTIMED_S = 0.05


def main() -> None:
    """Answer commands until standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print where they like; the replies are ours alone
    serve(sys.stdin, replies)
    # Some engines abort in their destructors at exit; everything has been said.
    sys.stderr.flush()
    os._exit(0)


def serve(commands: TextIO, replies: TextIO) -> None:
    """Read commands, call what they name, write what it returns."""
    turns: Turns | None = None
    for line in commands:
        command = json.loads(line)
        try:
            if command["do"] == "open":
                turns = Turns.open(command)
                reply = turns.facts()
            else:
                assert turns is not None
                reply = getattr(turns, str(command["do"]))(command)
        except Exception as error:  # whatever it is, it becomes the row's reason
            traceback.print_exc()
            reply = {"error": " ".join(str(error).split()), "kind": type(error).__name__}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


class Turns:
    """One opened case: its facts, its warm-up, its blocks, its images.

    Args:
        case: what is measured.
        opened: the model; None for a peak of the machine.
        subject: its scenario.
        frames: real frames of the case's size.
    """

    def __init__(
        self, case: Case, opened: Opened | None, subject: Subject, frames: Sequence[Pixels]
    ) -> None:
        from dayshift.benchmarks.energy import open_meter

        self._case = case
        self._opened = opened
        self._subject = subject
        self._frames = frames
        self._meter = open_meter()
        self._began: dict[str, float] = {}

    @classmethod
    def open(cls, command: dict[str, Any]) -> Turns:
        """Open the case of a command, timed."""
        from dayshift.benchmarks.cases import Case

        case = Case.from_json(command["case"])
        _confine_to(case.threads)
        import numpy as np

        from dayshift.benchmarks.subjects import open_subject

        frames = list(np.load(command["frames"])) if command["frames"] else []
        opening_at = time.perf_counter()
        opened, subject = open_subject(case, frames, command)
        build_s = time.perf_counter() - opening_at
        turns = cls(case, opened, subject, frames)
        turns._began = {
            "build_s": round(build_s, 4),
            "first_inference_ms": round(subject.call(), 3),
            # The clock is the system's own, so it may be read in another process.
            "cold_start_s": round(time.monotonic() - command["spawned_at"], 3),
        }
        return turns

    def facts(self) -> dict[str, Any]:
        """Say what was opened."""
        from dayshift.benchmarks.subjects import describe

        return {
            **describe(self._case, self._opened, self._subject),
            **self._began,
            "energy_source": self._meter.name,
            "energy_reason": self._meter.reason,
        }

    def warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        """Call until the times are steady, or the limit is reached."""
        return warm_up(self._subject.call, limit_s=float(command["limit_s"]))

    def block(self, command: dict[str, Any]) -> dict[str, Any]:
        """Measure one block."""
        if command.get("rewarm", True):
            rewarm(self._subject.call)
        self._meter.start()
        block = self._subject.block(float(command["seconds"]))
        joules = self._meter.stop()
        return {
            "times_ms": [round(t, 4) for t in block.times_ms],
            "frames": block.frames,
            "seconds": block.seconds,
            "cpu_s": block.cpu_s,
            "run_queue_s": block.run_queue_s,
            "stages_ms": {k: [round(t, 4) for t in v] for k, v in block.stages_ms.items()},
            "dropped": block.dropped,
            "events": block.events,
            "joules": joules,
            "memory_mib": _status_mib("VmHWM"),
            "device_memory_mib": self._meter.device_memory_mib(),
        }

    def engine_times(self, command: dict[str, Any]) -> dict[str, Any]:
        """Go on for some seconds; return the median of the engine's part alone."""
        ends_at = time.perf_counter() + float(command["seconds"])
        times: list[float] = []
        while not times or time.perf_counter() < ends_at:
            times += self._subject.block(1.0).stages_ms["infer"]
        return {"median_ms": statistics.median(times), "count": len(times)}

    def images(self, command: dict[str, Any]) -> dict[str, Any]:
        """Write what the model makes of the frames, as the reference of other rows."""
        import numpy as np

        images = [self._image(frame) for frame in self._frames[: int(command["count"])]]
        np.save(command["path"], np.stack(images))
        return {"count": len(images)}

    def quality(self, command: dict[str, Any]) -> dict[str, Any]:
        """Compare the model's images with the reference's."""
        import numpy as np

        from dayshift.benchmarks.likeness import compare_images

        path = command.get("path")
        references = list(np.load(path)) if path else []
        count = len(references) or min(2, len(self._frames))
        images = [self._image(frame) for frame in self._frames[:count]]
        return compare_images(images, references)

    def _image(self, frame: Any) -> Any:
        assert self._opened is not None
        return self._opened.translator.translate(frame).image


def warm_up(call: Callable[[], float], *, limit_s: float) -> dict[str, Any]:
    """Call until three windows of calls agree, and say how many calls that took.

    Args:
        call: one call, returning its milliseconds.
        limit_s: give up after this many seconds, or after `WARM_UP_CALLS` calls.
    """
    from dayshift.benchmarks.statistics import is_steady

    windows: list[float] = []
    calls, started_at = 0, time.perf_counter()
    while not is_steady(windows) and calls < WARM_UP_CALLS:
        if time.perf_counter() - started_at > limit_s and len(windows) > 0:
            break
        window: list[float] = []
        while sum(window) < _WINDOW_MS or (
            len(window) < _WINDOW_CALLS and sum(window) < _LONG_WINDOW_MS
        ):
            window.append(call())
        windows.append(statistics.median(window))
        calls += len(window)
    return {
        "warmup": calls,
        "warmup_s": round(time.perf_counter() - started_at, 3),
        "steady": is_steady(windows),
        "call_ms": windows[-1],
    }


def rewarm(call: Callable[[], float]) -> None:
    """Make a few untimed calls: after the others' turns caches are cold and threads asleep."""
    ends_at = time.perf_counter() + _UNTIMED_S
    for _ in range(_UNTIMED_CALLS):
        call()
        if time.perf_counter() > ends_at:
            return


def _confine_to(threads: int) -> None:
    """Let the process use that many cores, before any library counts them."""
    if hasattr(os, "sched_getaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        if 0 < threads < len(allowed):
            os.sched_setaffinity(0, allowed[:threads])


def _status_mib(field: str) -> float | None:
    """Read a memory figure of this process: VmRSS now, VmHWM at most so far."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return round(int(values[0]) / 1024, 1) if values else None


if __name__ == "__main__":
    main()
