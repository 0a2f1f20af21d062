"""docs/security.md names a test for each of its lines, and each of these tests is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "security.md"


def rows() -> Iterator[str]:
    """Yield the lines of the tables, without their headings."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.rstrip().endswith("| test |"):
            yield line


def named_tests(row: str) -> list[tuple[str, str]]:
    """Return file and name of each test in a row; `::name` is of the file before."""
    found, file = [], ""
    for path, name in re.findall(r"`([\w/]*(?:\.py)?)::(test_\w+)`", row):
        file = path or file
        found.append((file, name))
    return found


def test_every_threat_has_a_test_that_exists() -> None:
    assert len(list(rows())) > 40
    for row in rows():
        tests = named_tests(row)
        assert tests, f"no test for: {row}"
        for file, name in tests:
            tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
            defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in defined, f"{file} has no {name}"


def test_every_test_of_this_folder_is_named() -> None:
    page = PAGE.read_text(encoding="utf-8")
    helpers = {"test_the_check_sees_it", "test_every_file_is_python_3_10"}
    helpers |= {"test_the_limit_ends_with_the_last_who_asked_for_it"}
    helpers |= {"test_a_client_that_watches_is_not_cut"}
    helpers |= {"test_in_a_container_its_own_memory_counts"}
    helpers |= {"test_a_stream_has_room_while_another_model_is_loaded"}
    helpers |= {"test_the_watch_sees_what_telemetry_does"}
    # FFmpeg has a limit of its own there: it fails for no defence of ours that is taken out.
    helpers |= {"test_a_video_whose_header_promises_gigabytes_is_refused"}
    for path in Path(__file__).parent.glob("test_*.py"):
        if path.name not in (Path(__file__).name, "test_defences_taken_out.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            tests = {name for name in tests if name.startswith("test_")} - helpers
            assert {name for name in tests if f"::{name}`" not in page} == set()
