"""A real Triton server on the CPU, over the repository that `dayshift serve-repository` writes.

`DAYSHIFT_TRITON` names a Python interpreter with nvidia-pytriton, whose wheel carries the server,
and openvino, which the server's Python backend hosts:

    python3 -m venv .triton && .triton/bin/pip install nvidia-pytriton openvino
    DAYSHIFT_TRITON=.triton/bin/python make test ARGS="-m slow tests/test_triton.py"
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import dayshift
from dayshift.export.serving.repository import write_triton
from dayshift.export.serving.tensors import signature_of
from dayshift.export.serving.triton_config import Serving, triton_config
from dayshift.runtime.sources import open_source

PYTHON = os.environ.get("DAYSHIFT_TRITON")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None,
        reason="no Triton: set DAYSHIFT_TRITON to a Python that has nvidia-pytriton and openvino",
    ),
]

_PLACES = """
import json, pathlib, sys, sysconfig, pytriton
root = pathlib.Path(pytriton.__file__).parent
version = f"{sys.version_info[0]}.{sys.version_info[1]}"
stub = root / "tritonserver/python_backend_stubs" / version / "triton_python_backend_stub"
print(json.dumps({
    "server": str(root / "tritonserver/bin/tritonserver"),
    "backend": str(root / "tritonserver/backends/python"),
    "stub": str(stub),
    "packages": str(root.parent),
    "libraries": f"{root.parent / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}",
}))
"""


class Triton:
    """The server's process, which can be ended and started again on the same port."""

    def __init__(self, repository: Path, scratch: Path) -> None:
        assert PYTHON is not None
        done = subprocess.run([PYTHON, "-c", _PLACES], capture_output=True, text=True, check=True)
        places = json.loads(done.stdout)
        backends = scratch / "backends"
        shutil.copytree(places["backend"], backends / "python")
        shutil.copy(places["stub"], backends / "python")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = scratch / "triton.log"
        self._words = [
            places["server"],
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            f"--grpc-port={self.port}",
            "--grpc-address=127.0.0.1",
            "--allow-http=false",
            "--allow-metrics=false",
            "--disable-auto-complete-config",  # what is written must be complete
        ]
        self._env = {
            **os.environ,
            "LD_LIBRARY_PATH": places["libraries"],
            "PYTHONPATH": places["packages"],
            "PATH": f"{Path(PYTHON).absolute().parent}:{os.environ['PATH']}",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )
        before = self.log.read_bytes().count(b"Started GRPCInferenceService")
        until = time.monotonic() + 120
        while self.log.read_bytes().count(b"Started GRPCInferenceService") == before:
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def address(self, name: str, **options: object) -> str:
        query = "&".join(f"{key}={value}" for key, value in options.items())
        return f"kserve+grpc://127.0.0.1:{self.port}/{name}?{query}".rstrip("?")


Start = Callable[[Path], Triton]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Triton] = []

    def run(repository: Path) -> Triton:
        started.append(Triton(repository, tmp_path / "triton"))
        return started[-1]

    yield run
    for server in started:
        server.stop(signal.SIGTERM)


@pytest.mark.parametrize("form", ["maps", "full"])
def test_the_bundled_model_looks_the_same_from_a_server(
    start: Start, tmp_path: Path, form: str
) -> None:
    serving = Serving(instances=2, threads=1)
    write_triton("day2night", tmp_path / "r", serving, size=(360, 640), form=form)
    server = start(tmp_path / "r")
    with (
        dayshift.load("day2night", backend="openvino", precision="int8", form=form) as local,
        open_source("synthetic://?size=640x360&frames=4&pace=0") as source,
    ):
        frames = [frame.pixels for frame in iter(source.read, None)]
        for shared in ("on", "off"):
            address = server.address("day2night", shared_memory=shared)
            with dayshift.load("day2night", backend=address, size=(360, 640)) as served:
                assert (served.form, served.precision) == (form, "int8")
                assert served.sha256 == local.sha256
                for frame in frames:
                    assert np.array_equal(served(frame), local(frame))


def test_a_stream_lives_when_its_server_is_killed_and_started_again(
    start: Start, tmp_path: Path, dayshift_command: Any
) -> None:
    write_triton("day2night", tmp_path / "r", Serving(), size=(360, 640))
    server = start(tmp_path / "r")
    log = tmp_path / "log.jsonl"

    def said(text: str) -> bool:
        return log.exists() and text in log.read_text()

    def interfere() -> None:
        for wanted, act in (
            ("first image", server.stop),
            ("openvino int8 translates again", server.start),
            ("is back: kserve translates", lambda: os.kill(os.getpid(), signal.SIGINT)),
        ):
            until = time.monotonic() + 60
            while not said(wanted) and time.monotonic() < until:
                time.sleep(0.05)
            act()

    other = threading.Thread(target=interfere)
    other.start()
    done = dayshift_command(
        *["run", "synthetic://?size=640x360&fps=20", "null://", "--duration", "200"],
        *["--backend", server.address("day2night", retry_s=0.5), "--log", log, "--json", "-"],
    )
    other.join()
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["backend"] == "kserve"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    told = [e["message"] for e in events if e.get("part") == "engine"]
    assert "opening auto" in told[0]
    # A busy machine also says that the engine takes long.
    back = f"127.0.0.1:{server.port} is back: kserve translates"
    assert told.index("openvino int8 translates again") < told.index(back)
    assert report["frames_in"] == report["frames_out"] + report["frames_dropped"]


def write_counter(folder: Path, *, free_batch: bool, has_memory: bool) -> None:
    """A repository of one graph: `image` is `frame` plus one, or plus how many frames came."""
    side: list[Any] = [None if free_batch else 1, 2]
    frame = helper.make_tensor_value_info("frame", TensorProto.FLOAT, side)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, side)
    count, after = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])
        for name in ("state_count", "state_count_next")
    )
    one = onnx.numpy_helper.from_array(np.ones((1, 2), np.float32), "one")
    nodes = [helper.make_node("Add", ["frame", "one"], ["image"])]
    inputs, outputs = [frame], [image]
    if has_memory:
        nodes = [
            helper.make_node("Add", ["state_count", "one"], ["state_count_next"]),
            helper.make_node("Add", ["frame", "state_count_next"], ["image"]),
        ]
        inputs, outputs = [frame, count], [image, after]
    graph = helper.make_graph(nodes, "counter", inputs, outputs, [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    content = bytes(model.SerializeToString())
    serving = Serving(batch=8, batch_wait_ms=50)
    config = triton_config(
        "counter",
        signature_of(content),
        serving,
        warm={"frame": (1, 2)},
        facts={"float_type": "f32"},
    )
    (folder / "counter/1").mkdir(parents=True)
    (folder / "counter/config.pbtxt").write_text(config)
    (folder / "counter/1/model.onnx").write_bytes(content)
    code = Path(dayshift.__file__).parent / "export/serving/triton_model.py"
    shutil.copy(code, folder / "counter/1/model.py")


def ask(server: Triton, value: float, stream: int = 0, *, is_first: bool = False) -> float:
    from tritonclient import grpc

    port = grpc.InferInput("frame", [1, 2], "FP32")
    port.set_data_from_numpy(np.full((1, 2), value, np.float32))
    with grpc.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        result = client.infer("counter", [port], sequence_id=stream, sequence_start=is_first)
        return float(result.as_numpy("image")[0, 0])


def test_triton_keeps_the_state_of_each_stream_apart(start: Start, tmp_path: Path) -> None:
    write_counter(tmp_path / "r", free_batch=False, has_memory=True)
    server = start(tmp_path / "r")
    assert [ask(server, 10, 1, is_first=n == 0) for n in range(3)] == [11, 12, 13]
    assert [ask(server, 50, 2, is_first=n == 0) for n in range(2)] == [51, 52]
    assert ask(server, 10, 1) == 14
    assert ask(server, 10, 1, is_first=True) == 11


def test_triton_batches_what_several_clients_send(start: Start, tmp_path: Path) -> None:
    write_counter(tmp_path / "r", free_batch=True, has_memory=False)
    server = start(tmp_path / "r")
    answers: dict[int, float] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: ask(server, n)})) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: n + 1.0 for n in range(8)}
    from tritonclient import grpc

    with grpc.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        told = client.get_inference_statistics("counter").model_stats[0]
    assert told.inference_count >= 8
    assert told.execution_count < told.inference_count
