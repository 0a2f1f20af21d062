"""Several machines: torchrun's agents, one of whose processes is killed, and what srun sets.

On one machine, by gloo.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dayshift.train.checkpoint import load_checkpoint
from dayshift.train.loop.devices import DeviceError, Devices
from dayshift.train.recipe import Recipe

_PATIENCE_S = 400  # so that a hang ends; a busy machine may take minutes


def load_helpers() -> Any:
    path = Path(__file__).with_name("test_resume.py")
    spec = importlib.util.spec_from_file_location("resume_helpers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def child_of(process: subprocess.Popen[str]) -> int | None:
    """Return the process that trains below an agent."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


@pytest.mark.slow
def test_a_process_that_is_killed_costs_only_the_steps_since_the_last_checkpoint(
    small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    recipe = small_recipe("pix2pix", save_seconds=1e-9)
    assert recipe.pix2pix is not None
    schedule = recipe.pix2pix.schedule.model_copy(update={"constant_epochs": 40})
    recipe = recipe.model_copy(
        update={"pix2pix": recipe.pix2pix.model_copy(update={"schedule": schedule})}
    )
    path = load_helpers().write_recipe(recipe, tmp_path / "r.toml")

    def words(out: str) -> list[str]:
        places = ["--data", str(domains), "--out", str(tmp_path / out), "--device", "cpu"]
        return ["-m", "dayshift", "train", str(path), *places]

    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [sys.executable, *words("whole"), "--devices", "2"]
    subprocess.run(whole, env=env, check=True, capture_output=True)

    # Else a process that starts again may read the addresses of the round before and wait for them.
    env["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    launch = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    launch += ["--max-restarts", "3", "--rdzv-backend", "c10d", "--rdzv-id", "night"]
    launch += ["--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--local-addr", "127.0.0.1"]
    agents = [
        subprocess.Popen(
            [sys.executable, *launch, *words("parts")], env=env, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        saved = tmp_path / "parts" / "checkpoint.safetensors"
        deadline = time.monotonic() + _PATIENCE_S
        while not saved.exists() and time.monotonic() < deadline:
            assert [agent.poll() for agent in agents] == [None, None]
            time.sleep(0.05)
        killed = child_of(agents[1])
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        told = [agent.communicate(timeout=_PATIENCE_S)[1] for agent in agents]
        assert [agent.returncode for agent in agents] == [0, 0], told
        assert any("Signal 9 (SIGKILL)" in text or "exitcode: -9" in text for text in told), told
    finally:
        for agent in agents:
            agent.kill()
            agent.wait()
    one, other = load_checkpoint(tmp_path / "whole" / saved.name), load_checkpoint(saved)
    assert one.step == other.step == 82
    assert other.state["processes"] == 2
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name]), name


def test_tasks_of_srun_that_do_not_say_how_many_a_machine_has_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "3")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    with pytest.raises(DeviceError, match=r"3 tasks from SLURM .*--ntasks-per-node"):
        Devices("cpu").process_grid()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "3")
    assert Devices("cpu", 8, 8).process_grid() == (3, 1)
    monkeypatch.setenv("SLURM_NTASKS", "1")  # a batch script that starts its processes itself
    assert Devices("cpu", 2).process_grid() == (2, 1)


@pytest.mark.slow
def test_processes_that_srun_starts_train_as_those_of_the_command_do(
    small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    """Without SLURM: two processes with the variables that srun gives two tasks of two nodes."""
    path = load_helpers().write_recipe(small_recipe("cyclegan"), tmp_path / "r.toml")

    def words(out: str) -> list[str]:
        places = ["--data", str(domains), "--out", str(tmp_path / out), "--device", "cpu"]
        return [sys.executable, "-m", "dayshift", "train", str(path), *places]

    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [*words("whole"), "--devices", "2"]
    subprocess.run(whole, env=env, check=True, capture_output=True)

    job = {"NTASKS": "2", "NTASKS_PER_NODE": "1", "NNODES": "2", "JOB_NAME": "night"}
    job |= {"JOB_ID": "1", "NODELIST": "127.0.0.1", "LOCALID": "0"}
    tasks = [
        subprocess.Popen(
            words("tasks"),
            env={
                **env,
                **{f"SLURM_{name}": value for name, value in job.items()},
                "SLURM_PROCID": str(rank),
                "SLURM_NODEID": str(rank),
                "MASTER_PORT": str(port),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for port in [free_port()]
        for rank in range(2)
    ]
    try:
        told = [task.communicate(timeout=_PATIENCE_S)[1] for task in tasks]
        assert [task.returncode for task in tasks] == [0, 0], told
    finally:
        for task in tasks:
            task.kill()
            task.wait()
    one, other = (
        load_checkpoint(tmp_path / n / "checkpoint.safetensors") for n in ("whole", "tasks")
    )
    assert one.step == other.step
    assert other.state["processes"] == 2
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name]), name
