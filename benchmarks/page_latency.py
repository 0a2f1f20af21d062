"""From capture to the page, measured in Chromium: `python -m dayshift.benchmarks.page_latency`.

The time of capture is burnt into each frame as a bar code, goes through model, JPEG and HTTP, or
H.264 and WebRTC, like any picture, and is read back from the page's canvas just before the browser
paints it. Source, model, page and browser share the machine, and thereby its clock and its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from dayshift.benchmarks.chromium import open_chromium
from dayshift.benchmarks.machine import describe_machine
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.model import load
from dayshift.runtime.sinks.http import HttpSink
from dayshift.runtime.sources import Source, open_source
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.pipeline import run_pipeline
from dayshift.runtime.streaming.report import Report
from dayshift.runtime.timing import summarize
from dayshift.runtime.web.desk import Desk

BITS = 24  # milliseconds since the epoch, modulo 4.6 hours
BLOCK_PX = 40

# A bit is light above dark or dark above light: what a model does to brightness cancels out.
_READ = f"""
window.ages = [];
const drawPicture = draw;
draw = () => {{
  drawPicture();
  requestAnimationFrame(() => {{
    const now = performance.timeOrigin + performance.now();
    const strip = context.getImageData(0, 0, {BITS * BLOCK_PX}, {2 * BLOCK_PX}).data;
    const at = (x, y) => strip[4 * (y * {BITS * BLOCK_PX} + x) + 1];
    let stamp = 0;
    for (let bit = 0; bit < {BITS}; bit++) {{
      const x = bit * {BLOCK_PX} + {BLOCK_PX // 2};
      let above = 0, below = 0;
      for (let d = -8; d <= 8; d += 4) {{
        above += at(x + d, {BLOCK_PX // 2});
        below += at(x + d, {BLOCK_PX // 2 * 3});
      }}
      stamp += above > below ? 2 ** bit : 0;
    }}
    let age = now % {2**BITS} - stamp;
    if (age < 0) age += {2**BITS};
    ages.push([shown.serial, age]);
  }});
}};
"""


class StampedSource(Source):
    """Another source, with the time of capture burnt into the upper left of its frames."""

    def __init__(self, source: Source) -> None:
        self.name, self.size, self.fps = source.name, source.size, source.fps
        self.frame_count, self.is_live = source.frame_count, source.is_live
        self._source = source

    def read(self) -> Frame | None:
        """Return the next frame, stamped."""
        frame = self._source.read()
        if frame is not None:
            age_s = time.perf_counter() - frame.captured_at
            burn(frame.pixels, int((time.time() - age_s) * 1e3))
        return frame

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def burn(pixels: Pixels, time_ms: int) -> None:
    """Draw a time into a frame, in place."""
    for bit in range(BITS):
        left = bit * BLOCK_PX
        block = pixels[: 2 * BLOCK_PX, left : left + BLOCK_PX]
        is_set = time_ms >> bit & 1
        block[:BLOCK_PX] = 230 if is_set else 20
        block[BLOCK_PX:] = 20 if is_set else 230


# The page waits for these before it is measured.
_WAYS = {
    "webrtc": "live.isLive",
    "mjpeg": "(live.isPossible = false, live.drop(), true)",
}


def _watch(url: str, seconds: float, way: str) -> list[float]:
    """Look at the page and return the age of every picture that it painted, in milliseconds."""
    with open_chromium() as browser:
        tab = browser.new_tab()
        tab.resize(1280, 800)
        tab.open(url)
        tab.wait_for("shown.serial > 10")
        tab.wait_for(_WAYS[way])
        tab.evaluate(_READ)
        time.sleep(seconds)
        pairs: Sequence[Any] = tab.evaluate("ages")
        if tab.evaluate("live.isLive") != (way == "webrtc"):
            raise RuntimeError(f"the page took another way than {way}")
        tab.close()
    first: dict[int, float] = {}
    for serial, age in pairs:
        first.setdefault(int(serial), float(age))
    return list(first.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", default="synthetic://?size=1280x720&fps=30")
    parser.add_argument("--model", default="day2night")
    parser.add_argument("--way", choices=sorted(_WAYS), default="webrtc")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    control, ages = Control(), list[float]()
    load_before = os.getloadavg()[0]
    with load(options.model) as model, HttpSink(Desk(control)) as sink:

        def watch() -> None:
            try:
                ages.extend(_watch(sink.url, options.seconds, options.way))
            finally:
                control.stop()

        viewer = threading.Thread(target=watch)
        viewer.start()
        source = StampedSource(open_source(options.source))
        report = run_pipeline(source, model, [sink], policy="latest", control=control)
        viewer.join()
    told = {
        **describe_machine(),
        "load_before": round(load_before, 2),
        "way": options.way,
        **_figures(report, ages, options.seconds),
    }
    if options.json:
        print(json.dumps(told, indent=2))
        return
    for name, value in told.items():
        print(f"{name:22}{value}")


def _figures(report: Report, ages_ms: list[float], seconds: float) -> dict[str, Any]:
    page = summarize(ages_ms)
    return {
        "source_size": report.size,
        "backend": report.backend,
        "precision": report.precision_actual,
        "pictures": page.count,
        "pictures_per_s": round(page.count / seconds, 1),
        "capture_to_page_ms": {
            name: round(getattr(page, name), 1) for name in ("p50", "p95", "p99", "max")
        },
        "capture_to_sink_ms": report.latency_ms,
        "frames_dropped": report.frames_dropped,
        "frames_in": report.frames_in,
    }


if __name__ == "__main__":
    main()
