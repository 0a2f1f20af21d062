"""How a recipe says where its images lie, and the data set that comes of it.

Folders are relative to the data folder of the command line. What a run is validated on, and its
sample sheets show, lies in a second set of folders; without them it is the training's own images.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from dayshift.train.data import (
    ColorJitter,
    Dataset,
    EdgeFilter,
    LabelledImages,
    PairedImages,
    Preprocess,
    SketchedImages,
    UnpairedImages,
    make_loader,
    skip_report,
    steps_per_epoch,
)
from dayshift.train.methods.base import Batch, Section
from dayshift.train.methods.relight_data import RelightDataSection


class _Images(Section):
    """What every layout of images has.

    Attributes:
        licence: of the images, as the exported model states it.
        preprocess: scale, crop and mirroring.
        jitter: colour augmentation.
    """

    licence: str = ""
    preprocess: Preprocess = Preprocess()
    jitter: ColorJitter = ColorJitter()


class UnpairedData(_Images):
    """Two folders of images that do not belong together."""

    layout: Literal["unpaired"] = "unpaired"
    a: str
    b: str
    validation_a: str | None = None
    validation_b: str | None = None

    def open(self, root: Path, seed: int) -> Dataset:
        """Return the training images."""
        return self._open(root, self.a, self.b, self.preprocess, seed)

    def open_validation(self, root: Path) -> Dataset:
        """Return the validation images, the same crop every time."""
        a, b = self.validation_a or self.a, self.validation_b or self.b
        return self._open(root, a, b, self.preprocess.for_validation(), 0, vary=False)

    def _open(
        self,
        root: Path,
        a: str,
        b: str,
        preprocess: Preprocess,
        seed: int,
        *,
        vary: bool = True,
    ) -> Dataset:
        jitter = self.jitter if vary else ColorJitter()
        return UnpairedImages(root / a, root / b, preprocess, jitter=jitter, seed=seed)


class PairedData(_Images):
    """Two folders whose images go by the same names."""

    layout: Literal["paired"] = "paired"
    a: str
    b: str
    validation_a: str | None = None
    validation_b: str | None = None

    def open(self, root: Path, seed: int) -> Dataset:
        """Return the training images."""
        return PairedImages.from_folders(
            root / self.a, root / self.b, self.preprocess, jitter=self.jitter, seed=seed
        )

    def open_validation(self, root: Path) -> Dataset:
        """Return the validation images, the same crop every time."""
        a, b = self.validation_a or self.a, self.validation_b or self.b
        return PairedImages.from_folders(root / a, root / b, self.preprocess.for_validation())


class SideBySideData(_Images):
    """Files that hold A in one half and B in the other, as the authors of Pix2Pix publish them.

    Attributes:
        direction: "b_to_a" takes the right half as the input, as for facades.
    """

    layout: Literal["side_by_side"] = "side_by_side"
    folder: str
    validation: str | None = None
    direction: Literal["a_to_b", "b_to_a"] = "a_to_b"

    def open(self, root: Path, seed: int) -> Dataset:
        """Return the training images."""
        images = PairedImages.from_side_by_side(
            root / self.folder, self.preprocess, jitter=self.jitter, seed=seed
        )
        return self._turned(images)

    def open_validation(self, root: Path) -> Dataset:
        """Return the validation images, the same crop every time."""
        folder = root / (self.validation or self.folder)
        return self._turned(
            PairedImages.from_side_by_side(folder, self.preprocess.for_validation())
        )

    def _turned(self, images: PairedImages) -> Dataset:
        return images if self.direction == "a_to_b" else _Turned(images)


class SketchData(_Images):
    """One folder of photos; A is the sketch that is drawn of each, B the photo."""

    layout: Literal["sketches"] = "sketches"
    photos: str
    validation: str | None = None
    edge_filter: EdgeFilter = "canny"

    def open(self, root: Path, seed: int) -> Dataset:
        """Return the training images."""
        return SketchedImages(
            root / self.photos,
            self.preprocess,
            edge_filter=self.edge_filter,
            jitter=self.jitter,
            seed=seed,
        )

    def open_validation(self, root: Path) -> Dataset:
        """Return the validation images, the same crop every time."""
        return SketchedImages(
            root / (self.validation or self.photos),
            self.preprocess.for_validation(),
            edge_filter=self.edge_filter,
        )


class LabelData(_Images):
    """Label maps and their photos; see `data.LabelledImages`.

    Attributes:
        ignore: label of what belongs to no class; -1 where there is none.
    """

    layout: Literal["labels"] = "labels"
    labels: str
    photos: str
    instances: str | None = None
    validation_labels: str | None = None
    validation_photos: str | None = None
    validation_instances: str | None = None
    classes: PositiveInt
    ignore: int = 255
    palette: tuple[tuple[int, int, int], ...] | None = None

    def open(self, root: Path, seed: int) -> Dataset:
        """Return the training images."""
        return self._open(
            root, (self.labels, self.photos, self.instances), self.preprocess, self.jitter, seed
        )

    def open_validation(self, root: Path) -> Dataset:
        """Return the validation images, the same crop every time."""
        own = (self.validation_labels, self.validation_photos, self.validation_instances)
        folders = own if own[0] else (self.labels, self.photos, self.instances)
        return self._open(root, folders, self.preprocess.for_validation(), ColorJitter(), 0)

    def _open(
        self,
        root: Path,
        folders: tuple[str | None, str | None, str | None],
        preprocess: Preprocess,
        jitter: ColorJitter,
        seed: int,
    ) -> Dataset:
        labels, photos, instances = folders
        return LabelledImages(
            root / (labels or ""),
            root / (photos or ""),
            preprocess,
            classes=self.classes,
            instances=root / instances if instances else None,
            ignore=self.ignore if self.ignore >= 0 else None,
            palette=self.palette,
            jitter=jitter,
            seed=seed,
        )


ImageData = UnpairedData | PairedData | SideBySideData | SketchData | LabelData
DataSection = Annotated[ImageData | RelightDataSection, Field(discriminator="layout")]


class ImageSource:
    """Batches of a data set; the loop's `Source`."""

    def __init__(self, dataset: Dataset, *, batch_size: int, seed: int, workers: int) -> None:
        self._dataset, self._batch_size = dataset, batch_size
        self._seed, self._workers = seed, workers

    @property
    def images_per_batch(self) -> int:
        """Return the samples of a batch on each process."""
        return self._batch_size

    def batches_per_epoch(self, world: int) -> int:
        """Return how many batches each process takes from an epoch."""
        return steps_per_epoch(self._dataset, self._batch_size, world)

    def batches(self, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield batches without end, from number `start` on."""
        epoch, done = divmod(start, self.batches_per_epoch(world))
        return iter(
            make_loader(
                self._dataset,
                batch_size=self._batch_size,
                seed=self._seed,
                epoch=epoch,
                start=done,
                epochs=None,
                workers=self._workers,
                rank=rank,
                world=world,
            )
        )

    def facts(self) -> dict[str, Any]:
        """Return how many samples an epoch has, and which images were skipped."""
        report = skip_report(self._dataset.skipped())
        return {"samples": len(self._dataset), **({"skipped": report} if report else {})}


class _Turned:
    """A paired data set with A and B exchanged."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def sample(self, index: int, epoch: int) -> dict[str, Any]:
        sample = self._dataset.sample(index, epoch)
        return {"a": sample["b"], "b": sample["a"]}

    def skipped(self) -> list[Any]:
        return self._dataset.skipped()
