"""Bad input as people give it: one line that helps, an exit code, and no half result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Dayshift = Callable[..., Any]
SYNTHETIC = "synthetic://?size=160x120&frames=8&pace=0"


def visible_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_missing_file(dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path) -> None:
    done = dayshift_command("run", "nowhere.mp4", tmp_path / "out.mp4", "-m", tiny_model)
    assert done.error.startswith("there is no file or folder 'nowhere.mp4': expected ")
    assert done.code == 1
    assert visible_files(tmp_path) == []


def test_a_text_file_named_mp4(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "fake.mp4"
    fake.write_text("this is no video\n" * 100)
    done = dayshift_command("run", fake, tmp_path / "out.mp4", "-m", tiny_model)
    assert f"cannot read {fake} as a video" in done.error
    assert done.code == 1
    assert visible_files(tmp_path) == ["fake.mp4"]


def test_a_truncated_video_leaves_no_result(
    dayshift_command: Dayshift, tiny_model: Path, street_video: Path, tmp_path: Path
) -> None:
    # The index is at the front of the file: FFmpeg reads what is left without a complaint.
    content = street_video.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])
    done = dayshift_command("run", cut, tmp_path / "out.mp4", "-m", tiny_model)
    assert "breaks off after" in done.error
    assert "truncated or damaged" in done.error
    assert done.code == 1
    assert visible_files(tmp_path) == ["cut.mp4"]


@pytest.mark.parametrize("verb", ["run", "translate", "info"])
def test_a_model_folder_with_one_flipped_byte(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path, street_video: Path, verb: str
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "damaged"))
    for graph in folder.glob("*.onnx"):
        content = bytearray(graph.read_bytes())
        content[len(content) // 2] ^= 1
        graph.write_bytes(content)
    out = tmp_path / "out"
    words = {
        "run": ["run", street_video, out / "night.mp4", "--model", folder],
        "translate": ["translate", street_video, "--out", out, "--model", folder],
        "info": ["info", folder],
    }[verb]
    done = dayshift_command(*words)
    assert "has sha256" in done.error
    assert done.error.endswith("re-download or re-export the model folder")
    assert done.code == 1
    assert not out.exists() or visible_files(out) == []


@pytest.mark.parametrize("sink", ["drive.mp4", "./drive.mp4", "link.mp4"])
def test_a_sink_that_is_the_source(
    dayshift_command: Dayshift,
    tiny_model: Path,
    street_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sink: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(street_video, "drive.mp4")
    Path("link.mp4").symlink_to("drive.mp4")
    done = dayshift_command("run", "drive.mp4", sink, "-m", tiny_model)
    assert done.error.startswith(f"{sink} is where drive.mp4 is read from, and would be written")
    assert done.code == 2
    assert Path("drive.mp4").read_bytes() == street_video.read_bytes()


@pytest.mark.parametrize("source", ["photos", "photos/", "frames://photos", "photos/1.png"])
@pytest.mark.parametrize("sink", ["photos", "photos/", "frames://photos"])
def test_a_folder_of_photos_is_not_written_over(
    dayshift_command: Dayshift,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    sink: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.png").write_bytes(b"precious")
    done = dayshift_command("run", source, sink, "-m", tiny_model)
    assert done.error.startswith(f"{sink} is where {source} is read from, and would be written")
    assert done.code == 2


def test_one_file_for_two_sinks(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    words = (tmp_path / "a.mp4", tmp_path / "b.mp4", f"{tmp_path}/./a.mp4")
    done = dayshift_command("run", SYNTHETIC, *words, "-m", tiny_model)
    assert done.error == f"{tmp_path}/./a.mp4 is named twice: give each sink a place of its own"
    assert done.code == 2
    assert visible_files(tmp_path) == []


def test_an_interrupt_is_said(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dayshift.translate.run_jobs", interrupt)
    done = dayshift_command("translate", tmp_path, "--out", tmp_path / "out", "-m", tiny_model)
    assert done.code == 130
    assert done.err.splitlines()[-1] == "interrupted"


def test_a_folder_without_images_or_videos_is_said(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    done = dayshift_command("translate", tmp_path, "--out", tmp_path / "out", "-m", tiny_model)
    assert done.code == 0
    assert f"no image and no video in {tmp_path}: nothing to translate" in done.err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_duration_that_is_none(
    dayshift_command: Dayshift, tiny_model: Path, seconds: str
) -> None:
    done = dayshift_command("run", SYNTHETIC, "null://", "-m", tiny_model, "--duration", seconds)
    assert done.error == f"got --duration {seconds}: expected seconds, more than 0"
    assert done.code == 2


def test_a_camera_that_does_not_exist(dayshift_command: Dayshift, tiny_model: Path) -> None:
    done = dayshift_command("run", "97", "null://", "-m", tiny_model)
    assert "97" in done.error
    assert "camera" in done.error
    assert done.code == 1


@pytest.mark.parametrize("verb", ["demo", "run", "translate"])
def test_a_folder_that_cannot_be_written_to(
    dayshift_command: Dayshift, tiny_model: Path, street_video: Path, tmp_path: Path, verb: str
) -> None:
    # Below a file no one can make a folder, not even root, whom permissions do not bind.
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    words = {
        "demo": ["demo", "--out", out],
        "run": ["run", street_video, out / "night.mp4", "--model", tiny_model],
        "translate": ["translate", street_video, "--out", out, "--model", tiny_model],
    }[verb]
    done = dayshift_command(*words)
    assert f"cannot create the folder {out}" in done.error
    assert done.code == 1
    assert visible_files(tmp_path) == ["file"]


def test_no_display_is_an_error_that_names_other_sinks(
    dayshift_command: Dayshift, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = dayshift_command("run", SYNTHETIC, "display://", "-m", tiny_model)
    assert done.error.startswith("cannot open a window: ")
    assert "http://" in done.error
    assert done.code == 1


def test_without_a_display_the_stream_is_shown_in_a_browser(
    dayshift_command: Dayshift, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = dayshift_command("run", "synthetic://?size=64x48&frames=3&pace=0", "-m", tiny_model)
    assert "no window here, so in a browser: " in done.err
    assert "watch it at http://127.0.0.1:" in done.err
    assert done.code == 0


@pytest.mark.parametrize("verb", ["run", "info"])
def test_a_model_that_does_not_exist(dayshift_command: Dayshift, verb: str) -> None:
    words = {"info": ["nowhere"], "run": [SYNTHETIC, "null://", "--model", "nowhere"]}[verb]
    done = dayshift_command(verb, *words)
    assert done.error.startswith("no model 'nowhere': expected ")
    assert done.code == 1


@pytest.mark.parametrize("verb", ["demo", "info", "run"])
def test_json_that_cannot_be_written(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "run.json"
    words = {
        "demo": ["--out", str(tmp_path)],
        "info": [str(tiny_model)],
        # Found out before the stream, which has no end, is started.
        "run": ["synthetic://?size=64x48", "null://", "--model", str(tiny_model)],
    }[verb]
    done = dayshift_command(verb, *words, "--json", target)
    assert str(target.parent) in done.error
    assert done.code == 1
    assert visible_files(tmp_path) == ["file"]
