"""Throws damaged input at what reads input of others: `python -m dayshift.benchmarks.fuzz`.

Requests to the page, model folders, images and the words for sources and sinks are mutated from
valid ones. Each must be served or refused in one line of a `DayshiftError`; anything else, also
taking too long, is a finding. A seed gives the same inputs again.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dayshift.benchmarks.fuzz_mutations import mutate_bytes, mutate_json, mutate_text
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.frame import Frame
from dayshift.runtime.model import load
from dayshift.runtime.model_files import describe_file, load_spec, read_graph
from dayshift.runtime.provenance.verification import verify_file
from dayshift.runtime.sinks.images import encode_image
from dayshift.runtime.sources.images import ImageSource
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.uri import parse_uri
from dayshift.runtime.web.access import Limits
from dayshift.runtime.web.desk import Desk
from dayshift.runtime.web.server import PageServer

SLOW_S = 10.0  # of CPU time; a socket may wait for so long
_HANG_S = 120
_ENGINE_SHARE = 0.05  # of the model folders go on to the engine, which takes a while
_ENDLESS = Limits(requests=(1e9, 1e9), changes=(1e9, 1e9), offers=(1e9, 1e9), failures=(1e9, 1e9))

_OFFER = json.dumps(
    {
        "sdp": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 103\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\na=mid:0\r\n"
        "a=rtcp-mux\r\na=rtpmap:103 H264/90000\r\na=fmtp:103 level-asymmetry-allowed=1;"
        "packetization-mode=1;profile-level-id=42e01f\r\na=rtcp-fb:103 nack pli\r\n"
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n"
        f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\n"
        "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n",
        "is_comparing": False,
    }
)
_REQUESTS = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /frame?after=0&source=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /api/status HTTP/1.1\r\nHost: localhost\r\nCookie: dayshift_1=x\r\n\r\n",
    "GET /recordings/1 HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n",
    "GET /live.mjpg?token=abc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "POST /api/control HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    "Content-Type: application/json\r\nContent-Length: 42\r\nConnection: close\r\n\r\n"
    '{"strength": 0.5, "is_frozen": true     }\n',
    "POST /api/snapshot HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "POST /api/offer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(_OFFER)}\r\nConnection: close\r\n\r\n{_OFFER}",
)
# What the page says where there is no WebRTC, or where there are too many viewers already.
_EXPECTED = ("501", "503")
_WORDS = (
    "synthetic://?size=1280x720&fps=30",
    "v4l2:///dev/v4l/by-id/usb-046d_C920-video-index0",
    "rtsp://user:secret@camera.local:554/stream?transport=tcp",
    "frames://folder?format=jpg",
    "segments://folder?seconds=600&keep=3",
    "http://0.0.0.0:8080",
    "clip.mp4",
)


class Fuzzer:
    """Mutates, tries and counts. A context manager.

    Attributes:
        findings: What must not happen, one line each.
        outcomes: How often each kind of input was served or refused.
    """

    def __init__(self, seed: int, model: Path | None = None) -> None:
        self.findings: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self._random = np.random.default_rng(seed)
        self._folder = Path(tempfile.mkdtemp(prefix="dayshift-fuzz-"))
        self._model = model or model_folder("day2night")
        self._spec = json.loads((self._model / "model.json").read_text())
        self._picture = np.asarray(self._random.integers(0, 256, (48, 64, 3)), np.uint8)
        self._page = PageServer(Desk(Control()), port=0, limits=_ENDLESS)
        self._port = int(self._page.name.rstrip("/").rpartition(":")[2])

    def __enter__(self) -> Fuzzer:
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, count: int) -> None:
        """Try so many inputs: two fifths each requests and model folders, the rest the others."""
        kinds = ("request", "request", "folder", "folder", "image", "words")
        for number in range(count):
            kind = kinds[number % len(kinds)] if number % 5 else kinds[number % 4]
            attempt: Callable[[], str] = getattr(self, f"_try_{kind}")
            faulthandler.dump_traceback_later(_HANG_S, exit=True)
            started_at = time.process_time()
            try:
                outcome = attempt()
            except DayshiftError as error:
                outcome = "refused"
                if "\n" in str(error) or not str(error):
                    self.findings.append(f"{number} {kind}: not one line: {str(error)!r}")
            except Exception as error:
                outcome = "broken"
                self.findings.append(f"{number} {kind}: {type(error).__name__}: {error}"[:300])
            if time.process_time() - started_at > SLOW_S:
                self.findings.append(f"{number} {kind}: took over {SLOW_S:g} s of CPU time")
            self.outcomes[f"{kind} {outcome}"] += 1
        faulthandler.cancel_dump_traceback_later()
        self._check_page()

    def _try_request(self) -> str:
        request = _REQUESTS[self._random.integers(len(_REQUESTS))]
        content = mutate_bytes(self._random, request.encode(), most=2)
        self._page.board.publish(self._picture, Frame(self._picture, 0, time.perf_counter(), 0.0))
        answer = self._send(content)
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "none"
        if (status.startswith("5") and status not in _EXPECTED) or b"Traceback" in answer:
            raise RuntimeError(f"the page answered {answer[:80]!r} to {content[:200]!r}")
        return "served" if status.startswith("2") else "refused"

    def _send(self, content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._port), timeout=SLOW_S) as connection:
            answer = b""
            try:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                while len(answer) < 65536 and (chunk := connection.recv(65536)):
                    answer += chunk
            except ConnectionError:  # hung up on: an answer too
                pass
            return answer

    def _check_page(self) -> None:
        answer = self._send(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            self.findings.append(f"the page is gone: {answer[:80]!r}")

    def _try_folder(self) -> str:
        folder = self._folder / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._model, folder)
        goes_on = self._random.random() < _ENGINE_SHARE
        if goes_on or self._random.random() < 0.2:
            self._damage_graph(folder, keeps_hash=not goes_on)
        elif self._random.random() < 0.5:
            content = json.dumps(mutate_json(self._random, self._spec), ensure_ascii=False)
            (folder / "model.json").write_bytes(content.encode("utf-8", "surrogatepass"))
        else:
            path = folder / "model.json"
            path.write_bytes(mutate_bytes(self._random, path.read_bytes()))
        spec = load_spec(folder)
        for form in (spec.forms.full, spec.forms.maps):
            for file in form.files.values() if form else ():
                read_graph(folder, file)
        if goes_on:
            load(folder, backend="openvino", size=(64, 64)).close()
        return "served"

    def _damage_graph(self, folder: Path, *, keeps_hash: bool) -> None:
        """Damage every graph, in the second case with hashes that say it is right."""
        spec: dict[str, Any] = json.loads(json.dumps(self._spec))
        for form in filter(None, spec["forms"].values()):
            for precision, file in form["files"].items():
                path = folder / file["path"]
                path.write_bytes(mutate_bytes(self._random, path.read_bytes()))
                if not keeps_hash:
                    form["files"][precision] = describe_file(path).model_dump()
        (folder / "model.json").write_text(json.dumps(spec), encoding="utf-8")

    def _try_image(self) -> str:
        suffix = (".png", ".jpg")[self._random.integers(2)]
        path = self._folder / f"image{suffix}"
        path.write_bytes(mutate_bytes(self._random, encode_image(self._picture, path)))
        try:
            with ImageSource(path) as source:
                source.read()
        finally:
            verify_file(path)
        return "served"

    def _try_words(self) -> str:
        parse_uri(mutate_text(self._random, _WORDS[self._random.integers(len(_WORDS))]))
        return "served"


def main() -> None:
    """Fuzz, print what came of it, and exit with 1 where there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started_at = time.monotonic()
    with Fuzzer(options.seed) as fuzzer:
        fuzzer.run(options.count)
    seconds = time.monotonic() - started_at
    print(f"{options.count} inputs, seed {options.seed}, {seconds:.0f} s")
    for outcome, count in sorted(fuzzer.outcomes.items()):
        print(f"  {outcome:20}{count:7}")
    for finding in fuzzer.findings:
        print(f"FINDING {finding}")
    raise SystemExit(1 if fuzzer.findings else 0)


if __name__ == "__main__":
    main()
