"""Training from Python: a method, its folders, `train`, `translate`, `save`, `export`.

    from dayshift.train import CycleGAN

    gan = CycleGAN("data/day", "data/night")
    gan.train(epochs=100)
    night = gan.translate_a_to_b(frame)
    gan.export("my-model/")

Frames are uint8 BGR (H, W, 3), as everywhere outside training. What a recipe's section [run] and
the method's section say are keyword arguments here: `run={"ema": 0.999}`, `pool_size=0`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels, pad_frame, padded_size
from dayshift.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from dayshift.train.data.images import to_image, to_tensor
from dayshift.train.loop.preview import translate_sample
from dayshift.train.methods.base import LinearDecay, Section
from dayshift.train.recipe import MethodName, Recipe, RecipeError, describe_error

Folder = str | os.PathLike[str]
T = TypeVar("T", bound="Trainable")


class Trainable:
    """A method with its data, or with the networks of a checkpoint."""

    method: ClassVar[MethodName]

    def __init__(self, data: dict[str, Any], *, out: Folder | None, **options: Any) -> None:
        run = options.pop("run", {})
        content = {
            "name": Path(out).name if out else self.method,
            "summary": f"{type(self).__name__} on images of your own.",
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
        self._sources: str | None = data.get("a")

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
        loaded._recipe, loaded.out, loaded._sources = None, Path(path).parent, None
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
        calibration: Sequence[Folder] = (),
        frames: Sequence[Folder] = (),
    ) -> Path:
        """Write a model folder for `dayshift.load`, and return its path.

        Args:
            out: folder to make.
            calibration: videos or folders of images that set the ranges of int8; the training's
                source images by default.
            frames: others, on which every graph is compared with PyTorch; likewise.

        Raises:
            UsageError: This was loaded from a checkpoint, and no frames are given.
            GateError: A graph's pictures differ too much.
            MissingDependency: The extra `export` is not installed.
        """
        # The one arrow upwards: this class is a facade over both layers; see ARCHITECTURE.md.
        from dayshift.export.frames import read_frames  # noqa: TID251
        from dayshift.export.model_folder import export_model  # noqa: TID251

        own = [self._sources] if self._sources else []
        export_model(
            self.checkpoint,
            Path(out),
            calibration=read_frames([os.fspath(uri) for uri in calibration or own], count=64),
            frames=read_frames([os.fspath(uri) for uri in frames or own], count=24),
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
        height, width = frame.shape[:2]
        multiple = int(getattr(network, "multiple", 1))
        padded = pad_frame(frame, *padded_size(height, width, multiple=multiple))
        image = translate_sample(network, direction, {direction[0]: to_tensor(padded)})
        return np.ascontiguousarray(to_image(image)[:height, :width])


class _ImageToImage(Trainable):
    """A method that translates a to b."""

    def translate_a_to_b(self, frame: Pixels) -> Pixels:
        """Translate a frame of a, uint8 BGR (H, W, 3); the image has its size.

        Raises:
            UsageError: Nothing is trained yet.
        """
        return self._translate(frame, "a_to_b")

    translate = translate_a_to_b


class _BothWays(_ImageToImage):
    """A method that learns both directions."""

    def translate_b_to_a(self, frame: Pixels) -> Pixels:
        """Translate a frame of b, uint8 BGR (H, W, 3); the image has its size.

        Raises:
            UsageError: Nothing is trained yet.
        """
        return self._translate(frame, "b_to_a")


class Pix2Pix(_ImageToImage):
    """Pix2Pix (Isola et al. 2017), on two folders whose images go by the same names."""

    method = "pix2pix"

    def __init__(
        self,
        a: Folder,
        b: Folder | None = None,
        *,
        out: Folder | None = None,
        preprocess: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Take two folders, or one whose files hold a and b side by side.

        Args:
            a: images to translate, or files with both halves.
            b: what they should become.
            out: run folder; runs/pix2pix by default.
            preprocess: fields of `data.Preprocess`.
            options: fields of `methods.pix2pix.Pix2PixConfig`, and run = fields of `RunSection`.

        Raises:
            RecipeError: An option is unknown or out of range.
        """
        folders = (
            {"layout": "side_by_side", "folder": os.fspath(a)}
            if b is None
            else {"layout": "paired", "a": os.fspath(a), "b": os.fspath(b)}
        )
        super().__init__({**folders, "preprocess": preprocess or {}}, out=out, **options)


class _Unpaired(Trainable):
    def __init__(
        self,
        a: Folder,
        b: Folder,
        *,
        out: Folder | None = None,
        preprocess: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Take two folders of images.

        Args:
            a: images of the one domain.
            b: images of the other.
            out: run folder; runs/METHOD by default.
            preprocess: fields of `data.Preprocess`.
            options: fields of the method's config, and run = fields of `RunSection`.

        Raises:
            RecipeError: An option is unknown or out of range.
        """
        data = {
            "layout": "unpaired",
            "a": os.fspath(a),
            "b": os.fspath(b),
            "preprocess": preprocess or {},
        }
        super().__init__(data, out=out, **options)


class CycleGAN(_Unpaired, _BothWays):
    """CycleGAN (Zhu et al. 2017), on two folders of images that do not belong together."""

    method = "cyclegan"


class UNIT(_Unpaired, _BothWays):
    """UNIT (Liu et al. 2017), on two folders of images that do not belong together."""

    method = "unit"


class CUT(_Unpaired, _ImageToImage):
    """CUT (Park et al. 2020), on two folders; FastCUT with variant="fastcut"."""

    method = "cut"


class SPADE(Trainable):
    """SPADE (Park et al. 2019), on label maps and their photos."""

    method = "spade"

    def __init__(
        self,
        labels: Folder,
        photos: Folder,
        *,
        classes: int,
        instances: Folder | None = None,
        ignore: int = 255,
        out: Folder | None = None,
        preprocess: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Take folders whose files go by the same names.

        Args:
            labels: label maps.
            photos: photos.
            classes: how many there are, from 0 to one less.
            instances: maps of instances, whose edges the network is shown.
            ignore: label of what belongs to no class; -1 where there is none.
            out: run folder; runs/spade by default.
            preprocess: fields of `data.Preprocess`; 512x256 by default.
            options: fields of `methods.spade.SpadeConfig`, and run = fields of `RunSection`.

        Raises:
            RecipeError: An option is unknown or out of range.
        """
        data = {
            "layout": "labels",
            "labels": os.fspath(labels),
            "photos": os.fspath(photos),
            "classes": classes,
            "ignore": ignore,
            "preprocess": preprocess or {"mode": "fixed", "crop_size": [256, 512]},
            **({"instances": os.fspath(instances)} if instances else {}),
        }
        options = {
            "labels": classes,
            "dont_care": ignore >= 0,
            "instances": instances is not None,
            **options,
        }
        super().__init__(data, out=out, **options)

    def translate(
        self, labels: npt.NDArray[np.integer[Any]], instances: npt.NDArray[Any] | None = None
    ) -> Pixels:
        """Paint a label map, integers (H, W): uint8 BGR (H, W, 3).

        Args:
            labels: class numbers; the number of classes stands for "no class".
            instances: numbers of things, integers (H, W), where it was trained with them.

        Raises:
            UsageError: A label is out of range, or the size is none that the network makes.
        """
        sample: dict[str, Tensor] = {"labels": torch.from_numpy(labels.astype(np.int64))}
        if instances is not None:
            sample["instances"] = torch.from_numpy(instances.astype(np.int64))
        return to_image(translate_sample(self._network("labels_to_b"), "labels_to_b", sample))


def _named_networks(options: dict[str, Any]) -> dict[str, Any]:
    """Let a preset's name stand for a network with its settings."""
    return {
        key: {"name": value}
        if key in ("generator", "discriminator", "encoder") and isinstance(value, str)
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
