"""A scene as layers of light: built on an empty stage, then rendered into a folder."""

from __future__ import annotations

import json
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
    stage.finish()
    view.set_up(stage, job["width"], job["height"], job["samples"], job["threads"])
    moves = job["frames"] > 1
    if moves:
        view.animate(stage, job["frames"], job["fps"])
    folder, frames = Path(job["folder"]), range(1, job["frames"] + 1)
    # One light after the other, each for all frames: a change of light or passes costs more.
    view.set_light(stage, None, lamps=0.0)
    for frame in frames:
        view.render_truth(stage, folder / f"truth.{frame:03d}.exr", frame, motion=moves)
    layers: dict[str, float | None] = {"lamps": None}
    layers |= {f"sky.{sky_name(plan, t)}": t for t in job["times"]}
    for name, t in layers.items():
        view.set_light(stage, t, lamps=1.0 if t is None else 0.0)
        for frame in frames:
            view.render_colour(stage, folder / f"{name}.{frame:03d}.exr", frame)
    content = {"plan": plan.to_json(), "entities": [asdict(entity) for entity in stage.entities]}
    (folder / "scene.json").write_text(json.dumps(content))
