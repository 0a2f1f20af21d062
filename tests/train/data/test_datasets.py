from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dayshift.train.data import (
    ColorJitter,
    DataError,
    Dataset,
    PairedImages,
    Preprocess,
    SketchedImages,
    UnpairedImages,
    draw_sketch,
    skip_report,
)
from dayshift.train.data.images import read_image, to_image, to_tensor

Write = Callable[..., Path]

SMALL = Preprocess(load_size=36, crop_size=32)
WHOLE = Preprocess(mode="none", flip=False)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def datasets(a: Path, b: Path, seed: int = 0) -> list[Dataset]:
    jitter = ColorJitter(brightness=0.2)
    return [
        PairedImages.from_folders(a, b, SMALL, jitter=jitter, seed=seed),
        UnpairedImages(a, b, SMALL, jitter=jitter, seed=seed),
        SketchedImages(a, SMALL, jitter=jitter, seed=seed),
    ]


def test_a_sample_depends_on_seed_epoch_and_index_alone(folders: tuple[Path, Path]) -> None:
    for first, second, other in zip(
        datasets(*folders), datasets(*folders), datasets(*folders, seed=1), strict=True
    ):
        backwards = {(e, i): second.sample(i, e) for e in (1, 0) for i in (5, 2, 0)}
        for (epoch, index), sample in backwards.items():
            assert same(first.sample(index, epoch), sample)
        assert not same(backwards[0, 2], backwards[1, 2])
        assert not same(backwards[0, 2], other.sample(2, 0))


def test_both_of_a_pair_are_cut_alike(folders: tuple[Path, Path]) -> None:
    dataset = PairedImages.from_folders(*folders, SMALL)
    assert len(dataset) == 6
    for index in range(6):
        sample = dataset.sample(index, 3)
        assert sample["a"].shape == (3, 32, 32)
        # b holds the negative of a; interpolation commutes with that, up to rounding.
        assert (sample["a"] + sample["b"]).abs().max() < 3 / 127.5


def test_side_by_side_files_are_split_in_the_middle(write_image: Write, tmp_path: Path) -> None:
    a, b = np.full((32, 40, 3), 10, np.uint8), np.full((32, 40, 3), 200, np.uint8)
    write_image("both/1.png", pixels=np.hstack([a, b]))
    sample = PairedImages.from_side_by_side(tmp_path / "both", WHOLE).sample(0, 0)
    assert np.array_equal(to_image(sample["a"]), a)
    assert np.array_equal(to_image(sample["b"]), b)


def test_a_file_of_odd_width_has_no_halves(write_image: Write, tmp_path: Path) -> None:
    write_image("both/1.png", size=(32, 81))
    with pytest.raises(DataError, match=r"1\.png is 81 wide: two halves need an even width"):
        PairedImages.from_side_by_side(tmp_path / "both", WHOLE).sample(0, 0)


def test_unpaired_images_meet_random_partners(folders: tuple[Path, Path]) -> None:
    a, b = folders
    for name in ("3", "4", "5"):
        (a / f"{name}.png").unlink()
    dataset = UnpairedImages(a, b, WHOLE)
    assert len(dataset) == 6
    of_b = {to_tensor(read_image(path)).numpy().tobytes(): path.stem for path in b.iterdir()}
    partners = [
        [of_b[dataset.sample(index, epoch)["b"].numpy().tobytes()] for epoch in range(30)]
        for index in range(2)
    ]
    assert set(partners[0]) == set(of_b.values())
    assert partners[0] != partners[1]
    assert torch.equal(dataset.sample(4, 0)["a"], to_tensor(read_image(a / "1.png")))


def test_a_sketch_is_that_of_the_photo_beside_it(folders: tuple[Path, Path]) -> None:
    sample = SketchedImages(folders[0], SMALL, edge_filter="scharr").sample(1, 0)
    assert np.array_equal(to_image(sample["a"]), draw_sketch(to_image(sample["b"]), "scharr"))


def test_a_jitter_leaves_the_sketch_as_it_was(folders: tuple[Path, Path]) -> None:
    plain = SketchedImages(folders[0], SMALL).sample(1, 0)
    jittered = SketchedImages(folders[0], SMALL, jitter=ColorJitter(brightness=0.5)).sample(1, 0)
    assert torch.equal(plain["a"], jittered["a"])
    assert not torch.equal(plain["b"], jittered["b"])


def test_a_corrupt_image_gives_way_to_the_next_and_is_reported(folders: tuple[Path, Path]) -> None:
    a, b = folders
    (b / "2.png").write_bytes(b"junk")
    (a / "5.png").write_bytes((a / "5.png").read_bytes()[:40])
    dataset = PairedImages.from_folders(a, b, WHOLE)
    assert skip_report(dataset.skipped()) is None
    assert torch.equal(dataset.sample(2, 0)["a"], dataset.sample(3, 0)["a"])
    assert torch.equal(dataset.sample(5, 0)["a"], dataset.sample(0, 0)["a"])
    report = skip_report(dataset.skipped())
    assert report is not None
    assert report.startswith("skipped 2 images: cannot read ")
    assert "2.png" in report
    assert "5.png is cut short" in report


def test_a_folder_of_nothing_usable_is_an_error(folders: tuple[Path, Path]) -> None:
    for path in folders[0].iterdir():
        path.write_bytes(b"junk")
    dataset = UnpairedImages(*folders, WHOLE)
    for _ in range(2):
        with pytest.raises(DataError, match="none of 6 images can be used; the last: cannot read"):
            dataset.sample(0, 0)


def test_an_image_too_small_for_the_crop_is_skipped(
    folders: tuple[Path, Path], write_image: Write
) -> None:
    write_image("a/0.png", size=(20, 60))
    dataset = UnpairedImages(*folders, Preprocess(mode="crop", crop_size=32))
    dataset.sample(0, 0)
    (skipped,) = dataset.skipped()
    assert skipped.reason.endswith("0.png: 60x20 is too small for a crop of 32x32")


def test_a_pair_of_two_sizes_is_odd_unless_both_are_brought_to_one(
    folders: tuple[Path, Path], write_image: Write
) -> None:
    write_image("b/0.png", size=(50, 48))
    whole = PairedImages.from_folders(*folders, WHOLE)
    whole.sample(0, 0)
    (skipped,) = whole.skipped()
    assert "0.png is 48x40 and" in skipped.reason
    squared = PairedImages.from_folders(*folders, SMALL)
    squared.sample(0, 0)
    assert squared.skipped() == []


def test_folders_without_counterparts_are_refused(folders: tuple[Path, Path]) -> None:
    (folders[0] / "3.png").unlink()
    with pytest.raises(DataError, match=r"b has 6 \(only here: 3\)"):
        PairedImages.from_folders(*folders, SMALL)


def test_a_png_and_a_jpeg_make_a_pair(folders: tuple[Path, Path]) -> None:
    image = read_image(folders[0] / "0.png")
    (folders[0] / "0.png").unlink()
    assert cv2.imwrite(str(folders[0] / "0.jpg"), image)
    assert len(PairedImages.from_folders(*folders, SMALL)) == 6
