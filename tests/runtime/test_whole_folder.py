"""Folders are replaced whole: whatever happens, the old one or the new one is there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dayshift.runtime import whole_folder as replace
from dayshift.runtime.errors import SinkError
from dayshift.runtime.whole_folder import whole_folder


def _write(out: Path, text: str) -> None:
    with whole_folder(out) as part:
        (part / "a").write_text(text)
        (part / "b").write_text(text)


def test_a_new_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    _write(tmp_path / "deep" / "model", "new")
    assert (tmp_path / "deep" / "model" / "b").read_text() == "new"


@pytest.mark.parametrize("has_exchange", [True, False])
def test_a_folder_is_replaced_and_nothing_is_left_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_exchange: bool
) -> None:
    if not has_exchange:
        monkeypatch.setattr(replace, "_exchange", lambda a, b: False)
    out = tmp_path / "model"
    _write(out, "old")
    (out / "stale").touch()
    _write(out, "new")
    assert sorted(path.name for path in out.iterdir()) == ["a", "b"]
    assert (out / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    out = tmp_path / "model"
    _write(out, "old")

    def fail() -> None:
        with whole_folder(out) as part:
            (part / "a").write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SinkError, match=r"cannot write .*model \(No space left on device\)"):
        fail()
    assert (out / "b").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_a_reader_never_misses_the_folder_while_it_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "model"
    _write(out, "0")
    watch = (
        "import pathlib, sys\n"
        f"file, stop = pathlib.Path({str(out / 'a')!r}), pathlib.Path({str(tmp_path / 'stop')!r})\n"
        "print('ready', flush=True)\n"
        "while not stop.exists():\n"
        "    file.read_text()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", watch], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        end = time.monotonic() + 0.5
        for count in range(200):
            _write(out, str(count))
            if time.monotonic() > end:
                break
        (tmp_path / "stop").touch()
        _, told = reader.communicate(timeout=30)
    assert (reader.returncode, told) == (0, "")
