"""Every method goes on exactly where it was killed, and two processes do what one does."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dayshift.train.checkpoint import Checkpoint, load_checkpoint
from dayshift.train.loop.devices import Devices
from dayshift.train.loop.fit import fit
from dayshift.train.recipe import Recipe

CPU = Devices("cpu")
METHODS = ("pix2pix", "cyclegan", "unit", "spade", "cut")


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.step == other.step
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name]), name


def write_recipe(recipe: Recipe, path: Path) -> Path:
    """Write a recipe as TOML: JSON values are TOML's but for objects."""

    def lines(tree: dict[str, object], section: str) -> list[str]:
        tables = {k: v for k, v in tree.items() if isinstance(v, dict)}
        own = [f"{k} = {json.dumps(v)}" for k, v in tree.items() if k not in tables]
        head = [f"[{section}]"] if section else []
        below = [
            line for k, v in tables.items() for line in lines(v, f"{section}.{k}" if section else k)
        ]
        return [*head, *own, *below]

    path.write_text("\n".join(lines(recipe.as_json(), "")) + "\n")
    return path


def losses(out: Path) -> list[dict[str, float]]:
    """Return the loss terms of every logged step."""
    with (out / "scalars.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    aside = ("images_per_s", "wait_share")
    return [{k: float(v) for k, v in row.items() if k not in aside} for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_interrupted_half_way_ends_with_the_very_same_weights(
    method: str, small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(method, ema=0.9, channels_last=True)
    whole = load_checkpoint(fit(recipe, domains, tmp_path / "whole", devices=CPU))
    assert whole.step == 8

    def stop(now: object) -> None:
        if getattr(now, "step", 0) == 3:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, domains, tmp_path / "parts", devices=CPU, on_progress=stop)
    assert load_checkpoint(tmp_path / "parts/checkpoint.safetensors").step == 3
    assert_same(whole, load_checkpoint(fit(recipe, domains, tmp_path / "parts", devices=CPU)))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_ends_with_the_very_same_weights(
    method: str, small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(method, save_seconds=1e-9, workers=1)
    whole = load_checkpoint(fit(recipe, domains, tmp_path / "whole", devices=CPU))
    code = f"""
import os, signal
from pathlib import Path
from dayshift.train.loop.devices import Devices
from dayshift.train.loop.fit import fit
from dayshift.train.recipe import load_recipe
def kill(now):
    if now.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
recipe = load_recipe(Path({str(write_recipe(recipe, tmp_path / "r.toml"))!r}))
out = Path({str(tmp_path / "parts")!r})
fit(recipe, Path({str(domains)!r}), out, devices=Devices("cpu"), on_progress=kill)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert load_checkpoint(tmp_path / "parts/checkpoint.safetensors").step == 4
    assert_same(whole, load_checkpoint(fit(recipe, domains, tmp_path / "parts", devices=CPU)))


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_same_batch(
    small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    """CycleGAN without its pool: instance norm and no chance, so that only the split differs."""
    recipe = small_recipe("cyclegan", batch_size=2, loggers=["csv"], log_steps=1)
    assert recipe.cyclegan is not None
    recipe = recipe.model_copy(
        update={"cyclegan": recipe.cyclegan.model_copy(update={"pool_size": 0})}
    )
    one = load_checkpoint(fit(recipe, domains, tmp_path / "one", devices=CPU))
    halves = recipe.model_copy(update={"run": recipe.run.model_copy(update={"batch_size": 1})})
    path = write_recipe(halves, tmp_path / "halves.toml")
    words = ["-m", "dayshift", "train", path, "--data", domains, "--out", tmp_path / "two"]
    done = subprocess.run(
        [sys.executable, *map(str, words), "--device", "cpu", "--devices", "2", "--json", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 4  # one of them speaks
    two = load_checkpoint(tmp_path / "two/checkpoint.safetensors")
    assert two.step == one.step == 4
    assert two.state["processes"] == 2
    for alone, shared in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert alone.keys() == shared.keys()
        for term, expected in alone.items():
            assert shared[term] == pytest.approx(expected, rel=2e-3), term
    # Not the biases: instance norm takes them out again, and their gradients are rounding alone.
    for name in ("g_ab", "g_ba", "d_a", "d_b"):
        for key, value in one.part(name).items():
            if key.endswith("weight"):
                assert torch.allclose(value, two.part(name)[key], atol=1e-4), f"{name}/{key}"


@pytest.mark.slow
def test_torchrun_starts_the_processes_and_sigterm_saves(
    small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    recipe = small_recipe("cut", save_seconds=1e-9)
    assert recipe.cut is not None
    schedule = recipe.cut.schedule.model_copy(update={"constant_epochs": 10_000})
    endless = recipe.model_copy(
        update={"cut": recipe.cut.model_copy(update={"schedule": schedule})}
    )
    path, out = write_recipe(endless, tmp_path / "r.toml"), tmp_path / "run"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["-m", "dayshift", "train", path, "--data", domains, "--out", out, "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, *launch, *map(str, words)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 120
        while not (out / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        process.wait(timeout=60)
    finally:
        process.kill()
    saved = load_checkpoint(out / "checkpoint.safetensors")
    assert saved.step > 0
    assert saved.state["processes"] == 2
    assert len(saved.state["extra"]) == 2


@pytest.mark.slow
def test_data_that_one_of_two_processes_cannot_read_end_both_and_save_what_was_trained(
    small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    path = write_recipe(small_recipe("cyclegan"), tmp_path / "r.toml")
    (tmp_path / "train.py").write_text(f"""
import sys
from dataclasses import replace
from pathlib import Path
from dayshift.runtime.errors import DayshiftError
from dayshift.train.data import DataError
from dayshift.train.loop.build import make_job
from dayshift.train.loop.devices import Devices
from dayshift.train.loop.fit import run
from dayshift.train.recipe import load_recipe
recipe = load_recipe(Path({str(path)!r}))
class Source:
    def __init__(self, source):
        self.source = source
    def __getattr__(self, name):
        return getattr(self.source, name)
    def batches(self, start, rank, world):
        for number, batch in enumerate(self.source.batches(start, rank, world)):
            if (rank, number) == (1, 1):
                raise DataError("the disk went away")
            yield batch
def make():
    job = make_job(recipe, Path({str(domains)!r}))
    return replace(job, source=Source(job.source))
try:
    run(recipe.run, make, Path({str(tmp_path / "run")!r}), devices=Devices("cpu", 2))
except DayshiftError as error:
    print(f"{{type(error).__name__}}: {{error}}")
    sys.exit(1)
""")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "train.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "DataError: the disk went away",
        "DayshiftError: process 1 could not go on: the disk went away",
    ]
    saved = load_checkpoint(tmp_path / "run/checkpoint.safetensors")
    assert (saved.step, saved.state["processes"]) == (1, 2)
