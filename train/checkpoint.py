"""Checkpoints: one file that holds a run's recipe, step and state, written atomically."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dayshift.runtime.errors import DayshiftError
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.recipe import Recipe

FORMAT_VERSION = 1


class CheckpointError(DayshiftError):
    """A checkpoint cannot be read; the message says what was expected."""


@dataclass(frozen=True)
class Checkpoint:
    """A run as it was saved: `state` by part, `facts` such as seconds trained and pictures seen."""

    recipe: Recipe
    step: int
    state: dict[str, Any]
    facts: dict[str, Any]

    def network(self) -> GainLight:
        """Return the averaged generator, ready to run."""
        network = GainLight(self.recipe.network.generator())
        network.load_state_dict(self.state["average"])
        return network.eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one step: an interrupted save leaves the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format_version": FORMAT_VERSION,
        "recipe": checkpoint.recipe.model_dump(mode="json"),
        "step": checkpoint.step,
        "state": checkpoint.state,
        "facts": checkpoint.facts,
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save(content, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Runs no code from the file.

    Raises:
        CheckpointError: The file is missing, damaged, or not one of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint {path}: train one with dayshift train") from error
    except Exception as error:  # torch.load raises many kinds for damaged files
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"cannot read {path} as a checkpoint ({reason}): train again or fetch it anew"
        ) from error
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path} is not a dayshift checkpoint of format {FORMAT_VERSION}")
    recipe = Recipe.model_validate(content["recipe"])
    return Checkpoint(recipe, int(content["step"]), content["state"], content["facts"])
