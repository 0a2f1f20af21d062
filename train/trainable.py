"""What every class of the Python API has: a recipe made of arguments, `train`, `save`, `export`."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import ValidationError
from torch import nn

from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels, check_pixels, pad_frame, padded_size
from dayshift.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from dayshift.train.data.images import to_image, to_tensor
from dayshift.train.loop.preview import translate_sample
from dayshift.train.methods.base import LinearDecay, Section
from dayshift.train.recipe import OWN_IMAGES, MethodName, Recipe, RecipeError, describe_error

Folder = str | os.PathLike[str]
T = TypeVar("T", bound="Trainable")

_log = logging.getLogger(__name__)


class Trainable:
    """A method with its data, or with the networks of a checkpoint."""

    method: ClassVar[MethodName]

    def __init__(self, data: dict[str, Any], *, out: Folder | None, **options: Any) -> None:
        run = options.pop("run", {})
        content = {
            "name": Path(out).name if out else self.method,
            "summary": f"{type(self).__name__} {OWN_IMAGES}",
            "method": self.method,
            self.method: _named_networks(options),
            "data": data,
            "run": run,
        }
        try:
            self._recipe: Recipe | None = Recipe.model_validate(content)
        except ValidationError as error:
            raise RecipeError(f"{type(self).__name__}: {describe_error(error)}") from error
        self.out = Path(out) if out else Path("runs") / self.method
        self._checkpoint: Checkpoint | None = None
        self._networks: dict[str, nn.Module] = {}
        self._folders = {domain: data[domain] for domain in ("a", "b") if domain in data}

    @classmethod
    def load(cls: type[T], path: Folder) -> T:
        """Return the networks of a checkpoint, to translate, save or export.

        Raises:
            CheckpointError: The file is missing, damaged, or of another method.
        """
        checkpoint = load_checkpoint(Path(path))
        if checkpoint.method != cls.method:
            raise CheckpointError(
                f"{path} was trained by {checkpoint.method}, expected {cls.method}: "
                "load it with the class of its method"
            )
        loaded = cls.__new__(cls)
        loaded._recipe, loaded.out, loaded._folders = None, Path(path).parent, {}
        loaded._take(checkpoint)
        return loaded

    def train(
        self,
        epochs: int | None = None,
        *,
        device: str = "auto",
        on_progress: Any = None,
        loggers: Sequence[Any] = (),
    ) -> None:
        """Train for `epochs` in all, those of runs before in the same folder included.

        Args:
            epochs: constant and falling rates share them as in the method's schedule, which is
                taken as it is where none are given.
            device: auto, cpu or gpu. For several, write a recipe and use the command line.
            on_progress: called after each step with a `meter.Progress`.
            loggers: further Lightning loggers.

        Raises:
            UsageError: This was loaded from a checkpoint and has no data.
            TrainingError: A loss is not finite.
            KeyboardInterrupt: Ctrl-C; the run was saved, and goes on when called again.
        """
        from dayshift.train.loop.devices import parse_devices
        from dayshift.train.loop.fit import fit

        if self._recipe is None:
            raise UsageError("a loaded checkpoint has no data: make one with folders to train")
        recipe = self._recipe if epochs is None else _for_epochs(self._recipe, epochs)
        path = fit(
            recipe,
            Path(),
            self.out,
            devices=parse_devices(device, 1, 1),
            loggers=loggers,
            on_progress=on_progress,
        )
        self._take(load_checkpoint(path))

    def save(self, path: Folder) -> Path:
        """Write the networks that translate to a safetensors file, and return its path."""
        save_checkpoint(Path(path), self.checkpoint)
        return Path(path)

    def export(
        self,
        out: Folder,
        *,
        direction: str | None = None,
        calibration: Sequence[Folder] = (),
        frames: Sequence[Folder] = (),
        budget_s: float = 180.0,
    ) -> Path:
        """Write a model folder for `dayshift.load`, and return its path.

        Args:
            out: folder to make.
            direction: "b_to_a" for the other network of a CycleGAN or UNIT; the first by default.
            calibration: videos or folders of images that set the ranges of int8; the training's
                source images by default, and no int8 where these are fewer than 8.
            frames: others, on which every graph is compared with PyTorch; likewise.
            budget_s: seconds to search for int8; the trial at work is finished.

        Raises:
            UsageError: This was loaded from a checkpoint, and no frames are given; or calibration
                has fewer than 8; or there is no such direction.
            GateError: A graph's pictures differ too much.
            MissingDependency: The extra `export` is not installed.
        """
        # The one arrow upwards: this class is a facade over both layers; see ARCHITECTURE.md.
        from dayshift.export.frames import LEAST_FRAMES, read_frames  # noqa: TID251
        from dayshift.export.model_folder import Wanted, export_model  # noqa: TID251
        from dayshift.export.quantize import Settings  # noqa: TID251

        source = (direction or next(iter(self.checkpoint.networks)))[0]
        own = [self._folders[source]] if source in self._folders else []
        shown = read_frames([os.fspath(uri) for uri in calibration or own], count=64)
        without_int8 = None
        if not calibration and len(shown) < LEAST_FRAMES:
            without_int8 = (
                f"{len(shown)} images to calibrate on, of {LEAST_FRAMES} or more: give calibration"
            )
            _log.warning("%s has no int8: %s", out, without_int8)
        export_model(
            self.checkpoint,
            Path(out),
            calibration=shown,
            frames=read_frames([os.fspath(uri) for uri in frames or own], count=24),
            wanted=Wanted(
                direction, quantize=Settings(budget_s=budget_s, without_int8=without_int8)
            ),
        )
        return Path(out)

    @property
    def checkpoint(self) -> Checkpoint:
        """The networks that translate, as they are exported.

        Raises:
            UsageError: There are none yet.
        """
        if self._checkpoint is None:
            raise UsageError("nothing is trained yet: call train() or load() first")
        return self._checkpoint

    def _take(self, checkpoint: Checkpoint) -> None:
        self._checkpoint, self._networks = checkpoint, {}

    def _network(self, direction: str) -> nn.Module:
        if direction not in self._networks:
            self._networks[direction] = self.checkpoint.network(direction)
        return self._networks[direction]

    def _translate(self, frame: Pixels, direction: str) -> Pixels:
        network = self._network(direction)
        frame = check_pixels(frame)
        height, width = frame.shape[:2]
        multiple = int(getattr(network, "multiple", 1))
        padded = pad_frame(frame, *padded_size(height, width, multiple=multiple))
        image = translate_sample(network, direction, {direction[0]: to_tensor(padded)})
        return np.ascontiguousarray(to_image(image)[:height, :width])


def _named_networks(options: dict[str, Any]) -> dict[str, Any]:
    """Let a preset's name stand for a network with its settings."""
    return {
        key: {"name": value}
        if key in ("generator", "discriminator", "encoder", "student") and isinstance(value, str)
        else value
        for key, value in options.items()
    }


def _for_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """Return the recipe with a run of so many epochs, its rates falling in the same share of it."""
    settings: Section = recipe.settings
    schedule = getattr(settings, "schedule", None)
    if epochs < 1:
        raise UsageError(f"got epochs {epochs}, expected 1 or more")
    if isinstance(schedule, LinearDecay):
        whole = schedule.constant_epochs + schedule.decay_epochs
        decay = epochs * schedule.decay_epochs // whole
        fields: dict[str, Any] = {
            "schedule": LinearDecay(constant_epochs=epochs - decay, decay_epochs=decay)
        }
    else:
        fields = {"steps": epochs * _steps_per_epoch(recipe)}
    return recipe.model_copy(update={recipe.method: settings.model_copy(update=fields)})


def _steps_per_epoch(recipe: Recipe) -> int:
    from dayshift.train.data import steps_per_epoch
    from dayshift.train.methods.relight_data import RelightDataSection

    assert not isinstance(recipe.data, RelightDataSection)  # the API has no such class
    dataset = recipe.data.open(Path(), recipe.run.seed)
    return steps_per_epoch(dataset, recipe.run.batch_size * recipe.run.accumulate)
