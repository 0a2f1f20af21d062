"""The demo: what it draws, what it writes, and what comes with the package for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import dayshift
from dayshift.demo import MOMENTS, STRENGTHS, make_demo
from dayshift.drawing import SideBySide, Tile, contact_sheet
from dayshift.runtime.bundled import bundled_clip
from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources import open_source


def plain(height: int, width: int, level: int) -> Any:
    return np.full((height, width, 3), level, np.uint8)


# --- drawing


def test_source_is_left_and_translation_right_each_with_its_label() -> None:
    both = SideBySide("day (source)", "night (tiny)")(plain(240, 320, 200), plain(240, 320, 90))
    assert both.shape == (240, 640, 3)
    left, right = both[:, :320], both[:, 320:]
    for half, level in ((left, 200), (right, 90)):
        assert (half[60:] == level).all()
        drawn = (half[:60] != level).any(axis=2)
        assert 1000 < drawn.sum() < 60 * 320
    assert not np.array_equal(left[:60] != 200, right[:60] != 90)


def test_a_second_frame_replaces_the_first_and_may_have_another_size() -> None:
    draw = SideBySide("day", "night")
    for height, width, level in ((96, 128, 10), (96, 128, 70), (64, 200, 30)):
        both = draw(plain(height, width, level), plain(height, width, level + 1))
        assert both.shape == (height, 2 * width, 3)
        assert (both[-1, :width] == level).all()
        assert (both[-1, width:] == level + 1).all()


def test_a_label_that_is_larger_than_the_picture_is_cut_off() -> None:
    both = SideBySide("a label longer than this picture is wide", "b")(
        plain(32, 48, 10), plain(32, 48, 20)
    )
    assert both.shape == (32, 96, 3)


def test_every_row_of_a_sheet_has_all_its_tiles() -> None:
    def row(count: int) -> list[Tile]:
        return [Tile(plain(90, 160, 40 * number + 50), "tile") for number in range(count)]

    sheet = contact_sheet([row(4), row(5)], title="two rows", width=800)
    assert sheet.shape[1:] == (800, 3)
    for count in (4, 5):
        width = (800 - 10 * (count + 1)) // count
        for number in range(count):
            tile = plain(20, width, 40 * number + 50)
            left = 10 + number * (width + 10)
            columns = sheet[:, left : left + width].reshape(-1, width * 3)
            assert (columns == tile[0].reshape(-1)).all(axis=1).sum() >= 20


# --- the files


def test_the_demo_writes_video_sheet_and_report(
    tiny_model: Path, street_video: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder"
    shown: list[int] = []
    made = make_demo(
        out, model=tiny_model, clip=street_video, on_progress=lambda done, _: shown.append(done)
    )
    assert sorted(path.name for path in out.iterdir()) == ["demo.json", "demo.mp4", "demo.png"]
    assert shown == list(range(1, 13))
    with av.open(str(made.video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == (320, 120)
        assert sum(1 for _ in container.decode(stream)) == 12
    sheet = cv2.imread(str(made.sheet))
    assert sheet is not None
    assert sheet.shape[1] == 1920
    result = json.loads(made.report.read_text())
    assert result == made.result
    assert result["frames_out"] == result["frames_in"] == 12
    assert result["model"] == "tiny"
    assert result["files"]["video"] == str(made.video)


def test_the_sheet_shows_moments_of_all_parts_and_every_strength(
    tiny_model: Path, street_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []

    def remember(tiles: Any, *, title: str) -> Any:
        rows.extend(tiles)
        return contact_sheet(tiles, title=title)

    monkeypatch.setattr("dayshift.demo.contact_sheet", remember)
    make_demo(tmp_path, model=tiny_model, clip=street_video)
    days, nights, strengths = rows
    assert len(days) == len(nights) == MOMENTS
    assert len({tile.picture.tobytes() for tile in days}) == MOMENTS
    with dayshift.load(tiny_model) as model:
        for day, night in zip(days, nights, strict=True):
            assert np.array_equal(night.picture, model(day.picture))
    assert [tile.caption for tile in strengths] == [f"strength {s:g}" for s in STRENGTHS]
    levels = [tile.picture.mean() for tile in strengths]
    assert len(set(levels)) == len(STRENGTHS)
    assert any(np.array_equal(strengths[0].picture, day.picture) for day in days)


@pytest.mark.parametrize("frames", [1, 5])
def test_a_slow_machine_translates_the_first_frames_alone(
    tiny_model: Path, street_video: Path, tmp_path: Path, frames: int
) -> None:
    made = make_demo(tmp_path, model=tiny_model, clip=street_video, frames=frames)
    with av.open(str(made.video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames
    assert made.result["frames_out"] == made.result["frames_in"] == frames
    assert cv2.imread(str(made.sheet)) is not None


def test_a_truncated_clip_leaves_nothing(
    tiny_model: Path, street_video: Path, tmp_path: Path
) -> None:
    content = street_video.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match="breaks off after"):
        make_demo(tmp_path / "out", model=tiny_model, clip=cut)
    assert list((tmp_path / "out").iterdir()) == []


# --- what is bundled


def test_the_bundled_clip_is_eight_seconds_of_720p() -> None:
    with open_source(bundled_clip()) as source:
        assert source.size == (1280, 720)
        assert source.frame_count is not None
        assert source.fps is not None
        assert source.frame_count / source.fps >= 8
    assert bundled_clip().stat().st_size < 8_000_000


def test_the_bundled_model_makes_night_of_the_bundled_clip() -> None:
    with open_source(bundled_clip()) as source, dayshift.load("day2night") as model:
        frame = source.read()
        assert frame is not None
        night = model(frame.pixels)
        model.strength = 0.0
        assert np.array_equal(model(frame.pixels), frame.pixels)
    day_level, night_level = frame.pixels.mean(), night.mean()
    assert 0.08 * day_level < night_level < 0.6 * day_level
    # Night has lights: not all of the picture is dark.
    assert night.max() > 120


def test_the_bundled_model_has_both_forms_and_a_good_int8() -> None:
    with dayshift.load("day2night") as model:
        forms = model.spec.forms
        assert forms.maps is not None
        assert forms.full.files.keys() == {"fp32", "fp16", "int8"}
        # The maps form is for CPUs, which compute fp16 graphs in fp32.
        assert forms.maps.files.keys() >= {"fp32", "int8"}
        int8 = model.spec.quality["int8"]
    assert int8.psnr_db is not None
    assert int8.psnr_db >= 38
    assert int8.ssim is not None
    assert int8.ssim >= 0.97
