"""The process that renders: reads one job a line as JSON, answers one line when it is done.

    {"seed": 3, "folder": ".../.00003.part", "width": 512, "height": 288, "samples": 12,
     "threads": 2, "times": [0, 0.5, 1], "frames": 1, "fps": 10}

It writes truth, sky and lamp layers as EXR files and scene.json into the folder, which must exist.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[int]:
    """Give standard output to the answers alone: Blender prints from C, also while it is loaded."""
    answers = os.dup(1)
    os.dup2(2, 1)
    yield answers


def main() -> None:
    """Render until standard input ends."""
    with _quiet_stdout() as answers:
        from dayshift.train.synth.blender.scene import render_scene

        for line in sys.stdin:
            job = json.loads(line)
            try:
                render_scene(job)
                answer = {"seed": job["seed"], "ok": True}
            except Exception as error:  # the parent decides; the next scene is another one
                answer = {
                    "seed": job["seed"],
                    "ok": False,
                    "error": f"{type(error).__name__}: {error}",
                }
            os.write(answers, (json.dumps(answer) + "\n").encode())


if __name__ == "__main__":
    main()
