"""Videos in segments: what kills, damage and lost workers leave, and places in the network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from dayshift.executor import Ended, Here, WorkerLost
from dayshift.jobs import WORK_FOLDER, plan_jobs
from dayshift.runtime.model import Model, load
from dayshift.runtime.provenance.verification import verify_file
from dayshift.runtime.streaming.pipeline import OnProgress
from dayshift.tasks import JoinVideo, Request, Task, TranslateSegment
from dayshift.translate import Outcome, run_jobs

FRAMES = 75
# Signatures have a time in them; what is compared byte by byte goes without.
PLAIN = ("--no-provenance", "--segment", "0.9")

Dayshift = Callable[..., Any]


def write_video(path: Path, *, sound: str | None = None) -> Path:
    """Write 3 s of 25 frames/s with a key frame every second."""
    stream: Any
    audio: Any
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    canvas = rng.integers(0, 255, (96, 256, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        audio = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number in range(FRAMES):
            pixels = np.ascontiguousarray(canvas[:, number : number + 128])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
        if audio is not None:
            wave = np.sin(np.arange(3 * 48000) / 20).astype(np.float32)[None] / 2
            heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            heard.sample_rate, heard.pts = 48000, 0
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
    return path


@pytest.fixture
def model(tiny_model: Path) -> Iterator[Model]:
    with load(tiny_model) as loaded:
        yield loaded


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in" / "drive.mp4")


def run(
    source: Path, out: Path, model: Model, *, request: Request | None = None, **options: Any
) -> Outcome:
    executor = options.pop("executor", None) or Here(model, request or Request(segment_s=0.9))
    return run_jobs(plan_jobs([source], out), executor, **options)


class Shaky:
    """An executor whose worker is lost, or whose network fails, at chosen tasks."""

    def __init__(self, model: Model, failing: Callable[[Task], Exception | None]) -> None:
        self._here = Here(model, Request(segment_s=0.9))
        self._failing = failing
        self._task: Task | None = None
        self.has_room = self._here.has_room

    def submit(self, task: Task) -> None:
        self._here.submit(task)
        self._task = task

    def wait(self, on_frames: OnProgress) -> Ended:
        assert self._task is not None
        error = self._failing(self._task)
        ended = self._here.wait(on_frames)
        return ended if error is None else Ended(self._task, error=error)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


# --- kills


def test_a_kill_costs_one_segment_and_no_byte(
    dayshift_command: Dayshift, drive: Path, tiny_model: Path, tmp_path: Path
) -> None:
    words = ["translate", drive, "-m", tiny_model, *PLAIN]
    assert dayshift_command(*words, "--out", tmp_path / "once").code == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "dayshift", *map(str, words), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    records: list[Path] = []
    while not records and process.poll() is None:
        records = list(out.glob(f"{WORK_FOLDER}/**/*.json"))
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = dayshift_command(*words, "--out", out, "--json", "-")
    assert again.code == 0, again.err
    if records:  # else it was done before it could be killed
        assert json.loads(again.out)["frames"] < FRAMES
    assert files(out) == ["drive.mp4"]
    assert (out / "drive.mp4").read_bytes() == (tmp_path / "once/drive.mp4").read_bytes()


def test_segments_of_another_request_are_not_taken(
    model: Model, drive: Path, tmp_path: Path
) -> None:
    def fail(task: Task) -> Exception | None:
        is_it = isinstance(task, TranslateSegment) and task.segment.number == 2
        return ConnectionError("away") if is_it else None

    out = tmp_path / "out"
    unfinished = run(drive, out, model, executor=Shaky(model, fail))
    assert len(unfinished.failed) == 1
    model.strength = 0.5
    assert run(drive, out, model).frames == FRAMES
    assert files(out) == ["drive.mp4"]


def test_a_damaged_segment_is_made_again(model: Model, drive: Path, tmp_path: Path) -> None:
    def spoil(task: Task) -> Exception | None:
        if isinstance(task, JoinVideo) and not spoiled:
            file = task.plan.segments[1].file
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
            spoiled.append(file)
        return None

    spoiled: list[Path] = []
    outcome = run(drive, tmp_path / "out", model, executor=Shaky(model, spoil))
    assert spoiled
    assert not outcome.failed
    assert outcome.frames == FRAMES + 25
    assert frame_count(tmp_path / "out" / "drive.mp4") == FRAMES


# --- workers that are lost


def test_what_a_lost_worker_did_is_done_again(model: Model, drive: Path, tmp_path: Path) -> None:
    lost: list[Task] = []

    def lose_once(task: Task) -> Exception | None:
        if task in lost:
            return None
        lost.append(task)
        return WorkerLost("gone")

    outcome = run(drive, tmp_path / "out", model, executor=Shaky(model, lose_once), retries=1)
    assert [job.source for job, _ in outcome.translated] == [drive]
    assert outcome.retries == len(lost) == 5  # a plan, three segments and a join
    assert outcome.skipped == []


def test_a_failure_names_file_and_segment(model: Model, drive: Path, tmp_path: Path) -> None:
    def fail(task: Task) -> Exception | None:
        is_it = isinstance(task, TranslateSegment) and task.segment.number == 1
        return ConnectionError("the store is away") if is_it else None

    outcome = run(drive, tmp_path / "out", model, executor=Shaky(model, fail), retries=2)
    ((_, line),) = outcome.failed
    assert line == f"{drive} (segment 2 of 3): ConnectionError: the store is away"
    assert outcome.retries == 2
    assert not (tmp_path / "out" / "drive.mp4").exists()


def test_a_bad_file_is_not_tried_again(model: Model, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    outcome = run(broken, tmp_path / "out", model, retries=5)
    assert outcome.retries == 0
    assert "broken.mp4" in outcome.failed[0][1]


# --- what is kept


@pytest.mark.parametrize(
    ("suffix", "sound", "kept"),
    [("mp4", "aac", "aac"), ("mkv", "mp3", "mp3"), ("mov", "pcm_s16le", "aac")],
)
def test_the_sound_is_kept(
    model: Model, tmp_path: Path, suffix: str, sound: str, kept: str
) -> None:
    source = write_video(tmp_path / f"drive.{suffix}", sound=sound)
    run(source, tmp_path / "out", model)
    (result,) = (tmp_path / "out").iterdir()
    with av.open(str(result)) as container, av.open(str(source)) as original:
        (audio,) = container.streams.audio
        assert audio.codec_context.codec.canonical_name == kept
        samples = [
            np.concatenate([f.to_ndarray().mean(axis=0) for f in one.decode(audio=0)])
            for one in (container, original)
        ]
    assert abs(len(samples[0]) - len(samples[1])) <= 2 * 1152
    assert frame_count(result) == FRAMES


def test_times_and_marks_are_kept(model: Model, drive: Path, tmp_path: Path) -> None:
    run(drive, tmp_path / "out", model)
    result = tmp_path / "out" / "drive.mp4"
    with av.open(str(result)) as container:
        times = [f.pts * f.time_base for f in container.decode(video=0) if f.pts and f.time_base]
    assert times == [Fraction(number, 25) for number in range(1, FRAMES)]
    assert verify_file(result).status in ("authentic", "marked")


def test_the_progress_is_that_of_the_file_at_work(
    model: Model, drive: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int | None]] = []
    run(drive, tmp_path / "out", model, on_progress=lambda *one: told.append(one))
    assert told == sorted(told)
    assert told[-1] == (FRAMES, FRAMES)


# --- places in the network


def test_a_store_is_read_and_written(
    dayshift_command: Dayshift, drive: Path, tiny_model: Path, tmp_path: Path
) -> None:
    upath = pytest.importorskip("upath", reason="needs the extra `cluster`")
    store = upath.UPath("memory://footage")
    (store / "day").mkdir(parents=True, exist_ok=True)
    (store / "day" / "drive.mp4").write_bytes(drive.read_bytes())
    done, content = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))
    assert done
    (store / "day" / "one.png").write_bytes(content.tobytes())
    words = ["translate", "memory://footage/day", "-m", tiny_model, *PLAIN, "--json", "-"]
    told = dayshift_command(*words, "--out", "memory://footage/night")
    assert told.code == 0, told.err
    found = store.fs.find("/footage/night")
    assert found == ["/footage/night/drive.mp4", "/footage/night/one.png"]
    dayshift_command("translate", drive, "-m", tiny_model, *PLAIN, "--out", tmp_path / "here")
    there = (store / "night" / "drive.mp4").read_bytes()
    assert there == (tmp_path / "here" / "drive.mp4").read_bytes()
    again = dayshift_command(*words, "--out", "memory://footage/night")
    assert len(json.loads(again.out)["skipped"]) == 2


def test_a_store_that_cannot_be_reached_says_what_to_install(
    dayshift_command: Dayshift, tmp_path: Path
) -> None:
    done = dayshift_command("translate", "nosuchstore://footage", "--out", tmp_path / "out")
    assert done.code == 1
    assert "nosuchstore://footage" in done.error
    assert "pip install 'dayshift[cluster]'" in done.error


def test_a_result_in_a_store_is_not_an_input(
    dayshift_command: Dayshift, tiny_model: Path, drive: Path
) -> None:
    upath = pytest.importorskip("upath", reason="needs the extra `cluster`")
    store = upath.UPath("memory://inside")
    store.mkdir(parents=True, exist_ok=True)
    (store / "drive.mp4").write_bytes(drive.read_bytes())
    done = dayshift_command("translate", "memory://inside", "--out", "memory://inside")
    assert done.code == 2
    assert "would be overwritten" in done.error
