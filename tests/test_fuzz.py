"""A few of the damaged inputs of `dayshift.benchmarks.fuzz`; run that for the ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.benchmarks.fuzz import Fuzzer
from dayshift.runtime.uri import parse_uri


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_input_is_served_or_refused_in_a_line(tiny_model: Path, seed: int) -> None:
    with Fuzzer(seed, tiny_model) as fuzzer:
        fuzzer.run(100)
    assert fuzzer.findings == []
    assert sum(fuzzer.outcomes.values()) == 100


@pytest.mark.parametrize("text", ["a:" + "x" * 5000, "a:" + "/x" * 3000])
def test_what_cannot_be_a_name_is_no_file(text: str) -> None:
    assert parse_uri(text).rest
