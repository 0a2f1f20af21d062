"""What was really rendered, by Blender: the sample scenes of the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dayshift.train.data.cameras import load_renderings
from dayshift.train.synth.plan import draw_plan

SAMPLES = Path(__file__).parents[2] / "data/synth"
SEEDS = (9, 14, 31)
SKY = 23


def read(kind: str, seed: int, suffix: str = "png") -> Any:
    image = cv2.imread(str(SAMPLES / kind / f"train/{seed:05d}.{suffix}"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def edges_of(image: Any) -> Any:
    """Where a label differs from its right or lower neighbour, one pixel to each side."""
    edges = np.zeros(image.shape, np.uint8)
    edges[:, :-1] |= image[:, :-1] != image[:, 1:]
    edges[:-1] |= image[:-1] != image[1:]
    return cv2.dilate(edges, np.ones((3, 3), np.uint8)).astype(bool)


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_lie_on_the_edges_of_the_day(seed: int) -> None:
    grey = cv2.cvtColor(read("day", seed, "jpg"), cv2.COLOR_BGR2GRAY).astype(np.float32)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    edges = edges_of(read("instances", seed))

    def contrast(shift: int) -> float:
        moved = np.roll(edges, shift, axis=1)
        return float(slope[moved].mean() / slope[~moved].mean())

    assert contrast(0) > 1.8
    # A truth that lies a few pixels beside the picture would fit better elsewhere.
    assert all(contrast(0) > contrast(shift) for shift in (-8, -5, 5, 8))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sky_is_what_is_infinitely_far(seed: int) -> None:
    assert np.array_equal(read("labels", seed) == SKY, read("instances", seed) == 0)
    depth = read("depth", seed)
    assert depth.dtype == np.uint16
    assert (depth[read("labels", seed) == SKY] == 65535).all()
    assert (depth[-1] < 4000).all()  # the ground before the camera is nearer than 40 m


@pytest.mark.parametrize("seed", SEEDS)
def test_a_night_is_dark_but_for_its_lamps(seed: int) -> None:
    day, dusk, night = (read(time, seed, "jpg").mean() for time in ("day", "dusk", "night"))
    assert day > dusk > night
    lamps = read("lamps", seed, "jpg")
    assert lamps.max() > 240
    bright = lamps.max(axis=2) > 200
    assert read("night", seed, "jpg").max(axis=2)[bright].mean() > 150


@pytest.mark.parametrize("seed", SEEDS)
def test_a_record_repeats_the_plan_that_its_seed_gives(seed: int) -> None:
    record = json.loads((SAMPLES / f"scenes/{seed:05d}.json").read_text())
    plan = json.loads(json.dumps(draw_plan(seed).to_json()))
    assert record["plan"] == plan
    numbers = {entity["number"] for entity in record["entities"]} | {0}
    assert set(np.unique(read("instances", seed)).tolist()) <= numbers


def test_training_reads_a_set_as_it_was_rendered() -> None:
    scenes = load_renderings(SAMPLES, ["dusk", "night"])
    assert [sorted(scene.others) for scene in scenes] == [["dusk", "night"]] * len(SEEDS)
