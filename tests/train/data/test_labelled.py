from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dayshift.train.data import DataError, LabelledImages, Preprocess

Write = Callable[..., Path]

CROP = Preprocess(mode="crop", crop_size=32)


@pytest.fixture
def root(write_image: Write, tmp_path: Path) -> Path:
    """Photos whose blue channel is ten times the label, with instances and one ignored corner."""
    for index in range(3):
        labels = np.random.default_rng(index).integers(0, 4, (40, 48), dtype=np.uint8)
        photo = np.zeros((40, 48, 3), np.uint8)
        photo[..., 0] = labels * 10
        labels[0, 0] = 255
        write_image(f"labels/{index}.png", pixels=labels)
        write_image(f"photos/{index}.png", pixels=photo)
        write_image(f"instances/{index}.png", pixels=labels.astype(np.uint16) * 1000)
    return tmp_path


def open_dataset(root: Path, preprocess: Preprocess = CROP, **settings: object) -> LabelledImages:
    chosen: dict[str, object] = {"classes": 4, "instances": root / "instances", **settings}
    return LabelledImages(root / "labels", root / "photos", preprocess, **chosen)  # type: ignore[arg-type]


def test_labels_photo_and_instances_are_cut_alike(root: Path) -> None:
    dataset = open_dataset(root)
    for epoch in range(10):
        sample = dataset.sample(1, epoch)
        labels, blue = sample["labels"], (sample["b"][2] + 1) * 127.5
        known = labels < 4
        assert labels.dtype == sample["instances"].dtype == torch.int64
        assert labels.shape == (32, 32)
        assert torch.equal(blue[known].round().long(), labels[known] * 10)
        assert torch.equal(sample["instances"][known], labels[known] * 1000)


def test_what_has_no_class_becomes_the_one_after_the_last(root: Path) -> None:
    whole = Preprocess(mode="none", flip=False)
    assert open_dataset(root, whole).sample(0, 0)["labels"][0, 0] == 4


def test_without_instances_there_is_no_such_key(root: Path) -> None:
    assert set(open_dataset(root, instances=None).sample(0, 0)) == {"labels", "b"}


def test_a_label_out_of_range_names_file_value_and_place(root: Path, write_image: Write) -> None:
    labels = np.zeros((40, 48), np.uint8)
    labels[7, 9] = 57
    write_image("labels/1.png", pixels=labels)
    dataset = open_dataset(root)
    dataset.sample(0, 0)
    with pytest.raises(
        DataError,
        match=r"labels/1\.png has the label 57 at row 7, column 9: expected 0 to 3, or 255",
    ):
        dataset.sample(1, 0)


def test_without_an_ignored_label_255_is_out_of_range(root: Path) -> None:
    with pytest.raises(DataError, match="has the label 255 at row 0, column 0: expected 0 to 3;"):
        open_dataset(root, ignore=None).sample(0, 0)


def test_colour_pictures_are_read_by_their_palette(root: Path, write_image: Write) -> None:
    colours = ((128, 64, 32), (0, 0, 255), (255, 0, 0))
    classes = np.random.default_rng(0).integers(0, 3, (40, 48))
    picture = np.array(colours, np.uint8)[classes][..., ::-1]
    for index in range(3):
        write_image(f"labels/{index}.png", pixels=picture)
    whole = Preprocess(mode="none", flip=False)
    dataset = open_dataset(root, whole, classes=3, palette=colours)
    assert np.array_equal(dataset.sample(0, 0)["labels"].numpy(), classes)
    with pytest.raises(DataError, match=r"has the RGB colour \(255, 0, 0\) at row .* not one of"):
        open_dataset(root, whole, classes=2, palette=colours[:2]).sample(0, 0)


def test_a_map_of_another_size_than_its_photo_is_skipped(root: Path, write_image: Write) -> None:
    write_image("labels/2.png", pixels=np.zeros((44, 48), np.uint8))
    dataset = open_dataset(root)
    dataset.sample(2, 0)
    (skipped,) = dataset.skipped()
    assert "2.png is 48x40 and" in skipped.reason
    assert "2.png 48x44" in skipped.reason
