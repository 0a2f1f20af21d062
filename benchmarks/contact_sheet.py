"""What does it look like? Unseen photos beside their translations, on one picture to look at.

    python -m dayshift.benchmarks.contact_sheet day2night --photos DATA/day/test --out sheet.jpg

Takes `--count` photos evenly from the sources in their names, TIER_SOURCE_…; nobody chose them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from dayshift.runtime.image import Pixels
from dayshift.runtime.model import load
from dayshift.train.data.images import list_images, read_image, source_of


def pick_evenly(paths: Sequence[Path], count: int) -> list[Path]:
    """Return photos of every source in turn, of each evenly over its list."""
    sources: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        sources[source_of(path)].append(path)
    share = -(-count // max(1, len(sources)))
    spread = [source[:: max(1, len(source) // share)] for source in sources.values()]
    return [path for turn in zip_longest(*spread) for path in turn if path is not None][:count]


def fit(image: Pixels, height: int, width: int) -> Pixels:
    """Return the middle of an image in the aspect of `height` and `width`, at that size."""
    h, w = image.shape[:2]
    scale = min(h / height, w / width)
    rows, columns = round(height * scale), round(width * scale)
    top, left = (h - rows) // 2, (w - columns) // 2
    part = image[top : top + rows, left : left + columns]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def main(argv: Sequence[str] | None = None) -> None:
    """Translate and write the sheet."""
    parser = argparse.ArgumentParser(description="a sheet of unseen photos and their translations")
    parser.add_argument("model", nargs="?", default="day2night", help="name or model folder")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pattern", default="*", help="of file names, such as A_*")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--tile", default="320x180")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    width, height = (int(side) for side in args.tile.split("x"))
    tiles = []
    with load(args.model, strength=args.strength) as model:
        for path in pick_evenly(list_images([args.photos], args.pattern), args.count):
            photo = read_image(path)
            tiles.append(np.hstack([fit(i, height, width) for i in (photo, model(photo))]))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % args.columns)
    rows = [np.hstack(tiles[at : at + args.columns]) for at in range(0, len(tiles), args.columns)]
    cv2.imwrite(str(args.out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
