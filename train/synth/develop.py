"""A rendered scene becomes files of a set: pictures, truth and a record."""

from __future__ import annotations

import dataclasses
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dayshift.runtime.errors import SinkError
from dayshift.train.synth.classes import SKY
from dayshift.train.synth.darkroom import Floats, Integers, Negative, Truth
from dayshift.train.synth.light import illumination
from dayshift.train.synth.plan import draw_plan

if TYPE_CHECKING:
    from dayshift.train.synth.render import SetPlan

FORMAT_VERSION = 1
_TEST_EVERY = 10
_JPEG_QUALITY = 94
_CENTIMETRE = 100.0
_FLOW_ZERO, _FLOW_STEPS = 2**15, 64.0  # KITTI's 16-bit flow: (value - 2^15) / 64 pixels


def split_of(seed: int) -> str:
    """Return the split that a scene belongs to: every tenth seed is for tests."""
    return "test" if seed % _TEST_EVERY == 0 else "train"


def develop_scene(plan: SetPlan, seed: int, part: Path) -> None:
    """Make a scene's files from its layers in `part`, and move them into the set.

    Raises:
        SinkError: They cannot be written; the scene is not listed as whole.
    """
    try:
        rendered = json.loads((part / "scene.json").read_text())
        files, truths = _write_files(plan, seed, part, rendered["entities"])
        for source, place in files:
            place.parent.mkdir(parents=True, exist_ok=True)
            source.replace(place)
        if plan.keep_layers:
            kept = plan.out / "layers" / f"{seed:05d}"
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
            for layer in (*part.glob("*.exr"), part / "scene.json"):
                shutil.move(layer, kept / layer.name)
        target = plan.out / "scenes" / f"{seed:05d}.json"
        earlier = json.loads(target.read_text())["times"] if target.exists() else {}
        content = _record(plan, seed, rendered, truths)
        content["times"] = {**earlier, **content["times"]}
        record = part / "record.json"
        record.write_text(json.dumps(content, indent=1))
        target.parent.mkdir(exist_ok=True)
        record.replace(target)
    except OSError as error:
        raise SinkError(
            f"cannot write scene {seed} to {plan.out} ({error.strerror or error}): "
            "finished scenes are kept; make room and run the command again"
        ) from error


def _write_files(
    plan: SetPlan, seed: int, part: Path, entities: list[dict[str, Any]]
) -> tuple[list[tuple[Path, Path]], list[Truth]]:
    """Write a scene's files below `part`; return where each belongs, and the frames' truth."""
    scene, split = draw_plan(seed), split_of(seed)
    pairs: list[tuple[Path, Path]] = []

    def write(kind: str, name: str, image: Any) -> None:
        source = part / "ready" / kind / name
        source.parent.mkdir(parents=True, exist_ok=True)
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if name.endswith(".jpg") else []
        if not cv2.imwrite(str(source), image, quality):
            raise OSError(0, "the disk may be full")
        pairs.append((source, plan.out / kind / split / name))

    classes = _class_table(entities)
    truths: list[Truth] = []
    for frame in range(1, plan.frames + 1):
        negative = Negative(part, scene, frame)
        name = _frame_name(plan, seed, frame)
        for time, hour in plan.times.items():
            write(time, f"{name}.jpg", negative.picture(hour))
        write("lamps", f"{name}.jpg", negative.lamps_alone())
        truth = negative.truth()
        truths.append(truth)
        write("labels", f"{name}.png", classes[truth.numbers])
        write("instances", f"{name}.png", truth.numbers.astype(np.uint16))
        write("depth", f"{name}.png", encode_depth(truth.depth))
    for frame, (now, following) in enumerate(pairwise(truths), start=1):
        assert now.flow is not None  # sequences are rendered with it
        name = _frame_name(plan, seed, frame)
        write("flow", f"{name}.png", encode_flow(now.flow))
        write("occlusion", f"{name}.png", occlusion(now, following) * np.uint8(255))
    return pairs, truths


def _frame_name(plan: SetPlan, seed: int, frame: int) -> str:
    return f"{seed:05d}" if plan.frames == 1 else f"{seed:05d}-{frame:03d}"


def _class_table(entities: list[dict[str, Any]]) -> Any:
    table = np.full(max((e["number"] for e in entities), default=0) + 1, SKY, np.uint8)
    for entity in entities:
        table[entity["number"]] = entity["class_id"]
    return table


def encode_depth(depth: Floats) -> Any:
    """Return depth (H, W) in metres as uint16 centimetres; 65535 is beyond 655 m or the sky."""
    centimetres = np.minimum(np.where(np.isinf(depth), np.inf, depth * _CENTIMETRE), 65535)
    return np.rint(centimetres).astype(np.uint16)


def encode_flow(flow: Floats) -> Any:
    """Return flow (H, W, 2) in pixels as KITTI's uint16 image: BGR is (valid, y, x)."""
    levels = np.clip(np.rint(flow * _FLOW_STEPS + _FLOW_ZERO), 0, 65535).astype(np.uint16)
    return np.dstack([np.ones_like(levels[..., 0]), levels[..., 1], levels[..., 0]])


def decode_flow(image: Any) -> Floats:
    """Invert `encode_flow`."""
    levels = image[..., :0:-1].astype(np.float32)
    return np.asarray((levels - _FLOW_ZERO) / _FLOW_STEPS, np.float32)


def occlusion(now: Truth, following: Truth) -> Any:
    """Return where a pixel of `now` is not seen in the next frame: uint8 (H, W), 1 is hidden."""
    assert now.flow is not None
    height, width = now.depth.shape
    y, x = np.mgrid[:height, :width]
    goal_x = np.rint(x + now.flow[..., 0]).astype(int)
    goal_y = np.rint(y + now.flow[..., 1]).astype(int)
    outside = (goal_x < 0) | (goal_x >= width) | (goal_y < 0) | (goal_y >= height)
    at = (goal_y.clip(0, height - 1), goal_x.clip(0, width - 1))
    other = following.numbers[at] != now.numbers
    return (outside | other).astype(np.uint8)


def _record(
    plan: SetPlan, seed: int, rendered: dict[str, Any], truths: list[Truth]
) -> dict[str, Any]:
    scene = draw_plan(seed)
    hours = {
        name: {"t": hour.t, **dataclasses.asdict(illumination(scene, hour.t, hour.lamps))}
        for name, hour in plan.times.items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "seed": seed,
        "split": split_of(seed),
        "size": "x".join(map(str, plan.size_wh)),
        "samples": plan.samples,
        "frames": plan.frames,
        "fps": plan.fps if plan.frames > 1 else None,
        "plan": rendered["plan"],
        "times": hours,
        "entities": rendered["entities"],
        "lights": [_light_boxes(rendered["entities"], truth.numbers) for truth in truths],
    }


def _light_boxes(entities: list[dict[str, Any]], numbers: Integers) -> list[dict[str, Any]]:
    """Return the visible signals and brake lamps of a frame with their state and box."""
    boxes = []
    for entity in entities:
        if "light" not in entity["facts"]:
            continue
        rows, columns = np.nonzero(numbers == entity["number"])
        if rows.size:
            box = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
            boxes.append({**entity["facts"], "number": entity["number"], "box_xyxy": box})
    return boxes
