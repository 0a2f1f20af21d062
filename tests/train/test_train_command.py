"""`dayshift train` as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dayshift.train.recipe import Recipe


def _toml(recipe: Recipe, path: Path) -> Path:
    content = recipe.as_json()
    sections = {key: value for key, value in content.items() if isinstance(value, dict)}
    lines = [f"{k} = {json.dumps(v)}" for k, v in content.items() if k not in sections]
    for name, fields in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_inline(value)}" for key, value in fields.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_inline(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def test_a_dry_run_prints_the_whole_recipe_with_its_overrides(
    dayshift_command: Callable[..., Any],
) -> None:
    done = dayshift_command("train", "cut", "--set", "cut.nce=2", "--dry-run")
    assert done.code == 0
    assert json.loads(done.out)["cut"]["nce"] == 2


def test_a_run_tells_its_rate_and_running_it_again_finds_it_done(
    dayshift_command: Callable[..., Any],
    small_recipe: Callable[..., Recipe],
    domains: Path,
    tmp_path: Path,
) -> None:
    recipe = _toml(small_recipe("cut"), tmp_path / "r.toml")
    words = ["train", recipe, "--data", domains, "--out", tmp_path / "run", "--device", "cpu"]
    done = dayshift_command(*words, "--json", "-")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["steps"], result["images"]) == (8, 8)
    assert result["images_per_s"] > 0
    again = dayshift_command(*words, "--json", "-")
    assert json.loads(again.out) == {"checkpoint": result["checkpoint"], "recipe": "small-cut"}


def test_a_gpu_or_recipe_that_is_not_there_is_one_line(
    dayshift_command: Callable[..., Any], domains: Path, tmp_path: Path
) -> None:
    unknown = dayshift_command("train", "nowhere")
    assert unknown.code == 2
    assert "expected a TOML file or one of" in unknown.error
    assert "expected auto, cpu or gpu" in dayshift_command("train", "cut", "--device", "x").error
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    sets = ["--set", "data.a=a", "--set", "data.b=b", "--data", domains, "--out", tmp_path / "x"]
    done = dayshift_command("train", "cut", *sets, "--device", "gpu")
    assert done.code == 1
    assert "--device gpu, but PyTorch" in done.error


def test_restarts_in_the_store_of_the_killed_are_warned_of(
    dayshift_command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "cut", "--data", tmp_path, "--out", tmp_path / "run", "--device", "cpu"]
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    assert "export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in dayshift_command(*words).err
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    assert "TORCH_DISABLE" not in dayshift_command(*words).err
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "0")
    assert "TORCH_DISABLE" not in dayshift_command(*words).err
