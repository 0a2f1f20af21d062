"""A finished network as a teacher: frozen, checked, and known by its file's sha256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dayshift.runtime.errors import UsageError
from dayshift.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from dayshift.train.data import Dataset, Sample
from dayshift.train.loop.preview import relight, translate_sample
from dayshift.train.losses import GanKind
from dayshift.train.methods.base import NetworkChoice
from dayshift.train.methods.distill import DistillConfig, TeacherChoice
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.presets import is_image_generator
from dayshift.train.recipe import Recipe

# The part of a run that judges what its networks make of "a_to_b" and "b_to_a".
_JUDGES = {
    "pix2pix": {"a_to_b": "discriminator"},
    "cut": {"a_to_b": "discriminator"},
    "cyclegan": {"a_to_b": "d_b", "b_to_a": "d_a"},
}


@dataclass(frozen=True)
class Judge:
    """The discriminator that a teacher was trained against.

    Attributes:
        choice: how it is built.
        gan: the loss it was trained with.
        weights: its state dict.
    """

    choice: NetworkChoice
    gan: GanKind
    weights: dict[str, Tensor]

    @property
    def planes(self) -> int:
        """3 where it sees an image, 6 where it sees the source too."""
        return int(self.choice.settings.get("in_channels", 3))  # type: ignore[arg-type]  # JSON


@dataclass(frozen=True, eq=False)
class Teacher:
    """An image generator that is not trained any more.

    Attributes:
        choice: its file, direction and sha256, none of them left open.
        network: in eval mode, without gradients; on the CPU until it is called with other tensors.
        judge: the discriminator it was trained against, where the checkpoint holds one that a
            student can go on with.
    """

    choice: TeacherChoice
    network: nn.Module
    judge: Judge | None = None

    @property
    def direction(self) -> str:
        """Return "a_to_b" or "b_to_a"."""
        assert self.choice.direction is not None
        return self.choice.direction

    @property
    def multiple(self) -> int:
        """What height and width of its images must be multiples of."""
        return int(getattr(self.network, "multiple", 1))

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Return what it makes of images (N, 3, H, W) RGB in [-1, 1], in single precision."""
        network = self.network.to(x.device)
        made: Tensor = relight(network, x) if isinstance(network, GainLight) else network(x)
        return made.float()


def load_teacher(choice: TeacherChoice) -> Teacher:
    """Read a teacher from a checkpoint of ours, or an imported one.

    Raises:
        UsageError: None is named, or it has no such direction, or translates no images.
        CheckpointError: The file is missing or damaged, or is not the one of `choice.sha256`.
    """
    if not choice.checkpoint:
        raise UsageError("no teacher: name its checkpoint, dayshift distill RECIPE --teacher FILE")
    path = Path(choice.checkpoint)
    checkpoint = load_checkpoint(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if choice.sha256 not in ("", digest):
        raise CheckpointError(
            f"{path} has sha256 {digest[:12]}…, but the recipe names a teacher with "
            f"{choice.sha256[:12]}…: give that file, or leave distill.teacher.sha256 out"
        )
    if not checkpoint.networks:
        raise UsageError(f"{path} holds no network that translates: give a generator's checkpoint")
    direction = choice.direction or next(iter(checkpoint.networks))
    network = checkpoint.network(direction)
    if not (isinstance(network, GainLight) or is_image_generator(network)):
        raise UsageError(
            f"the teacher {path} is a {type(network).__name__} ({direction}), expected a generator "
            "from RGB images to RGB images"
        )
    pinned = TeacherChoice(checkpoint=choice.checkpoint, direction=direction, sha256=digest)
    return Teacher(pinned, network, _find_judge(checkpoint, direction))


def take_teacher(
    recipe: Recipe, checkpoint: str = "", direction: str | None = None
) -> tuple[Recipe, Teacher]:
    """Load the teacher of a recipe to distil; return the recipe with its teacher filled in.

    Args:
        recipe: of the method distill.
        checkpoint: the teacher's file; "" takes the recipe's own.
        direction: of the teacher; None likewise.

    Raises:
        UsageError: The recipe is of another method, or see `load_teacher`.
        CheckpointError: See `load_teacher`.
    """
    settings = recipe.settings
    if not isinstance(settings, DistillConfig):
        raise UsageError(
            f"the recipe {recipe.name} is of the method {recipe.method}, expected one to distil "
            f"such as distill-resnet: dayshift train {recipe.name} needs no teacher"
        )
    given: dict[str, Any] = {"checkpoint": checkpoint, "direction": direction}
    wish = settings.teacher.model_copy(update={key: value for key, value in given.items() if value})
    teacher = load_teacher(wish)
    pinned = settings.model_copy(update={"teacher": teacher.choice})
    return recipe.model_copy(update={"distill": pinned}), teacher


class TaughtImages:
    """A data set whose target images are the teacher's: what a student is measured against.

    Only for samples that are the same each time they are asked for; each is translated once.
    """

    def __init__(self, dataset: Dataset, teacher: Teacher) -> None:
        self._dataset, self._teacher = dataset, teacher
        self._made: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._dataset)

    def sample(self, index: int, epoch: int) -> Sample:
        """Return the source with the teacher's translation in the place of the true one."""
        sample = self._dataset.sample(index, epoch)
        direction = self._teacher.direction
        if index not in self._made:
            self._made[index] = translate_sample(self._teacher.network, direction, sample)
        return {**sample, direction[-1]: self._made[index]}

    def skipped(self) -> list[Any]:
        """Return the images that could not be used."""
        return self._dataset.skipped()


def _find_judge(checkpoint: Checkpoint, direction: str) -> Judge | None:
    part = _JUDGES.get(checkpoint.method, {}).get(direction)
    weights = checkpoint.part(part) if part else {}
    if not weights or checkpoint.recipe is None:  # networks alone: imported, or best.safetensors
        return None
    try:
        settings: Any = Recipe.model_validate(checkpoint.recipe).settings
    except ValidationError:  # of another version: the networks can still be read
        return None
    return Judge(settings.discriminator, settings.gan, weights)
