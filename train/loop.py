"""The training loop: read top to bottom. Rerunning it on the same folder resumes exactly."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from dayshift.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dayshift.train.methods.relight import Relight
from dayshift.train.methods.relight_data import RelightData
from dayshift.train.preview import save_preview
from dayshift.train.recipe import Recipe, RecipeError
from dayshift.train.state import pack, unpack

CHECKPOINT = "checkpoint.safetensors"
SCALARS = "scalars.jsonl"
Progress = Callable[[int, int, dict[str, float]], None]


def fit(
    recipe: Recipe,
    data_root: Path,
    out: Path,
    *,
    on_progress: Progress | None = None,
    save_every_s: float = 120.0,
) -> Path:
    """Train until the recipe's last step and return the checkpoint's path.

    A run that was stopped (Ctrl-C, power) goes on from its last checkpoint as if it had not been:
    batches depend on the step alone and the state is complete. Ctrl-C saves first.

    Args:
        recipe: what to train.
        data_root: folder that the recipe's data paths are relative to.
        out: folder for checkpoint.safetensors, scalars.jsonl and preview.jpg.
        on_progress: called after each step with step, steps and the loss terms.
        save_every_s: seconds between checkpoints.

    Raises:
        RecipeError: `out` holds a run of another recipe.
        DataError: pictures are missing.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method = Relight(recipe, device)
    path = out / CHECKPOINT
    step, facts = _resume(path, recipe, method)
    data = RelightData(recipe, data_root)
    facts = {
        **facts,
        "data": data.counts(),
        "torch": str(torch.__version__),
        "machine": platform.processor() or platform.machine(),
    }
    out.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        save_checkpoint(path, _checkpoint(recipe, method, step, facts))
        save_preview(method.average, data, out / "preview.jpg")

    saved_at = started_at = time.monotonic()
    trained_before_s = float(facts.get("seconds", 0.0))
    try:
        with ThreadPoolExecutor(1) as loader, (out / SCALARS).open("a") as scalars:
            upcoming = loader.submit(data.batch, step)
            while step < recipe.optimizer.steps:
                batch = upcoming.result()
                upcoming = loader.submit(data.batch, step + 1)
                terms = method.training_step(batch, step)
                step += 1
                facts["seconds"] = trained_before_s + time.monotonic() - started_at
                if step % 20 == 0:
                    scalars.write(json.dumps({"step": step, **terms}) + "\n")
                    scalars.flush()
                if on_progress:
                    on_progress(step, recipe.optimizer.steps, terms)
                if time.monotonic() - saved_at > save_every_s:
                    save()
                    saved_at = time.monotonic()
    finally:
        save()
    return path


def _resume(path: Path, recipe: Recipe, method: Relight) -> tuple[int, dict[str, Any]]:
    if not path.exists():
        return 0, {}
    saved = load_checkpoint(path)
    if saved.recipe != recipe.model_dump(mode="json"):
        raise RecipeError(
            f"{path} was trained by another recipe: give another --out, or the recipe it began with"
        )
    method.load_state_dict({k: unpack(v, saved.tensors) for k, v in saved.state.items()})
    return saved.step, dict(saved.facts)


def _checkpoint(recipe: Recipe, method: Relight, step: int, facts: dict[str, Any]) -> Checkpoint:
    tensors, state = {}, {}
    for part, content in method.state_dict().items():
        found, state[part] = pack(part, content)
        tensors.update(found)
    return Checkpoint(
        "relight", method.networks(), tensors, recipe.model_dump(mode="json"), step, facts, state
    )
