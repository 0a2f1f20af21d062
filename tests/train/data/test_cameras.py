from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.train.data import cameras
from dayshift.train.data.images import DataError


def test_pairs_of_other_tiers_are_left_out(data_root: Path) -> None:
    pairs = cameras.Pairs.load(data_root / "paired/pairs_train.csv", data_root, ["A"])
    assert [(len(days), len(nights)) for days, nights in pairs.scenes] == [(2, 2)]


def test_a_rendering_has_the_hours_that_are_there(data_root: Path) -> None:
    (data_root / "synth/night/train/00001.png").unlink()
    scenes = cameras.load_renderings(data_root / "synth", ["dusk", "night"])
    assert [sorted(scene.others) for scene in scenes] == [
        ["dusk", "night"],
        ["dusk"],
        ["dusk", "night"],
    ]
    assert all(scene.day.shape == scene.others["dusk"].shape for scene in scenes)


def test_renderings_without_any_of_the_hours_are_an_error(data_root: Path) -> None:
    with pytest.raises(DataError, match="blue"):
        cameras.load_renderings(data_root / "synth", ["blue"])
