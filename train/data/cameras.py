"""Aligned sets for `methods.relight`: rendered triples, and days and nights of fixed cameras."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dayshift.runtime.image import Pixels
from dayshift.train.data.images import DataError, list_images, read_image


@dataclass(frozen=True)
class Triples:
    """The same scene and camera by day, dusk and night, pixel-exact: lists of equal length."""

    day: list[Pixels]
    dusk: list[Pixels]
    night: list[Pixels]

    @classmethod
    def load(cls, root: Path, split: str = "train") -> Triples:
        """Read `root`/{day,dusk,night}/`split`; names that lack one of the three are left out."""
        folders = [root / time / split for time in ("day", "dusk", "night")]
        names = set.intersection(*({p.name for p in list_images([f])} for f in folders))
        if not names:
            raise DataError(f"no image name is in all of {', '.join(map(str, folders))}")
        day, dusk, night = ([read_image(f / n) for n in sorted(names)] for f in folders)
        return cls(day, dusk, night)


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
