from __future__ import annotations

from pathlib import Path

from dayshift.train.data import cameras


def test_pairs_of_other_tiers_are_left_out(data_root: Path) -> None:
    pairs = cameras.Pairs.load(data_root / "paired/pairs_train.csv", data_root, ["A"])
    assert [(len(days), len(nights)) for days, nights in pairs.scenes] == [(2, 2)]


def test_triples_need_a_name_in_all_three_folders(data_root: Path) -> None:
    (data_root / "synth/night/train/00001.png").unlink()
    assert len(cameras.Triples.load(data_root / "synth").day) == 2
