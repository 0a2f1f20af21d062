"""Data sets of the methods: pairs, unpaired folders, sketches; `labelled` has those of labels.

A sample is a function of (seed, epoch, index) and of the files alone: not of the worker that makes
it, nor of what was made before. Keys and shapes, where H and W are as `Preprocess` says:

| key | type, shape | meaning |
|---|---|---|
| a, b | float32 (3, H, W) | RGB in [-1, 1] |
| labels | int64 (H, W) | class numbers; with b |
| instances | int64 (H, W) | numbers of things, only their borders mean something; with labels |
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dayshift.runtime.image import Pixels
from dayshift.train.data.augment import ColorJitter
from dayshift.train.data.edges import EdgeFilter, draw_sketch
from dayshift.train.data.images import OddImage, list_images, match_folders, read_image, to_tensor
from dayshift.train.data.preprocess import Preprocess
from dayshift.train.data.shelf import Shelf, Skipped

Sample = dict[str, Tensor]
Pair = tuple[Pixels, Pixels]

AS_IS = ColorJitter()
_SAMPLES = 2  # keeps the streams of samples apart from those of orders, see `loader`


class Dataset(Protocol):
    """What a loader reads."""

    def __len__(self) -> int: ...

    def sample(self, index: int, epoch: int) -> Sample:
        """Return one sample: a function of its arguments, of the data set's seed and files."""
        ...

    def skipped(self) -> list[Skipped]:
        """Return the images met so far, in any worker, that cannot be used."""
        ...


class PairedImages:
    """Aligned images of two domains. The same crop, mirroring and colour jitter meets both."""

    def __init__(
        self,
        pairs: Shelf[tuple[Path, ...], Pair],
        preprocess: Preprocess,
        *,
        jitter: ColorJitter = AS_IS,
        seed: int = 0,
    ) -> None:
        self._pairs = pairs
        self._preprocess = preprocess
        self._jitter = jitter
        self._seed = seed

    @classmethod
    def from_folders(
        cls,
        a: Path,
        b: Path,
        preprocess: Preprocess,
        *,
        jitter: ColorJitter = AS_IS,
        seed: int = 0,
    ) -> PairedImages:
        """Read two folders whose images go by the same names, subfolders included.

        Raises:
            DataError: A folder is missing or empty, or an image has no counterpart.
        """
        read = partial(_read_pair, preprocess)
        return cls(Shelf(match_folders([a, b]), read), preprocess, jitter=jitter, seed=seed)

    @classmethod
    def from_side_by_side(
        cls, folder: Path, preprocess: Preprocess, *, jitter: ColorJitter = AS_IS, seed: int = 0
    ) -> PairedImages:
        """Read files that hold A in their left half and B in their right one.

        Raises:
            DataError: The folder is missing or empty.
        """
        files = [(path,) for path in list_images([folder], "**/*")]
        read = partial(_read_halves, preprocess)
        return cls(Shelf(files, read), preprocess, jitter=jitter, seed=seed)

    def __len__(self) -> int:
        return len(self._pairs)

    def sample(self, index: int, epoch: int) -> Sample:
        """Return a and b."""
        rng = sample_generator(self._seed, epoch, index)
        a, b = self._pairs.get(index)
        geometry = self._preprocess.draw(a.shape[:2], rng)
        a, b = self._jitter([geometry.image(a), geometry.image(b)], rng)
        return {"a": to_tensor(a), "b": to_tensor(b)}

    def skipped(self) -> list[Skipped]:
        """Return the pairs met so far that cannot be used."""
        return self._pairs.skipped()


class UnpairedImages:
    """Images of two domains that do not belong together. An epoch is once through the larger one.

    Each image of A comes with a random one of B, as in the authors' code, each with a crop,
    mirroring and jitter of its own. Where B is the larger one, A starts over.
    """

    def __init__(
        self,
        a: Path,
        b: Path,
        preprocess: Preprocess,
        *,
        jitter: ColorJitter = AS_IS,
        seed: int = 0,
    ) -> None:
        """Read two folders, subfolders included.

        Raises:
            DataError: A folder is missing or empty.
        """
        read = partial(_read_one, preprocess)
        self._a, self._b = (Shelf(list_images([folder], "**/*"), read) for folder in (a, b))
        self._preprocess = preprocess
        self._jitter = jitter
        self._seed = seed

    def __len__(self) -> int:
        return max(len(self._a), len(self._b))

    def sample(self, index: int, epoch: int) -> Sample:
        """Return a and b."""
        rng = sample_generator(self._seed, epoch, index)
        a = self._a.get(index % len(self._a))
        b = self._b.get(int(rng.integers(len(self._b))))
        return {"a": self._varied(a, rng), "b": self._varied(b, rng)}

    def skipped(self) -> list[Skipped]:
        """Return the images met so far that cannot be used."""
        return self._a.skipped() + self._b.skipped()

    def _varied(self, image: Pixels, rng: np.random.Generator) -> Tensor:
        image = self._preprocess.draw(image.shape[:2], rng).image(image)
        return to_tensor(self._jitter([image], rng)[0])


class SketchedImages:
    """Photos as b, and as a the sketch that `draw_sketch` makes of each on the fly.

    Lines are drawn after the crop and before the jitter: as thin at every scale, and of the scene
    alone.
    """

    def __init__(
        self,
        photos: Path,
        preprocess: Preprocess,
        *,
        edge_filter: EdgeFilter = "canny",
        jitter: ColorJitter = AS_IS,
        seed: int = 0,
    ) -> None:
        """Read a folder, subfolders included.

        Raises:
            DataError: The folder is missing or empty.
        """
        self._photos = Shelf(list_images([photos], "**/*"), partial(_read_one, preprocess))
        self._preprocess = preprocess
        self._edge_filter: EdgeFilter = edge_filter
        self._jitter = jitter
        self._seed = seed

    def __len__(self) -> int:
        return len(self._photos)

    def sample(self, index: int, epoch: int) -> Sample:
        """Return a, the sketch, and b, the photo."""
        rng = sample_generator(self._seed, epoch, index)
        photo = self._photos.get(index)
        photo = self._preprocess.draw(photo.shape[:2], rng).image(photo)
        sketch = draw_sketch(photo, self._edge_filter)
        return {"a": to_tensor(sketch), "b": to_tensor(self._jitter([photo], rng)[0])}

    def skipped(self) -> list[Skipped]:
        """Return the photos met so far that cannot be used."""
        return self._photos.skipped()


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the stream of random numbers that a sample is made of."""
    return np.random.default_rng((_SAMPLES, seed, epoch, index))


def check_pair(
    preprocess: Preprocess,
    paths: tuple[Path, Path],
    images: tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]],
) -> None:
    """Raise an OddImage unless two aligned arrays (H, W, …) fit each other and the crop."""
    first, second = (image.shape[:2] for image in images)
    if first != second and not preprocess.takes_any_aspect:
        raise OddImage(
            f"{paths[0]} is {first[1]}x{first[0]} and {paths[1]} {second[1]}x{second[0]}: "
            f"what belongs together must have one size where the mode is {preprocess.mode!r}"
        )
    _check_crop(preprocess, images[0], paths[0])


def _read_one(preprocess: Preprocess, path: Path) -> Pixels:
    image = read_image(path)
    _check_crop(preprocess, image, path)
    return image


def _read_pair(preprocess: Preprocess, paths: tuple[Path, ...]) -> Pair:
    images = read_image(paths[0]), read_image(paths[1])
    check_pair(preprocess, (paths[0], paths[1]), images)
    return images


def _read_halves(preprocess: Preprocess, paths: tuple[Path, ...]) -> Pair:
    both = read_image(paths[0])
    half, odd = divmod(both.shape[1], 2)
    if odd:
        raise OddImage(f"{paths[0]} is {both.shape[1]} wide: two halves need an even width")
    _check_crop(preprocess, both[:, :half], paths[0])
    return both[:, :half], both[:, half:]


def _check_crop(preprocess: Preprocess, image: npt.NDArray[np.generic], path: Path) -> None:
    try:
        preprocess.check_image((image.shape[0], image.shape[1]))
    except OddImage as error:
        raise OddImage(f"{path}: {error}") from error
