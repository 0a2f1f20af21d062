"""Commands in README.md and docs/: each is understood, and run, or there is a reason why not."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from dayshift.cli.app import app
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.doctor.host import Host

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Dayshift = Callable[..., Any]
ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
VERBS: Any = typer.main.get_command(app)
FENCE = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(dayshift [a-z][^`]*)`")

# Why a command is not run here, by how it begins; the first that fits. Each `dayshift` line is
# parsed by the real command line all the same, and what it names of this repository must be there.
CAMERA, NETWORK = "needs a camera", "needs another machine"
PYTORCH = "needs a checkpoint or data; run on small ones in tests/train and tests/export"
MINUTES = "takes minutes; tests/benchmarks measure small models"
SYSTEM = "changes or asks the whole machine"
NOT_RUN = {
    "dayshift run 0": CAMERA,
    "dayshift run rtsp:": f"{NETWORK}; tests/runtime run it against a server on loopback",
    "dayshift demo": "takes up to a minute; .ci/run does it, as make demo",
    "dayshift doctor --camera-test": CAMERA,
    "DAYSHIFT_SOURCE_USER=": f"{NETWORK}; tests/runtime run it against a server on loopback",
    "dayshift run 'synthetic://?faults=": "goes on for ever; tests/runtime run every fault",
    "/opt/dayshift/bin/dayshift": "a Jetson's installation",
    "sudo": SYSTEM,
    "systemctl": SYSTEM,
    "journalctl": SYSTEM,
    "ssh ": NETWORK,
    "scp ": NETWORK,
    "git clone": NETWORK,
    "docker ": "needs a container engine",
    "JETPACK=6 docker": "needs a container engine",
    "pip install": "downloads; .ci/wheel installs the extras into fresh environments",
    "python3 -m venv": ".ci/wheel does it",
    ". .venv": "of an interactive shell",
    "make ": "downloads or takes minutes; .ci/run and the workflow run the targets",
    "dayshift import": PYTORCH,
    "dayshift export": PYTORCH,
    "dayshift quantize": "takes minutes; tests/export quantize small models",
    "dayshift distill": PYTORCH,
    "dayshift train cyclegan --data data/ --out": PYTORCH,
    "dayshift train night2day": "needs images, takes minutes; tests/train train small networks",
    "dayshift evaluate": "needs the measuring networks; tests/train/metrics run it where they are",
    "dayshift synth": "needs Blender's module; tests/train run what needs none",
    "torchrun": "several processes for minutes; tests/train/test_cluster.py does it",
    "export TORCH_": "for torchrun; tests/train/test_cluster.py does it",
    "srun": "needs SLURM",
    "dayshift bench day2night --json": MINUTES,
    "dayshift bench day2night ./mine": MINUTES,
    "dayshift bench ./mine": MINUTES,
    "dayshift bench --compare": "needs two reports; tests/benchmarks compare some",
    "dayshift build": "needs an NVIDIA GPU; tests/test_cli_build.py builds for the CPU",
    "dayshift serve-repository": "tests/export write and check every kind",
    "dayshift sign": "needs a key; tests/runtime/updates sign and update",
    "dayshift update": "needs a signed folder; tests/runtime/updates sign and update",
    "export DAYSHIFT_KEY": "of an interactive shell",
    "openssl": "asks for a passphrase; tests/runtime/updates use its keys",
    "dayshift translate s3:": "needs an object store; tests/test_bulk.py uses memory://",
    "dayshift translate footage/ --out night --cluster": "needs Ray; tests/test_ray_cluster.py",
    "python -m dayshift.benchmarks": "takes minutes; tests/benchmarks run its parts",
}


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        page: Its file, from the root.
        text: The line, continuations joined, its comment taken off.
        words: As a shell takes them apart.
    """

    page: str
    text: str
    words: list[str]

    @property
    def dayshift(self) -> list[str] | None:
        """The words after `dayshift`, also behind sudo, srun or torchrun; None for another tool."""
        names = [Path(word).name for word in self.words]
        for at in range(len(names) - 1):
            is_verb = self.words[at + 1] in VERBS.commands or self.words[at + 1].startswith("--")
            if names[at] == "dayshift" and (at == 0 or is_verb):
                return [word for word in self.words[at + 1 :] if word != "--debug"]
        return None

    @property
    def reason(self) -> str:
        """Why it is not run; empty where it is."""
        return next((NOT_RUN[start] for start in NOT_RUN if self.text.startswith(start)), "")


def commands_of(page: Path) -> Iterator[Command]:
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                text = " ".join(line.split(" #")[0].split())
                yield Command(page.relative_to(ROOT).as_posix(), text, words)


COMMANDS = [command for page in PAGES for command in commands_of(page)]
RUN = [c for c in COMMANDS if not c.reason]


def named(command: Command) -> str:
    return f"{command.page}: {command.text}"


def test_pages_have_commands() -> None:
    assert len(COMMANDS) > 100
    assert len(RUN) > 15


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.dayshift is not None], ids=named)
def test_the_command_line_understands(command: Command) -> None:
    words = command.dayshift
    assert words is not None
    verb = VERBS.commands[words[0]]
    with verb.make_context(words[0], words[1:]):  # parsed and checked, not invoked
        pass


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_verbs_and_options_in_sentences_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for span in INLINE.findall(text):
        verb, *words = span.split()[1:]
        assert verb in VERBS.commands, span
        known = {name for p in VERBS.commands[verb].params for name in (*p.opts, *p.secondary_opts)}
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= known, span


def test_what_other_commands_name_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in COMMANDS:
        for extras in re.findall(r"(?:dayshift|\.)\[([a-z,]+)\]", command.text):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), named(command)
        if command.words[0] == "make":
            target = next(word for word in command.words[1:] if "=" not in word)
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), named(command)
        for module in re.findall(r"python3? -m (dayshift\.\S+)", command.text):
            assert importlib.util.find_spec(module) is not None, named(command)
        for path in re.findall(r"(?:deploy|benchmarks|\.ci)/\S+", command.text):
            assert (ROOT / path).exists(), named(command)


def test_every_reason_is_of_a_command() -> None:
    first = {next((s for s in NOT_RUN if c.text.startswith(s)), None) for c in COMMANDS}
    assert set(NOT_RUN) <= first


def test_only_dayshift_is_run() -> None:
    """What is neither run nor in the table is a gap; so is a line that only a shell can run."""
    assert [named(c) for c in RUN if c.words[0] != "dayshift"] == []


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, street_video: Path, write_model: Any
) -> Path:
    """A folder with what the pages speak of, and the one to work in."""
    import cv2

    picture = cv2.imread(str(model_folder("day2night") / "preview.jpg"))
    assert picture is not None
    for folder in ("photos", "footage"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "photos/street.jpg"), cv2.resize(picture, (160, 120)))
    for video in ("drive.mp4", "street.mp4", "footage/one.mp4"):
        shutil.copy(street_video, tmp_path / video)
    write_model(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def _doctor_tries_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's commands show the same trials, a process each, in other ways: once is enough."""
    answers: dict[str, dict[str, Any]] = {}
    try_python = Host.try_python

    def once(host: Host, code: str, **options: float) -> dict[str, Any]:
        if code not in answers:
            answers[code] = try_python(host, code, **options)
        return answers[code]

    monkeypatch.setattr(Host, "try_python", once)


@pytest.mark.parametrize("page", sorted({c.page for c in RUN}))
@pytest.mark.usefixtures("_doctor_tries_once")
def test_commands_of_a_page_run_in_their_order(
    page: str, desk: Path, dayshift_command: Dayshift
) -> None:
    for command in RUN:
        if command.page == page:
            done = dayshift_command(*command.words[1:])
            assert done.code == 0, f"{command.text}\n{done.err}"


# --- troubleshooting


def test_messages_that_troubleshooting_quotes_are_in_the_code() -> None:
    """A page that quotes a message which nobody says any more helps nobody."""
    said = "\n".join(
        node.value
        for folder in ("benchmarks", "dayshift", "export", "runtime", "train")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(quoted) > 30
    pieces = [piece.strip() for words in quoted for piece in words.split("…")]
    assert [piece for piece in pieces if piece not in said] == []
