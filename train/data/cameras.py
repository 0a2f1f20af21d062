"""Aligned sets for `methods.relight`: rendered scenes, and days and nights of fixed cameras."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dayshift.runtime.image import Pixels
from dayshift.train.data.images import DataError, list_images, read_image


@dataclass(frozen=True)
class Rendering:
    """One scene and camera at several hours, pixel-exact.

    Attributes:
        day: uint8 BGR (H, W, 3).
        others: By the hour's name, shaped like `day`; not every scene has every hour.
    """

    day: Pixels
    others: dict[str, Pixels]


def load_renderings(root: Path, hours: Iterable[str], split: str = "train") -> list[Rendering]:
    """Read `root`/day/`split` and what there is of `root`/HOUR/`split` for the same names.

    Raises:
        DataError: No scene has a day and one of the hours.
    """
    folders = {hour: root / hour / split for hour in hours}
    scenes = []
    for path in list_images([root / "day" / split]):
        found = {hour: folder / path.name for hour, folder in folders.items()}
        others = {hour: read_image(file) for hour, file in found.items() if file.exists()}
        if others:
            scenes.append(Rendering(read_image(path), others))
    if not scenes:
        raise DataError(
            f"no image of {root / 'day' / split} is in one of "
            f"{', '.join(map(str, folders.values()))}"
        )
    return scenes


@dataclass(frozen=True)
class Pairs:
    """Days and nights of fixed cameras: any two of one scene are aligned but for traffic."""

    scenes: list[tuple[list[Pixels], list[Pixels]]]

    @classmethod
    def load(cls, table: Path, root: Path, tiers: Sequence[str]) -> Pairs:
        """Read a table with columns day, night, scene, tier, whose paths are relative to `root`."""
        if not table.is_file():
            raise DataError(
                f"no table {table}: expected a CSV with columns day, night, scene, tier"
            )
        days: dict[str, set[str]] = defaultdict(set)
        nights: dict[str, set[str]] = defaultdict(set)
        with table.open(newline="") as lines:
            for row in csv.DictReader(lines):
                if row["tier"] in tiers:
                    days[row["scene"]].add(row["day"])
                    nights[row["scene"]].add(row["night"])
        if not days:
            raise DataError(f"no row of {table} has a tier in {list(tiers)}")
        return cls(
            [
                (
                    [read_image(root / p) for p in sorted(days[s])],
                    [read_image(root / p) for p in sorted(nights[s])],
                )
                for s in sorted(days)
            ]
        )
