"""What no line of the product may do: load pickles, run text as code, or start a shell."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "dayshift", "export", "models", "runtime", "train", "deploy", "docs")

# Called by any of these names, they run what they read.
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
FORBIDDEN_MODULES = {"marshal", "shelve", "dill", "joblib", "cloudpickle", "jsonpickle"}
# Of pickle, only the error that torch.load raises.
PICKLE_MAY = {"UnpicklingError"}


def problems_of(source: str) -> Iterator[str]:
    """Yield what a module does that it must not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            yield from (f"imports {m}" for m in modules if m.split(".")[0] in FORBIDDEN_MODULES)
            if modules == ["pickle"] and isinstance(node, ast.ImportFrom):
                yield from (f"imports pickle.{n}" for n in names if n not in PICKLE_MAY)
        elif isinstance(node, ast.Attribute):
            if ast.unparse(node.value) in ("pickle", "_pickle") and node.attr not in PICKLE_MAY:
                yield f"uses pickle.{node.attr}"
        elif isinstance(node, ast.Call):
            yield from _problems_of_call(node)


def _problems_of_call(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    given = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
    if called in FORBIDDEN_CALLS:
        yield f"calls {called}"
    if called == "torch.load" and given.get("weights_only") != "True":
        yield "calls torch.load without weights_only=True"
    if given.get("allow_pickle", "False") != "False":
        yield f"calls {called} with allow_pickle"
    if given.get("shell", "False") != "False" or called.endswith("create_subprocess_shell"):
        yield f"calls {called} with a shell"


def sources() -> list[Path]:
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted({path.resolve() for path in files})


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell() -> None:
    found = [
        f"{path.relative_to(ROOT)} {problem}"
        for path in sources()
        for problem in problems_of(path.read_text(encoding="utf-8"))
    ]
    assert len(sources()) > 200
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle; pickle.loads(b'')",
        "from pickle import loads",
        "import marshal",
        "torch.load('x')",
        "torch.load('x', weights_only=False)",
        "np.load('x', allow_pickle=True)",
        "eval('1')",
        "yaml.load(text)",
        "subprocess.run('ls', shell=True)",
        "os.system('ls')",
    ],
)
def test_the_check_sees_it(line: str) -> None:
    assert len(list(problems_of(line))) == 1


def test_every_file_is_python_3_10() -> None:
    """By the grammar of this Python everywhere, and by a real 3.10 where one is found."""
    files = [*sources(), *(ROOT / "tests").rglob("*.py")]
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))
    python = real_python_3_10()
    if python is None:
        return
    code = "import sys; [compile(open(f).read(), f, 'exec') for f in sys.stdin.read().split('\\0')]"
    names = "\0".join(map(str, files))
    done = subprocess.run(
        [python, "-c", code], input=names, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def real_python_3_10() -> str | None:
    """Return one that runs: of pyenv a name may be there without an interpreter."""
    installed = Path("~/.pyenv/versions").expanduser().glob("3.10.*/bin/python")
    for python in ("python3.10", *map(str, installed)):
        try:
            subprocess.run([python, "-c", ""], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return None
