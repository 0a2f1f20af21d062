"""`dayshift translate --cluster ray` on a real Ray cluster, whose nodes are processes of ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dayshift.benchmarks.bulk import add_node, hashes
from dayshift.jobs import WORK_FOLDER
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources import open_source

pytest.importorskip("ray", reason="needs the extra `cluster`")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets open

_LIMIT_S = 240.0


@pytest.fixture
def client_port() -> int:
    """Return a free port, for Ray's clients."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def cluster(client_port: int) -> Iterator[Any]:
    """Start a cluster of a head that does no work."""
    from ray.cluster_utils import Cluster

    started = Cluster()
    try:
        add_node(started, num_cpus=0, ray_client_server_port=client_port)
        yield started
    finally:
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


def wait_for(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + _LIMIT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_nodes_and_drivers_change_no_byte(
    cluster: Any, footage: Path, tiny_model: Path, tmp_path: Path
) -> None:
    assert start(footage, tmp_path / "alone", tiny_model, None).wait(_LIMIT_S) == 0
    nodes = [add_node(cluster) for _ in range(3)]
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


def test_a_cluster_is_reached_through_its_client_port(
    cluster: Any,
    client_port: int,
    footage: Path,
    tiny_model: Path,
    tmp_path: Path,
    dayshift_command: Callable[..., Any],
) -> None:
    pytest.importorskip("grpc", reason="needs ray[client]")
    add_node(cluster)
    words = ["translate", footage, "-m", tiny_model, "--no-provenance", "--segment", "5"]
    assert dayshift_command(*words, "--out", tmp_path / "alone").code == 0
    there = ["--out", tmp_path / "out", "--cluster", f"ray://127.0.0.1:{client_port}"]
    assert dayshift_command(*words, *there).code == 0
    assert hashes(tmp_path / "out") == hashes(tmp_path / "alone")
    assert len(hashes(tmp_path / "out")) == 9


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
