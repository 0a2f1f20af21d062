"""What tests of several folders share: the tiny model, short videos, and the command line."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pytest

from dayshift.cli import main
from dayshift.runtime.sinks.video import VideoSink
from dayshift.runtime.sources import open_source

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of the error, and a failure where there is not exactly one."""
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert "Traceback" not in self.err
        return errors[0].removeprefix("error: ")


Dayshift = Callable[..., Done]


def pytest_configure() -> None:
    """Let Ctrl-C work: shells start background jobs with it ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests make out of the developer's home, also in subprocesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYSHIFT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def dayshift_command(capfd: pytest.CaptureFixture[str]) -> Dayshift:
    """Run a command line in this process."""

    def run(*words: object) -> Done:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Run code in an interpreter of its own, with some modules blocked; return what it printed."""

    def run(code: str, *, blocked: tuple[str, ...] = ()) -> str:
        block = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        done = subprocess.run(
            [sys.executable, "-c", block + code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Path]:
    """Write a model folder as the runtime's tests do."""
    # Loaded by its path: tests are no package, and the name conftest is every folder's.
    path = Path(__file__).parent / "runtime" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[..., Path]", module.write_model)


@pytest.fixture(scope="session")
def tiny_model(write_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder; not to be changed."""
    return write_model(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture(scope="session")
def lit_model(write_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with control over its lamps; not to be changed."""
    return write_model(tmp_path_factory.mktemp("cli") / "lit", ("strength", "lamps"))


def write_video(path: Path, *, frames: int = 12, size: str = "160x120") -> Path:
    """Write a short H.264 video of a synthetic street."""
    with (
        open_source(f"synthetic://?size={size}&frames={frames}&pace=0") as source,
        VideoSink(path, fps=Fraction(25)) as sink,
    ):
        while (frame := source.read()) is not None:
            sink.write(frame.pixels, frame)
    return path


@pytest.fixture(scope="session")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of more frames than a pipeline may have on their way."""
    return write_video(tmp_path_factory.mktemp("videos") / "long.mp4", frames=60)


@pytest.fixture(scope="session")
def street_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "street.mp4")
