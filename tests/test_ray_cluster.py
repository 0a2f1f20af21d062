"""`dayshift translate --cluster ray` on a real Ray cluster, whose nodes are processes of ours."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dayshift.jobs import WORK_FOLDER
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources import open_source

pytest.importorskip("ray", reason="needs the extra `cluster`")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets open

_NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
_LIMIT_S = 240.0
SEGMENTS = 6


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args=_NODE | {"num_cpus": 0})
    yield started
    started.shutdown()


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Return a folder with a video of several segments, and images."""
    folder = tmp_path / "footage"
    folder.mkdir()
    with open_source("synthetic://?size=320x240&frames=1500&pace=0") as source:
        video = VideoSink(folder / "drive.mp4", size=source.size, fps=source.fps)
        with video:
            while (frame := source.read()) is not None:
                video.write(frame.pixels, frame)
    for number in range(8):
        path = str(folder / f"{number}.png")
        assert cv2.imwrite(path, np.full((48, 64, 3), 30 * number, np.uint8))
    return folder


def start(footage: Path, out: Path, model: Path, address: str | None) -> subprocess.Popen[bytes]:
    # Named from the driver's folder, which is not the workers'.
    command = [sys.executable, "-m", "dayshift", "translate", footage.name, "--out", str(out)]
    command += ["-m", str(model), "--no-provenance", "--segment", "5"]
    env = dict(os.environ)
    if address is not None:
        command += ["--cluster", "ray"]
        env["RAY_ADDRESS"] = address
    return subprocess.Popen(command, env=env, cwd=footage.parent)


def hashes(out: Path) -> dict[str, str]:
    return {
        file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in out.rglob("*")
        if file.is_file()
    }


def wait_for(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + _LIMIT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_nodes_and_drivers_change_no_byte(
    cluster: Any, footage: Path, tiny_model: Path, tmp_path: Path
) -> None:
    assert start(footage, tmp_path / "alone", tiny_model, None).wait(_LIMIT_S) == 0
    nodes = [cluster.add_node(**_NODE) for _ in range(3)]
    out = tmp_path / "out"
    driver = start(footage, out, tiny_model, cluster.address)
    wait_for(lambda: [*out.glob("*.png"), *out.glob(f"{WORK_FOLDER}/*/*/*.json")])
    cluster.remove_node(nodes[0], allow_graceful=False)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert start(footage, out, tiny_model, cluster.address).wait(_LIMIT_S) == 0
    assert hashes(out) == hashes(tmp_path / "alone")
    assert len(hashes(out)) == 9
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_cluster_without_room_says_what_it_has(
    cluster: Any,
    footage: Path,
    tiny_model: Path,
    tmp_path: Path,
    dayshift_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    words = ["translate", footage, "--out", tmp_path / "out", "-m", tiny_model]
    done = dayshift_command(*words, "--cluster", "ray", "--cpus", "3", "--start-timeout", "3")
    assert done.code == 1
    assert "no worker within --start-timeout 3 s: each needs 3 CPUs" in done.error


def test_bad_words_for_a_cluster_are_refused(
    dayshift_command: Callable[..., Any], footage: Path, tiny_model: Path, tmp_path: Path
) -> None:
    words = ["translate", footage, "-m", tiny_model, "--out"]
    done = dayshift_command(*words, tmp_path / "out", "--cluster", "slurm://a")
    assert done.code == 2
    assert "expected ray or ray://HOST:PORT" in done.error
    done = dayshift_command(*words, "memory://out", "--cluster", "ray")
    assert done.code == 2
    assert "do not share a memory" in done.error
