"""Ten thousand mutated names, images and videos: an error of ours in one line, or it works."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.sinks import open_sink
from dayshift.runtime.sources import open_source
from dayshift.runtime.sources.faults import parse_faults
from dayshift.runtime.uri import parse_uri, redact

SEEDS = [
    "0",
    "/dev/video97",
    "v4l2:///dev/video97?size=1280x720&fps=30&format=MJPG",
    "csi://0?size=1280x720&fps=30&flip=2",
    "gst:videotestsrc ! appsink",
    "synthetic://?size=64x48&fps=30&frames=2&pace=0&faults=stall@5:3,drop@9&seed=4",
    "synthetic://?size=64x48&frames=1&pace=0&faults=random:4",
    "frames:///nowhere/at/all",
    "clips/of nowhere.mp4",
    "screen://:97.0+10,20?size=64x48&fps=5",
]
PIECES = [
    "",
    "?",
    "&",
    "=",
    "#",
    "@",
    ":",
    "//",
    "%00",
    "%",
    "\0",
    "\n",
    "ÿ",
    "9" * 30,
    "-1",
    "nan",
    "x",
]
NETWORK = ("rtsp", "rtmp", "http", "https", "srt", "udp", "rtp")


def mutations(count: int, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    for _ in range(count):
        text = dice.choice(SEEDS)
        for _ in range(dice.randint(1, 4)):
            at, length = dice.randint(0, len(text)), dice.randint(0, 4)
            text = text[:at] + dice.choice(PIECES) + text[at + length :]
        yield text


def check(error: DayshiftError) -> None:
    assert str(error)
    assert "Traceback" not in str(error)


def test_mutated_names_of_sources_open_or_are_one_line(tmp_path: Path) -> None:
    opened = 0
    for text in mutations(6000, seed=1):
        # What a camera or the network would answer is not the question here.
        if text.startswith(NETWORK):
            continue
        try:
            with open_source(text) as source:
                source.read()
            opened += 1
        except DayshiftError as error:
            check(error)
    assert opened > 50


def test_mutated_addresses_never_show_their_password() -> None:
    dice = random.Random(2)
    for _ in range(3000):
        scheme = dice.choice(NETWORK)
        path = "".join(dice.choice([*PIECES[:8], "a", "1", "/"]) for _ in range(dice.randint(0, 8)))
        text = f"{scheme}://ann:s3cr3t@cam/{path}"
        assert "s3cr3t" not in redact(text)
        try:
            uri = parse_uri(text, opaque=NETWORK)
            told = repr(uri) + uri.text
        except DayshiftError as error:
            told = str(error)
        assert "s3cr3t" not in told


def test_mutated_fault_scripts_are_read_or_are_one_line() -> None:
    dice = random.Random(3)
    for _ in range(2000):
        text = "stall@5:3,disconnect@12,random:4,size@1.5:0.25"
        at = dice.randint(0, len(text))
        try:
            parse_faults(text[:at] + dice.choice(PIECES) + text[at + dice.randint(0, 6) :])
        except DayshiftError as error:
            check(error)


def test_mutated_names_of_sinks_open_or_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dice = random.Random(4)
    for _ in range(500):
        text = dice.choice(["null://", "frames://out?format=png", "gopher://x", "night.xyz"])
        at = dice.randint(0, len(text))
        try:
            open_sink(text[:at] + dice.choice(PIECES) + text[at:]).abort()
        except DayshiftError as error:
            check(error)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_mutated_images_are_read_or_are_one_line(suffix: str, tmp_path: Path) -> None:
    dice = np.random.default_rng(5)
    picture = dice.integers(0, 256, (24, 32, 3), np.uint8)
    whole = np.asarray(cv2.imencode(suffix, picture)[1]).copy()
    path = tmp_path / f"image{suffix}"
    read = 0
    for _ in range(400):
        content = whole.copy()
        for _ in range(int(dice.integers(12))):
            content[dice.integers(len(content))] = dice.integers(256)
        is_cut = dice.integers(2) == 1
        path.write_bytes(content[: dice.integers(1, len(content)) if is_cut else None].tobytes())
        try:
            with open_source(path, size=(16, 16)) as source:
                frame = source.read()
            assert frame is not None
            assert frame.pixels.shape == (16, 16, 3)
            read += 1
        except DayshiftError as error:
            check(error)
    assert read > 0


@pytest.mark.slow
def test_mutated_videos_are_read_or_are_one_line(tmp_path: Path, street_video: Path) -> None:
    dice = np.random.default_rng(6)
    whole = np.frombuffer(street_video.read_bytes(), np.uint8)
    path = tmp_path / "video.mp4"
    for _ in range(150):
        content = whole.copy()
        for _ in range(int(dice.integers(1, 40))):
            content[dice.integers(len(content))] = dice.integers(256)
        path.write_bytes(content[: dice.integers(1, len(content) + 1)].tobytes())
        try:
            with open_source(path) as source:
                while source.read() is not None:
                    pass
        except DayshiftError as error:
            check(error)
