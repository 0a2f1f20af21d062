"""Image files for training: listed, read and resized by OpenCV, with the arithmetic of the runtime.

Images are uint8 BGR (H, W, 3) until they become a tensor. Label maps are int32 (H, W).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.image import MIN_SIDE, Pixels
from dayshift.runtime.sources.images import IMAGE_SUFFIXES

Labels = npt.NDArray[np.int32]

_NAMES_SHOWN = 5


class DataError(DayshiftError):
    """Training data is missing or unusable; the message names the file and what to do."""


class OddImage(DataError):
    """One image cannot be used. Data sets skip it, name it and count it."""


def source_of(path: Path) -> str:
    """Return the beginning TIER_SOURCE of a photo's name, such as A_pexels of A_pexels_12.jpg."""
    return "_".join(path.stem.split("_")[:2])


def list_images(folders: Iterable[Path], pattern: str = "*") -> list[Path]:
    """Return the images directly in `folders` whose names match `pattern`, sorted.

    Args:
        folders: where to look.
        pattern: of file names; `**/*` also takes those of subfolders.

    Raises:
        DataError: A folder is missing, or no image matches in any of them.
    """
    folders = list(folders)
    paths: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(
                f"no folder {folder}: expected one with images; a recipe's are below that of --data"
            )
        paths += [p for p in folder.glob(pattern) if _is_image(p)]
    if not paths:
        found = "; ".join(f"{folder} holds {_contents(folder)}" for folder in folders)
        raise DataError(
            f"no image matches {pattern!r}: {found}; expected {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return sorted(paths)


def match_folders(folders: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Return the files that belong together: the same path below each folder, but for its suffix.

    Raises:
        DataError: A folder is missing or empty, two of its images differ in the suffix only, or
            some image has no counterpart.
    """
    tables = [_by_stem(folder) for folder in folders]
    common = set.intersection(*(set(table) for table in tables))
    found = [
        f"{folder} has {len(table)}{_only(set(table) - common)}"
        for folder, table in zip(folders, tables, strict=True)
    ]
    if any(len(table) != len(common) for table in tables):
        raise DataError(
            f"folders do not match: {'; '.join(found)}; {len(common)} names are in all: "
            "give each image its counterpart of the same name, or take it away"
        )
    return [tuple(table[name] for table in tables) for name in sorted(common)]


def read_image(path: Path) -> Pixels:
    """Read a BGR image (H, W, 3), turned as its EXIF orientation says; gray becomes colour.

    Raises:
        OddImage: The file is missing, cut short, not an image, or has a side shorter than 16.
    """
    return np.asarray(_decode(path, cv2.IMREAD_COLOR), dtype=np.uint8)


def read_labels(path: Path) -> Labels:
    """Read a label map (H, W): the values of a picture of one channel, 8 or 16 bits.

    The three channels of a colour picture are read as one number, R + 256 G + 65536 B, which is
    how instances are often stored.

    Raises:
        OddImage: As `read_image`.
    """
    values = np.asarray(_decode(path, cv2.IMREAD_UNCHANGED)).astype(np.int32)
    if values.ndim == 2:
        return values
    return np.asarray(values[..., :3] @ np.array([65536, 256, 1], np.int32), dtype=np.int32)


def resize(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the image at `size` (height, width): averaged where it shrinks, else interpolated.

    The same arithmetic as the runtime's. Pillow's bicubic filter, which the authors' code uses,
    overshoots at edges, and no camera pipeline affords it.
    """
    # OpenCV does not average when one side shrinks and the other grows: the shrinking goes first.
    smaller = (min(image.shape[0], size[0]), min(image.shape[1], size[1]))
    for target, how in ((smaller, cv2.INTER_AREA), (size, cv2.INTER_LINEAR)):
        if image.shape[:2] != target:
            image = np.asarray(cv2.resize(image, target[::-1], interpolation=how), dtype=np.uint8)
    return image


def resize_labels(labels: Labels, size: tuple[int, int]) -> Labels:
    """Return the label map at `size` (height, width), each value that of the nearest pixel."""
    if labels.shape == size:
        return labels
    nearest = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(nearest, dtype=np.int32)


def to_tensor(image: Pixels) -> Tensor:
    """Return a BGR image (H, W, 3) as float32 RGB (3, H, W) in [-1, 1]."""
    rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(rgb / np.float32(127.5) - np.float32(1))


def to_image(tensor: Tensor) -> Pixels:
    """Invert `to_tensor` for one (3, H, W): clipped to [-1, 1] and rounded."""
    levels = (tensor.detach().float().clamp(-1, 1) + 1) * 127.5
    rgb = levels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(rgb[..., ::-1])


def _decode(path: Path, flags: int) -> npt.NDArray[np.generic]:
    """Decode a whole file; OpenCV by itself fills up a file that was cut short with gray."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OddImage(f"cannot read {path} ({error.strerror})") from error
    if _is_cut_short(content):
        raise OddImage(f"{path} is cut short: copy it again, or remove it")
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    if decoded is None:
        raise OddImage(f"cannot read {path} as an image: remove it or replace it by a JPEG or PNG")
    if min(decoded.shape[:2]) < MIN_SIDE:
        height, width = decoded.shape[:2]
        raise OddImage(f"{path} is {width}x{height}, expected sides of at least {MIN_SIDE}")
    return np.asarray(decoded)


def _is_cut_short(content: bytes) -> bool:
    if content.startswith(b"\xff\xd8"):  # JPEG: the last scan must end; thumbnails come before it
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG") and b"IEND" not in content[-1024:]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the images at any depth below a folder by their path in it without the suffix."""
    table: dict[str, Path] = {}
    for path in list_images([folder], "**/*"):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in table:
            raise DataError(f"{table[stem]} and {path} have one name: keep one of them")
        table[stem] = path
    return table


def _only(names: set[str]) -> str:
    """Say which names are without counterpart."""
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f" (only here: {shown}{more})"


def _contents(folder: Path) -> str:
    """Say what is in a folder: 3 .txt, 2 folders."""
    kinds = Counter(
        "folders" if p.is_dir() else p.suffix.lower() or "files without suffix"
        for p in folder.iterdir()
    )
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
