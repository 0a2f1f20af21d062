from __future__ import annotations

import ast
import dataclasses
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from dayshift.runtime.errors import MissingDependency, UsageError
from dayshift.train.synth.blender import worker
from dayshift.train.synth.light import Hour
from dayshift.train.synth.render import SetPlan, SynthError, find_blender, render_set

WIDTH, HEIGHT = 96, 54
StandIn = Callable[..., str]
TIMES = {"day": Hour(0.0), "dusk": Hour(0.5), "night": Hour(1.0)}


def plan_of(out: Path, count: int = 4, *, frames: int = 1) -> SetPlan:
    return SetPlan(out, range(9, 9 + count), (WIDTH, HEIGHT), TIMES, frames=frames)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_set_holds_pictures_truth_and_a_record(tmp_path: Path, stand_in: StandIn) -> None:
    out = tmp_path / "set"
    calls: list[tuple[int, int]] = []
    made = render_set(plan_of(out, 2), python=stand_in(), on_scene=lambda *c: calls.append(c))
    assert made == 2
    assert calls == [(1, 2), (2, 2)]
    kinds = ["day", "depth", "dusk", "instances", "labels", "lamps", "night", "scenes"]
    assert sorted(path.name for path in out.iterdir()) == kinds
    assert (out / "day/train/00009.jpg").exists()
    assert (out / "day/test/00010.jpg").exists()  # every tenth seed
    labels = cv2.imread(str(out / "labels/train/00009.png"), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    assert set(labels.ravel().tolist()) == {23, 11, 19}
    record = json.loads((out / "scenes/00009.json").read_text())
    assert record["times"]["dusk"]["t"] == 0.5
    (light,) = record["lights"][0]
    assert (light["light"], light["state"]) == ("traffic", "red")
    assert light["box_xyxy"][2] > light["box_xyxy"][0]


def test_a_sequence_has_flow_between_its_frames(tmp_path: Path, stand_in: StandIn) -> None:
    out = tmp_path / "set"
    render_set(plan_of(out, 1, frames=3), python=stand_in())
    names = [f"00009-{k:03d}" for k in (1, 2, 3)]
    assert [p.stem for p in sorted((out / "night/train").iterdir())] == names
    assert [p.stem for p in sorted((out / "flow/train").iterdir())] == names[:2]
    assert [p.stem for p in sorted((out / "occlusion/train").iterdir())] == names[:2]


def test_any_number_of_workers_makes_the_same_set(tmp_path: Path, stand_in: StandIn) -> None:
    for workers in (1, 3):
        render_set(plan_of(tmp_path / str(workers)), workers=workers, python=stand_in())
    assert content(tmp_path / "1") == content(tmp_path / "3")


def test_scenes_that_are_there_are_left_alone(tmp_path: Path, stand_in: StandIn) -> None:
    out = tmp_path / "set"
    python = stand_in()
    render_set(plan_of(out, 2), python=python)
    before = content(out)
    kept = out / "night/train/00009.jpg"
    kept.write_bytes(b"mine")
    assert render_set(plan_of(out, 3), python=python) == 1
    assert kept.read_bytes() == b"mine"
    assert content(out).keys() > before.keys()


def test_what_a_killed_command_left_is_taken_away_and_what_another_does_is_not(
    tmp_path: Path, stand_in: StandIn
) -> None:
    out = tmp_path / "set"
    left, busy = (out / f".00009.{number}.part" for number in (1, 2))
    for folder in (left, busy):
        folder.mkdir(parents=True)
        (folder / "lamps.001.exr").touch()
    os.utime(left, (0, 0))
    render_set(plan_of(out, 1), python=stand_in())
    assert not left.exists()
    assert busy.exists()


def test_another_hour_is_developed_from_kept_layers(tmp_path: Path, stand_in: StandIn) -> None:
    out = tmp_path / "set"
    plan = dataclasses.replace(plan_of(out, 2), keep_layers=True)
    render_set(plan, python=stand_in())
    nights = content(out / "night")
    more = dataclasses.replace(plan, times={**plan.times, "night-lamps000": Hour(1.0, 0.0)})
    assert render_set(more, python=stand_in("raise SystemExit('rendered again')")) == 2
    assert content(out / "night") == nights
    unlit = cv2.imread(str(out / "night-lamps000/train/00009.jpg"))
    lit = cv2.imread(str(out / "night/train/00009.jpg"))
    assert unlit is not None
    assert lit is not None
    assert unlit.mean() < lit.mean()


def test_an_hour_whose_layers_were_not_kept_is_rendered(tmp_path: Path, stand_in: StandIn) -> None:
    out = tmp_path / "set"
    render_set(plan_of(out, 2), python=stand_in())
    more = dataclasses.replace(plan_of(out, 2), times={"blue": Hour(0.75)})
    assert render_set(more, python=stand_in()) == 2
    assert (out / "blue/train/00009.jpg").exists()
    assert render_set(plan_of(out, 2), python=stand_in()) == 0  # the first hours are known still


def test_what_the_renderer_prints_while_it_loads_is_no_answer() -> None:
    tree = ast.parse(Path(worker.__file__).read_text())
    imported = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not any((node.module or "").startswith("dayshift") for node in imported)


def test_a_worker_that_dies_costs_one_try(tmp_path: Path, stand_in: StandIn) -> None:
    mark = tmp_path / "died"
    dies = (
        f"mark = Path({str(mark)!r})\n"
        "if job['seed'] == 10 and not mark.exists():\n"
        "    mark.touch()\n"
        "    os._exit(3)"
    )
    out = tmp_path / "set"
    assert render_set(plan_of(out, 3), python=stand_in(dies)) == 3
    assert mark.exists()
    assert len(list((out / "scenes").iterdir())) == 3


def test_a_scene_that_fails_twice_is_named_and_the_others_are_kept(
    tmp_path: Path, stand_in: StandIn
) -> None:
    out = tmp_path / "set"
    dies = "if job['seed'] == 11:\n    os._exit(3)"
    with pytest.raises(SynthError, match=r"scene 11 failed twice \(.*code 3\)"):
        render_set(plan_of(out, 4), python=stand_in(dies))
    assert {path.stem for path in (out / "scenes").iterdir()} == {"00009", "00010"}
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []
    assert threading.active_count() < 5


def test_without_blender_the_error_says_what_to_do(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    with pytest.raises(MissingDependency, match=r"has no bpy .* --python ENV/bin/python"):
        find_blender(str(bare))
    with pytest.raises(UsageError, match="cannot run"):
        find_blender(str(tmp_path / "none"))
