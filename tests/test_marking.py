"""What the verbs save is marked, unless that was declined."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dayshift.demo import make_demo
from dayshift.marking import Marking
from dayshift.runtime.frame import Frame
from dayshift.runtime.provenance.verification import verify_file
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sources import open_source

SYNTHETIC = "synthetic://?size=320x240&frames=4&pace=0"
Run = Callable[..., Any]


def save_photo(path: Path) -> Path:
    pixels = np.full((48, 64, 3), 128, np.uint8)
    path.parent.mkdir(parents=True)
    with open_sink(f"{path.parent}/") as sink:
        sink.write(pixels, Frame(pixels, 0, 0.0, None, path.name))
    return path


@pytest.mark.parametrize("words", [[], ["--no-provenance"]])
def test_run_and_translate_mark_what_they_save(
    dayshift_command: Run, tiny_model: Path, tmp_path: Path, words: list[str]
) -> None:
    photo = save_photo(tmp_path / "in" / "photo.jpg")
    video, frames, out = tmp_path / "out.mp4", tmp_path / "frames", tmp_path / "out"
    done = dayshift_command("run", SYNTHETIC, video, f"{frames}/", "-m", tiny_model, *words)
    assert done.code == 0, done.err
    done = dayshift_command("translate", photo, "--out", out, "-m", tiny_model, *words)
    assert done.code == 0, done.err
    for path in (video, frames / "000003.png", out / "photo.jpg"):
        found = verify_file(path)
        assert (found.status == "unmarked") == bool(words)
        assert found.model == (None if words else "tiny")
        assert dayshift_command("verify", path).code == (3 if words else 0)


def test_a_translated_video_is_marked(
    dayshift_command: Run, tiny_model: Path, street_video: Path, tmp_path: Path
) -> None:
    done = dayshift_command("translate", street_video, "--out", tmp_path, "-m", tiny_model)
    assert done.code == 0, done.err
    assert verify_file(tmp_path / street_video.name).model == "tiny"


def test_the_demo_is_marked(tiny_model: Path, street_video: Path, tmp_path: Path) -> None:
    made = make_demo(tmp_path / "demo", model=tiny_model, clip=street_video)
    assert verify_file(made.video).model == verify_file(made.sheet).model == "tiny"
    plain = make_demo(
        tmp_path / "plain", model=tiny_model, clip=street_video, marking=Marking(False)
    )
    assert verify_file(plain.video).status == verify_file(plain.sheet).status == "unmarked"


def test_the_label_and_the_stabiliser_are_had_by_their_options(
    dayshift_command: Run, tiny_model: Path, tmp_path: Path
) -> None:
    for name, words in (("plain", []), ("with", ["--label", "--stabilise"])):
        target = f"{tmp_path / name}/"
        done = dayshift_command("run", SYNTHETIC, target, "-m", tiny_model, *words)
        assert done.code == 0, done.err
    images = []
    for name in ("plain", "with"):
        with open_source(tmp_path / name / "000003.png") as source:
            read = source.read()
            assert read is not None
            images.append(read.pixels.astype(int))
    corner = np.abs(images[0] - images[1])[200:, :120]
    assert corner.max() > 60
