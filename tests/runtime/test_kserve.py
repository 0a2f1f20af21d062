"""Frames through a model server: the protocol against a server in this process, see `fakes`."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.live import load_live
from dayshift.runtime.backends import check_backend, open_backend
from dayshift.runtime.backends.server_address import parse_server
from dayshift.runtime.errors import BackendError, ModelError, UsageError
from dayshift.runtime.model import load
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.live_model import LiveModel
from dayshift.runtime.streaming.loading import Choice

Pixels = npt.NDArray[np.uint8]
Street = Callable[[int, int], Pixels]
SIZE = (48, 64)
OUTPUTS = {"maps": ("gain", "light"), "full": ("image",)}


@pytest.fixture(scope="module")
def fakes() -> Any:
    path = Path(__file__).parents[1] / "fakes" / "kserve.py"
    spec = importlib.util.spec_from_file_location("fake_kserve", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fake_kserve"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


Serve = Callable[..., Any]


@pytest.fixture
def serve(fakes: Any, pristine_model: Path) -> Iterator[Serve]:
    """Start a server of the tiny model, which tells what it serves as Triton does."""
    with contextlib.ExitStack() as stack:

        def start(form: str = "maps", precision: str = "fp32", **behaviour: Any) -> Any:
            files = (load_spec(pristine_model).form(form)).files  # type: ignore[arg-type]
            file = files[precision]  # type: ignore[index]
            told = {"facts": {"sha256": file.sha256, "precision": precision}, **behaviour}
            graph = (pristine_model / file.path).read_bytes()
            server = fakes.FakeServer(graph, OUTPUTS[form], fakes.Behaviour(**told))
            stack.callback(server.stop)
            return server

        yield start


def behaviour_of(server: Any) -> Any:
    return server._service.behaviour


def inputs_of(frame: Pixels, strength: float = 1.0) -> dict[str, npt.NDArray[Any]]:
    return {"frame": frame[None], "strength": np.array([strength], np.float32)}


def connect(server: Any, model: Path, form: str = "maps.", **options: object) -> Any:
    graph = (model / f"{form}fp32.onnx").read_bytes()
    shapes = {"frame": (1, *SIZE, 3), "strength": (1,)}
    return open_backend(server.address(**options), graph, shapes, "fp32")


@pytest.mark.parametrize("form", ["maps", "full"])
@pytest.mark.parametrize("shared_memory", ["on", "off"])
def test_images_are_those_of_the_engine_of_this_machine(
    serve: Serve, pristine_model: Path, street: Street, form: str, shared_memory: str
) -> None:
    server = serve(form, "int8")
    address = server.address(shared_memory=shared_memory)
    with (
        load(pristine_model, backend=address, size=SIZE) as served,
        load(pristine_model, backend="openvino", precision="int8", form=form, size=SIZE) as local,
    ):
        assert (served.backend_name, served.backend_version) == ("kserve", "2.99.0")
        assert (served.form, served.precision, served.sha256) == (form, "int8", local.sha256)
        assert served.device == f"127.0.0.1:{server.port}"
        for strength in (1.0, 0.3):
            served.strength = local.strength = strength
            for size in (SIZE, (51, 70)):
                for _ in range(2):  # sent, then shared
                    frame = street(*size)
                    assert np.array_equal(served(frame), local(frame))
    used = [request for request in behaviour_of(server).requests if not request.raw_input_contents]
    assert bool(used) == (shared_memory == "on")


def test_what_was_shared_is_let_go_of_and_has_no_name(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server = serve()
    backend = connect(server, pristine_model)
    backend.infer(inputs_of(street(*SIZE)))
    assert len(behaviour_of(server).regions) == 1
    assert not list(Path("/dev/shm").glob("dayshift-*"))
    backend.close()
    backend.close()
    assert behaviour_of(server).regions == {}
    with pytest.raises(BackendError, match="was closed"):
        backend.infer(inputs_of(street(*SIZE)))


def test_a_fork_is_a_connection_of_its_own(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    first = connect(serve(), pristine_model)
    second = first.fork()
    bright, dark = street(*SIZE), street(*SIZE) // 4
    for _ in range(3):
        a, b = first.infer(inputs_of(bright)), second.infer(inputs_of(dark))
        assert b["light"].mean() < a["light"].mean() / 2
    first.close()
    second.infer(inputs_of(dark))
    second.close()


@pytest.mark.parametrize(
    "inputs",
    [
        {"frame": np.zeros((1, 48, 60, 3), np.uint8), "strength": np.ones(1, np.float32)},
        {"frame": np.zeros((1, *SIZE, 3), np.uint8)},
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    serve: Serve, pristine_model: Path, inputs: dict[str, npt.NDArray[Any]]
) -> None:
    with (
        contextlib.closing(connect(serve(), pristine_model)) as backend,
        pytest.raises(BackendError, match=r"was opened for inputs .*, got "),
    ):
        backend.infer(inputs)


def test_an_input_of_the_wrong_type_is_refused_and_spoils_nothing(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    wrong = {"frame": np.zeros((1, *SIZE, 3), np.float32), "strength": np.ones(1, np.float32)}
    with contextlib.closing(connect(serve(), pristine_model)) as backend:
        for _ in range(2):  # sent, then shared
            with pytest.raises(BackendError, match="kserve failed to run the graph") as caught:
                backend.infer(wrong)
            assert "\n" not in str(caught.value)
            backend.infer(inputs_of(street(*SIZE)))


def test_a_server_with_another_graph_is_refused(serve: Serve, pristine_model: Path) -> None:
    server = serve(facts={"sha256": "ab" * 32, "precision": "fp32"})
    expected = r"serves another graph as 'tiny' \(sha256 abababababab…, expected .*write its repos"
    with pytest.raises(BackendError, match=expected):
        load(pristine_model, backend=server.address(), size=SIZE)


def test_a_server_that_does_not_tell_is_believed(serve: Serve, pristine_model: Path) -> None:
    """OpenVINO Model Server has no configuration to ask for."""
    server = serve(facts=None)
    with load(pristine_model, backend=server.address(), precision="fp32", size=SIZE) as model:
        assert model.precision == "fp32"
        assert "on trust: it does not tell" in model.selection


@pytest.mark.parametrize(("precision", "form"), [("int8", "auto"), ("auto", "full")])
def test_what_the_server_does_not_serve_cannot_be_asked_for(
    serve: Serve, pristine_model: Path, precision: str, form: str
) -> None:
    with pytest.raises(ModelError, match="serves fp32 of form maps, not precision"):
        load(pristine_model, backend=serve().address(), precision=precision, form=form)


def test_an_answer_that_is_late_is_an_error_and_the_next_call_begins_anew(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server = serve()
    with contextlib.closing(connect(server, pristine_model, timeout_ms=150)) as backend:
        frame = inputs_of(street(*SIZE))
        expected = backend.infer(frame)["gain"].copy()
        behaviour_of(server).delay_s = 0.6
        with pytest.raises(BackendError, match=r"of timeout_ms=150$"):
            backend.infer(frame)
        behaviour_of(server).delay_s = 0.0
        assert np.array_equal(backend.infer(frame)["gain"], expected)
        assert len(behaviour_of(server).regions) == 1


def test_the_first_frame_has_a_limit_of_its_own(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server = serve(delay_s=0.4)
    with (
        contextlib.closing(
            connect(server, pristine_model, open_ms=100, timeout_ms=5000)
        ) as backend,
        pytest.raises(BackendError, match=r"of open_ms=100$"),
    ):
        backend.infer(inputs_of(street(*SIZE)))


def test_the_same_backend_works_again_when_the_server_does(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server = serve()
    with contextlib.closing(connect(server, pristine_model)) as backend:
        frame = inputs_of(street(*SIZE))
        expected = backend.infer(frame)["gain"].copy()
        server.stop()
        with pytest.raises(BackendError, match=r"kserve failed to run the graph on 127.0.0.1"):
            backend.infer(frame)
        server.start()
        for _ in range(2):  # sent, then shared
            assert np.array_equal(backend.infer(frame)["gain"], expected)
        assert len(behaviour_of(server).regions) == 1


def test_without_shared_memory_frames_are_sent(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server = serve(shares=False)
    frame = inputs_of(street(*SIZE))
    with contextlib.closing(connect(server, pristine_model)) as backend:
        assert np.array_equal(backend.infer(frame)["gain"], backend.infer(frame)["gain"])
    with (
        contextlib.closing(connect(server, pristine_model, shared_memory="on")) as backend,
        pytest.raises(BackendError, match=r"cannot share memory .* Unable to open shared memory"),
    ):
        backend.infer(frame)
    assert not list(Path("/dev/shm").glob("dayshift-*"))


def test_a_model_with_a_memory_gets_a_stream_of_its_own(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server = serve(has_memory=True)
    with contextlib.closing(connect(server, pristine_model)) as backend:
        for _ in range(3):
            backend.infer(inputs_of(street(*SIZE)))
    told = [request.parameters for request in behaviour_of(server).requests]
    assert len({parameters["sequence_id"].int64_param for parameters in told}) == 1
    assert told[0]["sequence_id"].int64_param > 0
    assert [p["sequence_start"].bool_param for p in told] == [True, False, False]


def open_stream(model: Path, address: str, control: Control) -> LiveModel:
    first = load(model, backend=address, size=SIZE)
    return load_live(Choice(model, address), control, first=first, size=SIZE)


def test_a_stream_outlives_its_server_and_returns_to_it(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server, control = serve(), Control()
    with open_stream(pristine_model, server.address(retry_s=0.1), control) as stream:
        expected = stream.translate(street(*SIZE)).image
        server.stop()
        image = stream.translate(street(*SIZE)).image
        assert stream.backend_name in ("openvino", "tensorrt")
        assert np.abs(image.astype(int) - expected).max() <= 2
        server.start()
        until = time.monotonic() + 20
        while stream.backend_name != "kserve" and time.monotonic() < until:
            stream.translate(street(*SIZE))
            time.sleep(0.01)
        assert stream.backend_name == "kserve"
        assert np.array_equal(stream.translate(street(*SIZE)).image, expected)
    said = [event.message for event in control.events.recent]
    assert "opening auto in 0.0 s (attempt 1)" in said[0]
    assert said[-1] == f"127.0.0.1:{server.port} is back: kserve translates"


def test_the_command_line_streams_through_a_server(
    serve: Serve, pristine_model: Path, dayshift_command: Any
) -> None:
    server = serve("maps", "int8")
    words = ["run", "synthetic://?size=64x48&frames=9&pace=0", "null://", "-m", pristine_model]
    done = dayshift_command(*words, "--backend", server.address(), "--json", "-")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["backend"], told["backend_version"], told["frames_out"]) == ("kserve", "2.99.0", 9)
    assert (told["precision_requested"], told["precision_actual"]) == ("auto", "int8")


def test_without_the_client_library_its_extra_is_named(
    run_python: Callable[..., str], pristine_model: Path
) -> None:
    told = run_python(
        "from dayshift.runtime.errors import MissingDependency\n"
        "from dayshift.runtime.model import load\n"
        f"try: load({str(pristine_model)!r}, backend='kserve+grpc://localhost:1/tiny')\n"
        "except MissingDependency as error: print(error)",
        blocked=("tritonclient",),
    )
    assert "cannot import tritonclient" in told
    assert "pip install 'dayshift[serving]'" in told


def test_a_stream_without_fallback_waits_for_its_server_so_long_and_no_longer(
    serve: Serve, pristine_model: Path, street: Street
) -> None:
    server = serve()
    address = server.address(fallback="none", give_up_s=0)
    with open_stream(pristine_model, address, Control()) as stream:
        stream._backoff = type(stream._backoff)(first_s=0.001, cap_s=0.002)
        server.stop()
        expected = "no engine works any more: .*does not serve"
        with pytest.raises(BackendError, match=rf"{expected} 'tiny'"):
            stream.translate(street(*SIZE))


def test_a_server_that_is_not_there_is_one_line(pristine_model: Path) -> None:
    address = "kserve+grpc://127.0.0.1:9/tiny?connect_ms=500"
    expected = r"127.0.0.1:9 does not serve 'tiny' \(.*\): start the server, or give it longer"
    with pytest.raises(BackendError, match=expected) as caught:
        load(pristine_model, backend=address)
    assert "\n" not in str(caught.value)


def test_a_model_that_the_server_does_not_have_is_one_line(
    serve: Serve, pristine_model: Path
) -> None:
    address = serve().address().replace("/tiny", "/other")
    with pytest.raises(BackendError, match=r"does not serve 'other' .*unknown model: 'other'"):
        load(pristine_model, backend=address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("kserve+grpc://host/model", "cannot read the server"),
        ("kserve+grpc://host:8001", "cannot read the server"),
        ("kserve+grpc://host:80010/model", "cannot read the server"),
        ("kserve+grpc://host:8001/a/b", "cannot read the server"),
        ("kserve+grpc://host:8001/m?timeout=3", "has the option 'timeout': expected one of"),
        ("kserve+grpc://host:8001/m?timeout_ms=soon", "timeout_ms='soon': expected a number"),
        ("kserve+grpc://host:8001/m?fallback=maybe", "fallback='maybe': expected auto or none"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused(address: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        check_backend(address)


def test_memory_is_shared_on_this_host_alone() -> None:
    assert parse_server("kserve+grpc://localhost:8001/m").may_share_memory
    assert not parse_server("kserve+grpc://10.0.0.2:8001/m").may_share_memory
    assert not parse_server("kserve+grpc://localhost:8001/m?shared_memory=off").may_share_memory
    assert parse_server("kserve+grpcs://h:1/m").is_secure
