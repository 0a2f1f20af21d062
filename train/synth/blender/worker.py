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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dayshift.train.synth.blender import places, view
from dayshift.train.synth.blender.stage import Stage
from dayshift.train.synth.light import sky_name
from dayshift.train.synth.plan import draw_plan


def render_scene(job: dict[str, Any]) -> None:
    """Build the scene of a job and render its layers."""
    plan = draw_plan(job["seed"])
    stage = Stage(plan)
    places.build(stage)
    view.set_up(stage, job["width"], job["height"], job["samples"], job["threads"])
    view.animate(stage, job["frames"], job["fps"])
    folder = Path(job["folder"])
    for frame in range(1, job["frames"] + 1):
        view.set_light(stage, None, lamps=0.0)
        view.render_truth(stage, folder / f"truth.{frame:03d}.exr", frame)
        view.set_light(stage, None, lamps=1.0)
        view.render_colour(stage, folder / f"lamps.{frame:03d}.exr", frame)
        skies = {sky_name(plan, t): t for t in job["times"]}
        for name, t in skies.items():
            view.set_light(stage, t, lamps=0.0)
            view.render_colour(stage, folder / f"sky.{name}.{frame:03d}.exr", frame)
    content = {"plan": plan.to_json(), "entities": [asdict(entity) for entity in stage.entities]}
    (folder / "scene.json").write_text(json.dumps(content))


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[int]:
    """Give standard output to the answers alone: Blender prints from C."""
    answers = os.dup(1)
    os.dup2(2, 1)
    yield answers


def main() -> None:
    """Render until standard input ends."""
    with _quiet_stdout() as answers:
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
