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
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels
from dayshift.train.comparison import Comparison, compare
from dayshift.train.data.images import to_image
from dayshift.train.loop.preview import translate_sample
from dayshift.train.teacher import take_teacher
from dayshift.train.trainable import Folder, Trainable


class _ImageToImage(Trainable):
    """A method that translates a to b."""

    def translate_a_to_b(self, frame: Pixels) -> Pixels:
        """Translate a frame of a, uint8 BGR (H, W, 3); the image has its size.

        Raises:
            UsageError: Nothing is trained yet, or this is no such frame.
        """
        return self._translate(frame, "a_to_b")

    translate = translate_a_to_b


class _BothWays(_ImageToImage):
    """A method that learns both directions."""

    def translate_b_to_a(self, frame: Pixels) -> Pixels:
        """Translate a frame of b, uint8 BGR (H, W, 3); the image has its size.

        Raises:
            UsageError: Nothing is trained yet, or this is no such frame.
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


class Student(Trainable):
    """A small network that learns what a finished, larger one does; it has its direction."""

    method = "distill"

    def __init__(
        self,
        teacher: Folder,
        a: Folder,
        b: Folder,
        *,
        direction: str | None = None,
        paired: bool = False,
        out: Folder | None = None,
        preprocess: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Take a checkpoint and the folders of its two domains.

        Args:
            teacher: its checkpoint, of whatever method.
            a: images of the one domain.
            b: images of the other.
            direction: "a_to_b" or "b_to_a", of the teacher; its first by default.
            paired: the images go by the same names and belong together.
            out: run folder; runs/distill by default.
            preprocess: fields of `data.Preprocess`.
            options: fields of `methods.distill.DistillConfig`, such as student="resnet_edge", and
                run = fields of `RunSection`.

        Raises:
            RecipeError: An option is unknown or out of range.
            CheckpointError: The teacher cannot be read.
            UsageError: It translates no images, or not in this direction.
        """
        data: dict[str, Any] = {
            "layout": "paired" if paired else "unpaired",
            "a": os.fspath(a),
            "b": os.fspath(b),
            "preprocess": preprocess or {},
        }
        super().__init__(data, out=out, paired=paired, **options)
        assert self._recipe is not None
        self._recipe, self._teacher = take_teacher(self._recipe, os.fspath(teacher), direction)

    def translate(self, frame: Pixels) -> Pixels:
        """Translate a frame, uint8 BGR (H, W, 3), in its teacher's direction; the size is kept.

        Raises:
            UsageError: Nothing is trained yet.
        """
        return self._translate(frame, next(iter(self.checkpoint.networks)))

    def compare(self) -> Comparison:
        """Measure it beside its teacher: parameters, time on this machine, likeness.

        Raises:
            UsageError: It is not trained yet, or was loaded and has neither teacher nor images.
        """
        if self._recipe is None:
            raise UsageError("a loaded checkpoint has no teacher: make a Student to compare")
        student = self.checkpoint.network()
        return compare(self._recipe, Path(), self._teacher, student)
