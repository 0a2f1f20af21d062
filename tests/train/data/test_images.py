from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dayshift.runtime.image import shrink
from dayshift.train.data import DataError, OddImage, images

Write = Callable[..., Path]


def test_all_levels_survive_the_way_to_a_tensor_and_back() -> None:
    image = np.arange(256 * 3, dtype=np.uint32).reshape(16, 16, 3).astype(np.uint8)
    assert np.array_equal(images.to_image(images.to_tensor(image)), image)


def test_a_tensor_is_rgb_from_minus_one_to_one() -> None:
    blue = np.zeros((16, 16, 3), np.uint8)
    blue[..., 0] = 255
    tensor = images.to_tensor(blue)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 16, 16)
    assert tensor[:, 0, 0].tolist() == [-1, -1, 1]


def test_shrinking_by_an_integer_is_what_the_runtime_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    assert np.array_equal(images.resize(image, (20, 30)), shrink(image, 3))


def test_a_side_that_shrinks_is_averaged_while_the_other_grows() -> None:
    stripes = np.zeros((16, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    stretched = images.resize(stripes, (32, 16))
    assert stretched.shape == (32, 16, 3)
    assert np.abs(stretched.astype(int) - 100).max() <= 1


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_file_that_was_cut_short_is_named(write_image: Write, suffix: str) -> None:
    path = write_image(f"whole{suffix}", size=(200, 300))
    images.read_image(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(OddImage, match=rf"whole\{suffix} is cut short"):
        images.read_image(path)


def test_a_thumbnail_does_not_make_a_cut_jpeg_whole(write_image: Write) -> None:
    path = write_image("photo.jpg", size=(200, 300))
    content = path.read_bytes()
    thumbnail = write_image("thumbnail.jpg").read_bytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path.write_bytes(content[:2] + segment + content[2:])
    images.read_image(path)
    path.write_bytes((content[:2] + segment + content[2:])[:-400])
    with pytest.raises(OddImage, match="cut short"):
        images.read_image(path)


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(OddImage, match=r"cannot read .*x\.jpg as an image"):
        images.read_image(path)


def test_a_missing_file_and_a_tiny_one_are_named(tmp_path: Path, write_image: Write) -> None:
    with pytest.raises(OddImage, match=r"nowhere\.png \(No such file"):
        images.read_image(tmp_path / "nowhere.png")
    with pytest.raises(OddImage, match=r"tiny\.png is 15x16, expected sides of at least 16"):
        images.read_image(write_image("tiny.png", size=(16, 15)))


def test_gray_transparent_and_deep_pictures_become_bgr(write_image: Write) -> None:
    for pixels in (
        np.full((20, 20), 128, np.uint8),
        np.full((20, 20, 4), 128, np.uint8),
        np.full((20, 20, 3), 128 * 257, np.uint16),
    ):
        image = images.read_image(write_image("odd.png", pixels=pixels))
        assert image.shape == (20, 20, 3)
        assert image.dtype == np.uint8
        assert image[0, 0].tolist() == [128, 128, 128]


def test_labels_keep_their_numbers(write_image: Write) -> None:
    deep = np.arange(400, dtype=np.uint16).reshape(20, 20) * 100
    assert np.array_equal(images.read_labels(write_image("deep.png", pixels=deep)), deep)
    colour = np.zeros((20, 20, 3), np.uint8)
    colour[...] = (3, 2, 1)  # BGR
    assert set(images.read_labels(write_image("colour.png", pixels=colour)).flat) == {
        1 + 256 * 2 + 65536 * 3
    }


def test_resized_labels_are_values_that_were_there() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 7, 100000], np.int32), (30, 50))
    small = images.resize_labels(labels, (17, 23))
    assert small.shape == (17, 23)
    assert set(small.flat) <= {0, 7, 100000}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere: expected one with images"):
        images.list_images([tmp_path / "nowhere"])


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "LICENSE"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match=r"holds 2 \.txt, 1 files without suffix, 1 folders"):
        images.list_images([tmp_path])


def test_folders_match_by_path_without_suffix(tmp_path: Path, write_image: Write) -> None:
    for name in ("a/berlin/1.png", "b/berlin/1.jpg", "a/2.png", "b/2.png", "b/.hidden.png"):
        write_image(name)
    pairs = images.match_folders([tmp_path / "a", tmp_path / "b"])
    assert [[p.relative_to(tmp_path).as_posix() for p in pair] for pair in pairs] == [
        ["a/2.png", "b/2.png"],
        ["a/berlin/1.png", "b/berlin/1.jpg"],
    ]


def test_folders_that_do_not_match_list_what_was_found(tmp_path: Path, write_image: Write) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/7.png", "b/8.png"):
        write_image(name)
    with pytest.raises(
        DataError,
        match=r"a has 2 \(only here: 2\); .*b has 3 \(only here: 7, 8\); 1 names are in all",
    ):
        images.match_folders([tmp_path / "a", tmp_path / "b"])


def test_two_images_of_one_name_are_an_error(tmp_path: Path, write_image: Write) -> None:
    write_image("a/1.png")
    write_image("a/1.jpg")
    with pytest.raises(DataError, match=r"1\.jpg and .*1\.png have one name"):
        images.match_folders([tmp_path / "a"])


def test_pictures_are_turned_as_their_camera_says(tmp_path: Path, write_image: Write) -> None:
    path = write_image("wide.jpg", size=(20, 40))
    content = path.read_bytes()
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
    exif = b"Exif\0\0" + tiff
    path.write_bytes(
        content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]
    )
    assert images.read_image(path).shape == (40, 20, 3)
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
