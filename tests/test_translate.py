"""`dayshift translate`: where results go, and what bad files and interruptions leave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from dayshift.jobs import Job, plan_jobs
from dayshift.runtime.errors import UsageError
from dayshift.runtime.model import load
from dayshift.translate import translate_files

Dayshift = Callable[..., Any]


def write_image(path: Path, *, size: tuple[int, int] = (48, 64), level: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))
    return path


def read_image(path: Path) -> Any:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def visible_files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def results(jobs: list[Job], out: Path) -> list[str]:
    return [job.result.relative_to(out).as_posix() for job in jobs]


# --- where results go


def test_results_keep_names_and_places(tmp_path: Path) -> None:
    footage, out = tmp_path / "footage", tmp_path / "out"
    for name in ("b.png", "a/c.JPG", "a/drive.mp4", "drive.avi", "notes.txt", ".hidden.png"):
        path = footage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert results(plan_jobs([footage], out), out) == [
        "a/c.JPG",
        "a/drive.mp4",
        "b.png",
        "drive.avi.mp4",
    ]


def test_two_inputs_for_one_result_are_refused(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / folder / "one.png") for folder in ("a", "b")]
    with pytest.raises(UsageError, match=r"a/one\.png and .*b/one\.png would both become"):
        plan_jobs(paths, tmp_path / "out")


def test_an_input_named_twice_is_one_job(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a" / "one.png")
    assert len(plan_jobs([image, image.parent, image], tmp_path / "out")) == 1


def test_a_result_over_an_input_is_refused(tmp_path: Path) -> None:
    image = write_image(tmp_path / "one.png")
    for inputs in ([image], [tmp_path]):
        with pytest.raises(UsageError, match="is itself an input and would be overwritten"):
            plan_jobs(inputs, tmp_path)


def test_results_inside_the_input_folder_are_not_inputs(tmp_path: Path) -> None:
    write_image(tmp_path / "day.png")
    out = tmp_path / "night"
    write_image(out / "day.png")
    assert results(plan_jobs([tmp_path], out), out) == ["day.png"]


def test_an_input_folder_inside_the_results_is_an_input(tmp_path: Path) -> None:
    write_image(tmp_path / "day" / "one.png")
    assert results(plan_jobs([tmp_path / "day"], tmp_path), tmp_path) == ["one.png"]


# --- what is done


def test_images_and_videos_are_translated_whole(
    dayshift_command: Dayshift, tiny_model: Path, street_video: Path, tmp_path: Path
) -> None:
    inputs = [
        write_image(tmp_path / "in" / "landscape.png", size=(359, 641)),
        write_image(tmp_path / "in" / "portrait.jpg", size=(128, 72)),
        street_video,
    ]
    out = tmp_path / "out"
    done = dayshift_command(
        "translate", *inputs, "--out", out, "-m", tiny_model, "--strength", "0", "--json", "-"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["frames"] == 14
    assert visible_files(out) == ["landscape.png", "portrait.jpg", "street.mp4"]
    # At strength 0 the image is the frame: nothing was squashed, moved or cut.
    assert np.array_equal(read_image(inputs[0]), read_image(out / "landscape.png"))
    with av.open(str(out / "street.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


def test_lamps_are_those_of_the_model(
    dayshift_command: Dayshift, lit_model: Path, tiny_model: Path, tmp_path: Path
) -> None:
    photo = write_image(tmp_path / "in" / "photo.png", size=(64, 96))
    words = ["translate", photo, "--out", tmp_path / "out", "--lamps", "0.25"]
    done = dayshift_command(*words, "-m", tiny_model)
    assert (done.code, done.out) == (2, "")
    assert "model tiny has no control for lamps: leave it" in done.error
    assert dayshift_command(*words, "-m", lit_model).code == 0
    with load(lit_model, lamps=0.25) as model:
        expected = model(read_image(photo))
    assert np.array_equal(read_image(tmp_path / "out" / "photo.png"), expected)


def test_a_worker_of_a_cluster_burns_the_lamps_that_were_asked_for(
    run_python: Callable[..., str], lit_model: Path, tmp_path: Path
) -> None:
    photo = write_image(tmp_path / "in" / "photo.png", size=(64, 96))
    # In a process of its own, as on a cluster: a worker claims cores.
    run_python(
        "from pathlib import Path\n"
        "from dayshift.jobs import plan_jobs\n"
        "from dayshift.ray_worker import RayWorker, order_model\n"
        "from dayshift.tasks import Request, TranslateImage\n"
        f"order = order_model({str(lit_model)!r}, 'auto', 'auto', None, 0.25)\n"
        "worker = RayWorker()\n"
        "worker.start(order, Request(), 1)\n"
        f"[job] = plan_jobs([Path({str(photo)!r})], Path({str(tmp_path / 'out')!r}))\n"
        "worker.do(TranslateImage(job))\n"
    )
    with load(lit_model, lamps=0.25) as model:
        expected = model(read_image(photo))
    assert np.array_equal(read_image(tmp_path / "out" / "photo.png"), expected)


def test_one_bad_input_does_not_lose_the_others(
    dayshift_command: Dayshift, tiny_model: Path, street_video: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "in" / "broken.mp4"
    good = write_image(tmp_path / "in" / "good.png")
    broken.write_text("no video")
    out = tmp_path / "out"
    words = [broken, good, tmp_path / "in" / "missing.png", street_video]
    done = dayshift_command("translate", *words, "--out", out, "-m", tiny_model, "--json", "-")
    assert done.code == 1
    assert visible_files(out) == ["good.png", "street.mp4"]
    failed = json.loads(done.out)["failed"]
    assert [Path(one["input"]).name for one in failed] == ["broken.mp4", "missing.png"]
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert str(broken) in errors[0]
    assert "Traceback" not in done.err


def test_a_second_run_does_only_what_is_missing(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png"):
        write_image(folder / name)
    words = ["translate", folder, "--out", out, "-m", tiny_model, "--json", "-"]
    assert len(json.loads(dayshift_command(*words).out)["translated"]) == 2
    (out / "b.png").unlink()
    kept = (out / "a.png").stat().st_mtime_ns
    again = json.loads(dayshift_command(*words).out)
    assert (len(again["translated"]), len(again["skipped"])) == (1, 1)
    assert (out / "a.png").stat().st_mtime_ns == kept
    assert len(json.loads(dayshift_command(*words, "--overwrite").out)["translated"]) == 2
    (out / "b.png").unlink()
    assert " 1 file, 1 frame, " in dayshift_command(*words[:-2]).out
    assert " 2 files, 2 frames, " in dayshift_command(*words[:-2], "--overwrite").out


def test_an_interrupt_keeps_whole_results_and_removes_the_unfinished_one(
    tiny_model: Path, long_video: Path, tmp_path: Path
) -> None:
    """A part under the final name would be taken for complete by the next run."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("first.mp4", "second.mp4"):
        shutil.copy(long_video, folder / name)
    files: list[str] = []

    def interrupt(done: int, expected: int | None) -> None:
        if len(files) == 2 and done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with load(tiny_model) as model, pytest.raises(KeyboardInterrupt):
            translate_files(
                plan_jobs([folder], out), model, on_file=files.append, on_progress=interrupt
            )
    finally:
        signal.signal(signal.SIGINT, previous)
    assert files == ["first.mp4", "second.mp4"]
    assert visible_files(out) == ["first.mp4"]
