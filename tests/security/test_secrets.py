"""A camera's password is in nothing that dayshift writes, shows or answers."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

SECRET = "hunter2-" + "s3cr3t"


class _Camera(http.server.SimpleHTTPRequestHandler):
    """Gives a video to whoever knows the password."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"ann:{SECRET}".encode()).decode()
        if self.headers.get("authorization") == wanted:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("www-authenticate", 'Basic realm="camera"')
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""


@pytest.fixture
def camera(street_video: Path) -> Iterator[str]:
    """Host and port of a camera."""
    handler = functools.partial(_Camera, directory=str(street_video.parent))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("is_right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("place", ["address", "environment"])
def test_a_password_is_in_no_file_and_no_line(
    camera: str, tiny_model: Path, tmp_path: Path, place: str, is_right: bool
) -> None:
    """With everything on that tells: the log, its frames, JSON, metrics, the traceback."""
    given = SECRET if is_right else f"{SECRET}-not"
    userinfo = f"ann:{given}@" if place == "address" else ""
    words = [
        "run",
        f"http://{userinfo}{camera}/street.mp4?token={SECRET}",
        str(tmp_path / "out.mp4"),
        f"frames://{tmp_path / 'frames'}",
        *("--model", str(tiny_model), "--json", str(tmp_path / "told.json"), "--give-up", "0"),
        *("--log", str(tmp_path / "events.jsonl"), "--log-frames", "--debug"),
    ]
    environment = {"DAYSHIFT_SOURCE_USER": "ann", "DAYSHIFT_SOURCE_PASSWORD": given}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "dayshift", *words],
        capture_output=True,
        check=False,
        env=os.environ | (environment if place == "environment" else {}),
    )
    assert (done.returncode == 0) == is_right, done.stderr
    written = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    if is_right:
        assert {"out.mp4", "told.json", "events.jsonl"} <= written.keys()
    for name, content in {**written, "stdout": done.stdout, "stderr": done.stderr}.items():
        assert SECRET.encode() not in content, name
        assert base64.b64encode(f"ann:{given}".encode()) not in content, name


def test_a_password_is_not_on_the_page_nor_in_the_metrics(camera: str, tiny_model: Path) -> None:
    words = [
        *("run", f"http://ann:{SECRET}@{camera}/street.mp4", "http://:0", "--loop"),
        *("--model", str(tiny_model), "--metrics", "0", "--policy", "latest"),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "dayshift", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told, addresses = "", set()
        for line in process.stderr:
            told += line
            addresses |= set(re.findall(r"http://127\.0\.0\.1:\d+/", line)) - {f"http://{camera}/"}
            if addresses and "first image" in told:
                break
        answers = []
        for address in addresses:
            for path in ("", "api/status", "metrics"):
                try:
                    with urllib.request.urlopen(f"{address}{path}", timeout=20) as answer:
                        answers.append(answer.read().decode(errors="replace"))
                except urllib.error.HTTPError:
                    continue
        process.terminate()
        told += process.stderr.read()
    assert any("settings" in answer for answer in answers)
    assert SECRET not in told + json.dumps(answers)
