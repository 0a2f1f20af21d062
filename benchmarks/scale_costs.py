"""Measures what a frame costs besides the model: decode, encode, and a client of a model server.

    python -m dayshift.benchmarks.scale_costs OUT.json [kserve+grpc://HOST:PORT/day2night]

CPU time of this process over the bundled clip, in blocks. `benchmarks.scale` reads the file.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

from dayshift.benchmarks.machine import describe_machine
from dayshift.runtime.bundled import bundled_clip
from dayshift.runtime.frame import Frame
from dayshift.runtime.model import load
from dayshift.runtime.sinks.base import write_file
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources import open_source

_BLOCKS = 5
_FRAMES = 60
_FPS = 25


def main() -> None:
    """Measure and write the file."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m dayshift.benchmarks.scale_costs OUT.json [SERVER]")
    costs = measure(*sys.argv[2:])
    write_file(Path(sys.argv[1]), (json.dumps(costs, indent=1) + "\n").encode())


def measure(server: str | None = None) -> dict[str, Any]:
    """Return CPU milliseconds of a frame, and bytes of a second of video."""
    clip = bundled_clip()
    decoded: list[Frame] = []

    def decode() -> None:
        decoded[:] = _read(clip)

    decode_ms = _cpu_ms(decode)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        encode_ms = _cpu_ms(lambda: _write(path, decoded))
        encoded_bytes = path.stat().st_size
    height, width = decoded[0].pixels.shape[:2]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "size": f"{width}x{height}",
        "frames": _FRAMES,
        "blocks": _BLOCKS,
        "decode_cpu_ms": decode_ms,
        "encode_cpu_ms": encode_ms,
        "clip_mbit_per_s": round(8e-6 * clip.stat().st_size / _seconds(clip), 2),
        "encoded_mbit_per_s": round(8e-6 * encoded_bytes * _FPS / _FRAMES, 2),
        "client_cpu_ms": None if server is None else _client_ms(server, decoded),
    }


def _read(clip: Path) -> list[Frame]:
    with open_source(str(clip)) as source:
        frames = [source.read() for _ in range(_FRAMES)]
    return [frame for frame in frames if frame is not None]


def _write(path: Path, frames: Sequence[Frame]) -> None:
    with VideoSink(path, fps=Fraction(_FPS)) as sink:
        for frame in frames:
            sink.write(frame.pixels, frame)


def _seconds(clip: Path) -> float:
    with open_source(str(clip)) as source:
        assert source.frame_count is not None
        assert source.fps is not None
        return float(source.frame_count / source.fps)


def _client_ms(server: str, frames: Sequence[Frame]) -> float:
    """Return what shrinking, sending, receiving and applying costs the client."""
    height, width = frames[0].pixels.shape[:2]
    with load("day2night", backend=server, size=(height, width)) as model:
        return _cpu_ms(lambda: [model(frame.pixels) for frame in frames])


def _cpu_ms(work: Callable[[], object]) -> float:
    """Return the CPU time of a frame over all threads of this process: the median of blocks."""
    work()
    blocks = []
    for _ in range(_BLOCKS):
        before = time.process_time()
        work()
        blocks.append(1e3 * (time.process_time() - before) / _FRAMES)
    return round(statistics.median(blocks), 2)


if __name__ == "__main__":
    main()
