"""What is read from the cache, this user wrote; what is half written is not there."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import JsonValue

from dayshift.runtime.cache import SealedCache, cache_root
from dayshift.runtime.errors import CacheError

FACTS: dict[str, JsonValue] = {"graph": "ab" * 32, "shapes": [1, 720, 1280, 3]}
NAME = "a.engine"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(content: bytes = b"native code") -> SealedCache:
    cache = SealedCache("engines")
    cache.write(NAME, content, FACTS)
    return cache


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_was_written_is_read_by_the_next_process_too() -> None:
    cache = write()
    entry = SealedCache("engines").read(NAME)
    assert entry is not None
    assert (entry.content, entry.facts) == (b"native code", FACTS)
    # As it was given: the engine's own tools read it there.
    assert cache.path(NAME).read_bytes() == b"native code"
    assert json.loads((cache.folder / "a.engine.json").read_text())["facts"] == FACTS


def test_an_entry_that_was_never_written_is_none() -> None:
    assert SealedCache("engines").read(NAME) is None


def test_nobody_else_may_look_inside(root: Path) -> None:
    old = os.umask(0)
    try:
        cache = write()
    finally:
        os.umask(old)
    assert mode(root / "engines") == 0o700
    assert {mode(path) for path in cache.folder.iterdir()} == {0o600}


def test_the_folder_is_the_users_cache_unless_a_variable_names_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DAYSHIFT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "dayshift"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "dayshift"


@pytest.mark.parametrize("damage", ["content", "facts", "seal", "cut", "renamed", "no sidecar"])
def test_what_does_not_match_its_seal_is_taken_for_absent(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = write()
    path, sidecar = cache.path(NAME), cache.folder / "a.engine.json"
    told = json.loads(sidecar.read_text())
    read = NAME
    match damage:
        case "content":
            path.write_bytes(b"native c0de")
        case "facts":
            sidecar.write_text(json.dumps({**told, "facts": {**FACTS, "graph": "cd" * 32}}))
        case "seal":
            sidecar.write_text(json.dumps({**told, "seal": "0" * 64}))
        case "cut":
            path.write_bytes(b"nativ")
        case "renamed":
            read = "b.engine"
            path.rename(cache.path(read))
            sidecar.rename(cache.folder / "b.engine.json")
        case _:
            sidecar.write_text("{")
    assert cache.read(read) is None
    assert "it is made anew" in caplog.text
    caplog.clear()
    assert cache.read(read, tell=False) is None
    assert caplog.text == ""


def test_an_entry_of_another_cache_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As one that came with a downloaded model, from somebody else's machine."""
    theirs = write(b"their code").folder
    monkeypatch.setenv("DAYSHIFT_CACHE_DIR", str(tmp_path / "mine"))
    mine = SealedCache("engines")
    for name in (NAME, "a.engine.json"):
        shutil.copy(theirs / name, mine.folder / name)
    assert mine.read(NAME) is None


def test_a_folder_that_was_open_to_others_is_closed_and_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = write().folder
    folder.chmod(0o777)
    cache = SealedCache("engines")
    assert mode(folder) == 0o700
    assert "was open to other users" in caplog.text
    assert cache.read(NAME) is None
    cache.write(NAME, b"anew", FACTS)
    assert SealedCache("engines").read(NAME) is not None


@pytest.mark.parametrize("key", ["open to others", "short"])
def test_a_key_that_others_may_know_is_replaced(key: str) -> None:
    folder = write().folder
    if key == "short":
        (folder / "seal.key").write_bytes(b"guess")
    else:
        (folder / "seal.key").chmod(0o644)
    cache = SealedCache("engines")
    assert cache.read(NAME) is None
    assert mode(folder / "seal.key") == 0o600
    assert len((folder / "seal.key").read_bytes()) == 32


def test_a_folder_that_is_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    root.mkdir()
    (root / "engines").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        CacheError, match=r"is not a folder of this user's own: .* remove it or set"
    ):
        SealedCache("engines")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to someone else")
def test_a_folder_of_another_user_is_refused(root: Path) -> None:
    os.chown(write().folder, 12345, -1)
    with pytest.raises(CacheError, match="is not a folder of this user's own"):
        SealedCache("engines")


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = write(b"first")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CacheError, match=r"cannot write to .* \(No space left .*make room"):
            cache.write(NAME, b"second", FACTS)
    assert {path.name for path in cache.folder.iterdir()} == {NAME, "a.engine.json", "seal.key"}
    entry = cache.read(NAME)
    assert entry is not None
    assert entry.content == b"first"


def test_a_cache_that_cannot_be_made_is_told(root: Path) -> None:
    root.write_text("a file")
    with pytest.raises(CacheError, match=r"cannot open the engine cache .*DAYSHIFT_CACHE_DIR"):
        SealedCache("engines")


def test_a_lock_is_held_by_one_thread_at_a_time() -> None:
    inside, most = 0, 0
    gate = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with SealedCache("engines").lock(NAME):
            with gate:
                inside += 1
                most = max(most, inside)
            threading.Event().wait(0.02)
            with gate:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_who_waits_for_a_lock_may_give_up() -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    cache = SealedCache("engines")
    with (
        cache.lock(NAME),
        pytest.raises(KeyboardInterrupt),
        SealedCache("engines").lock(NAME, on_wait=give_up),
    ):
        pytest.fail("it was held twice")
    with cache.lock(NAME, on_wait=give_up):
        pass  # and is free again


def test_a_lock_ends_with_its_process() -> None:
    code = (
        "import os; from dayshift.runtime.cache import SealedCache\n"
        f"with SealedCache('engines').lock({NAME!r}): os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 9

    def give_up() -> None:
        raise AssertionError("the lock outlived its process")

    with SealedCache("engines").lock(NAME, on_wait=give_up):
        pass


def test_processes_that_start_together_agree_on_one_key() -> None:
    code = (
        "from dayshift.runtime.cache import SealedCache\nprint(SealedCache('engines')._key.hex())"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({run.communicate()[0] for run in runs}) == 1


def test_a_lost_entry_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert SealedCache("engines").read("never.engine") is None
    assert caplog.text == ""
