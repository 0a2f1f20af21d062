"""Label maps with their photos, for label-to-image methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dayshift.runtime.image import Pixels
from dayshift.train.data.augment import ColorJitter
from dayshift.train.data.datasets import AS_IS, Sample, check_pair, sample_generator
from dayshift.train.data.images import (
    DataError,
    Labels,
    match_folders,
    read_image,
    read_labels,
    to_tensor,
)
from dayshift.train.data.preprocess import Preprocess
from dayshift.train.data.shelf import Shelf, Skipped

Palette = tuple[tuple[int, int, int], ...]  # RGB
_Files = tuple[Pixels, Labels, Labels | None]


class LabelledImages:
    """Label maps with their photos and, if there are any, maps of instances.

    Args:
        labels: folder of label maps, see `read_labels`.
        photos: folder of photos by the same names.
        preprocess: one geometry for all of a sample; labels take the nearest value.
        classes: how many there are; labels go from 0 to one less.
        instances: folder of instance maps by the same names.
        ignore: the label of what belongs to no class; it becomes the number `classes`, as SPADE's
            code does it.
        palette: RGB colour of each class, where label maps are colour pictures.
        jitter: of the photo.
        seed: of the samples.

    Raises:
        DataError: A folder is missing or empty, or an image has no counterpart.
    """

    def __init__(
        self,
        labels: Path,
        photos: Path,
        preprocess: Preprocess,
        *,
        classes: int,
        instances: Path | None = None,
        ignore: int | None = 255,
        palette: Palette | None = None,
        jitter: ColorJitter = AS_IS,
        seed: int = 0,
    ) -> None:
        folders = [labels, photos] if instances is None else [labels, photos, instances]
        reader = _Reader(preprocess, classes, ignore, palette)
        self._shelf = Shelf(match_folders(folders), reader)
        self._preprocess = preprocess
        self._jitter = jitter
        self._seed = seed

    def __len__(self) -> int:
        return len(self._shelf)

    def sample(self, index: int, epoch: int) -> Sample:
        """Return labels, b and, with instance maps, instances.

        Raises:
            DataError: A label is out of range; the message says which, where.
        """
        rng = sample_generator(self._seed, epoch, index)
        photo, labels, instances = self._shelf.get(index)
        geometry = self._preprocess.draw(photo.shape[:2], rng)
        photo = self._jitter([geometry.image(photo)], rng)[0]
        sample = {"labels": _to_int64(geometry.labels(labels)), "b": to_tensor(photo)}
        if instances is not None:
            sample["instances"] = _to_int64(geometry.labels(instances))
        return sample

    def skipped(self) -> list[Skipped]:
        """Return the sets met so far that cannot be used."""
        return self._shelf.skipped()


def _to_int64(values: Labels) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))


@dataclass(frozen=True)
class _Reader:
    """Reads the files of one sample: labels, photo and, where there are any, instances."""

    preprocess: Preprocess
    classes: int
    ignore: int | None
    palette: Palette | None

    def __call__(self, paths: tuple[Path, ...]) -> _Files:
        labels, photo = self._labels(paths[0]), read_image(paths[1])
        instances = read_labels(paths[2]) if len(paths) > 2 else None
        check_pair(self.preprocess, (paths[1], paths[0]), (photo, labels))
        if instances is not None:
            check_pair(self.preprocess, (paths[1], paths[2]), (photo, instances))
        return photo, labels, instances

    def _labels(self, path: Path) -> Labels:
        values = read_labels(path)
        if self.palette is not None:
            return self._from_colours(values, path)
        dont_care = values == (-1 if self.ignore is None else self.ignore)
        wrong = ((values < 0) | (values >= self.classes)) & ~dont_care
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            but = "" if self.ignore is None else f", or {self.ignore} for what has no class"
            raise DataError(
                f"{path} has the label {values[row, column]} at row {row}, column {column}: "
                f"expected 0 to {self.classes - 1}{but}; correct the map, the number of classes, "
                "or give the palette of a colour picture"
            )
        return np.where(dont_care, np.int32(self.classes), values)

    def _from_colours(self, values: Labels, path: Path) -> Labels:
        numbers = np.array([r + 256 * g + 65536 * b for r, g, b in self.palette or ()], np.int32)
        order = np.argsort(numbers)
        places = np.searchsorted(numbers, values, sorter=order).clip(max=len(numbers) - 1)
        classes = order[places].astype(np.int32)
        wrong = numbers[classes] != values
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            value = int(values[row, column])
            raise DataError(
                f"{path} has the RGB colour ({value & 255}, {value >> 8 & 255}, {value >> 16}) at "
                f"row {row}, column {column}, not one of the palette: add it, or correct the map"
            )
        return np.asarray(classes)
