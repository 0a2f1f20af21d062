from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dayshift.train.checkpoint import load_checkpoint
from dayshift.train.loop import fit
from dayshift.train.recipe import Recipe, RecipeError


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    whole = load_checkpoint(fit(tiny_recipe, data_root, tmp_path / "whole"))

    def stop_at_three(step: int, _steps: int, _terms: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny_recipe, data_root, tmp_path / "parts", on_progress=stop_at_three)
    assert load_checkpoint(tmp_path / "parts/checkpoint.safetensors").step == 3
    resumed = load_checkpoint(fit(tiny_recipe, data_root, tmp_path / "parts"))
    assert resumed.step == whole.step == 4
    assert whole.tensors.keys() == resumed.tensors.keys()
    for name, value in whole.tensors.items():
        assert torch.equal(value, resumed.tensors[name]), name


def test_training_lowers_the_supervised_loss(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = tiny_recipe.model_copy(
        update={
            "optimizer": tiny_recipe.optimizer.model_copy(
                update={"steps": 60, "supervised_steps": 60, "generator_lr": 1e-2}
            )
        }
    )
    seen: list[float] = []
    fit(recipe, data_root, tmp_path, on_progress=lambda _a, _b, t: seen.append(t["rendered_l1"]))
    assert sum(seen[-10:]) < 0.6 * sum(seen[:10])


def test_a_folder_of_another_recipe_is_refused(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    fit(tiny_recipe, data_root, tmp_path / "run")
    other = tiny_recipe.model_copy(update={"name": "other"})
    with pytest.raises(RecipeError, match="another recipe"):
        fit(other, data_root, tmp_path / "run")
