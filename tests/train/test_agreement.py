"""Processes of a run, one of which is gone: by gloo, in real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'dayshift[train]'")

from dayshift.train.loop.agreement import explained_loss

_PROCESS = """
import os, sys
import torch
from torch import distributed
from dayshift.train.loop.agreement import Agreement, LostProcess, explained_loss

rank, store = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
agreement = Agreement(2)
agreement.wait()
if rank == 1:
    os._exit(9)
try:
    with explained_loss():
        for _ in range(100):
            distributed.all_reduce(torch.ones(1))
except LostProcess as error:
    print(error)
os._exit(0)
"""


def test_the_others_are_told_that_a_process_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROCESS]
    store = str(tmp_path / "store")
    with subprocess.Popen(
        [*command, "0", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        second = subprocess.run([*command, "1", store], check=False, timeout=120)
        told, _ = first.communicate(timeout=120)
    assert second.returncode == 9
    assert "another process of this run ended" in told
    assert "go on from the last checkpoint" in told


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explained_loss():
        raise RuntimeError("shapes do not fit")
