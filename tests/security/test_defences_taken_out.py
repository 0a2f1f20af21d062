"""The tests that docs/security.md names fail when their defence is taken out of a copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
TABLE: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("defences.toml").read_text(encoding="utf-8")
)["defence"]
LIMIT_S = 600


def named_tests() -> set[str]:
    """Return every test that the page names, with its file."""
    found, file = set(), ""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for path, name in re.findall(r"`([\w/]*(?:\.py)?)::(test_\w+)`", page):
        file = path or file
        found.add(f"{file}::{name}")
    return found


def test_every_test_of_the_page_has_a_defence_and_no_other() -> None:
    assert {test for entry in TABLE for test in entry["tests"]} == named_tests()


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: str(entry["name"]))
def test_the_defence_is_where_the_table_says(entry: dict[str, Any]) -> None:
    for change in entry["changes"]:
        text = (ROOT / change["file"]).read_text(encoding="utf-8")
        assert text.count(change["old"]) == 1, change


@dataclass(frozen=True)
class Copy:
    """All of the project in a folder of its own, to be made worse."""

    folder: Path

    def outcomes(self, tests: list[str]) -> dict[str, set[str]]:
        """Run tests of the copy; return what came of each, over all of its parameters."""
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),  # before the checkout, wherever that is installed
            "PYTHONDONTWRITEBYTECODE": "1",  # two changes within a second would look the same
        }
        names = [f"tests/{test}" for test in tests]
        words = ["-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider", *names]
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        told: dict[str, set[str]] = {name: set() for name in tests}
        for word, name in re.findall(
            r"^(PASSED|FAILED|ERROR) tests/([^\s\[]+)", done.stdout, re.MULTILINE
        ):
            told[name].add(word)
        assert all(told.values()), done.stdout + done.stderr
        return told


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("copy")
    names = ["benchmarks", "dayshift", "deploy", "docs", "export", "models", "runtime", "tests"]
    for name in [*names, "train"]:
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return Copy(folder)


@pytest.fixture
def take_out(copy: Copy) -> Any:
    """Change files of the copy, and put them back."""
    before: dict[Path, str] = {}

    def change(changes: list[dict[str, str]]) -> None:
        for one in changes:
            path = copy.folder / one["file"]
            text = path.read_text(encoding="utf-8")
            before.setdefault(path, text)
            path.write_text(text.replace(one["old"], one["new"]), encoding="utf-8")

    yield change
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


def can_run(entry: dict[str, Any]) -> bool:
    """Whether this user can; only root can give a folder to someone else."""
    return not entry.get("needs_root") or os.geteuid() == 0


@pytest.mark.slow
def test_with_all_defences_all_of_them_pass(copy: Copy) -> None:
    """Else a failure below would say nothing: what a copy lacks shows here."""
    tests = sorted({test for entry in TABLE if can_run(entry) for test in entry["tests"]})
    for test, words in copy.outcomes(tests).items():
        assert words == {"PASSED"}, test


@pytest.mark.slow
@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: str(entry["name"]))
def test_without_its_defence_a_test_fails(
    entry: dict[str, Any], copy: Copy, take_out: Callable[[list[dict[str, str]]], None]
) -> None:
    if not can_run(entry):
        pytest.skip("only root can give a folder to someone else")
    take_out(entry["changes"])
    for test, words in copy.outcomes(entry["tests"]).items():
        assert "FAILED" in words, f"{test} passes"
