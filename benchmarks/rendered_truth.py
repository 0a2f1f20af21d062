"""How near to the truth? The bundled model beside classical darkening on rendered scenes held out.

    python -m dayshift.benchmarks.rendered_truth day2night --data DATA/synth --data DATA/lit

Each folder holds day/test and dusk/test, night/test of the same names; scenes/NAME.json, where
`dayshift synth` wrote it, says where the signals are. Columns:

- PSNR, SSIM, LPIPS to the true dusk (strength 0.5) and night (strength 1), means over the scenes.
  LPIPS needs torchvision's SqueezeNet; "-" without.
- signals: share of the traffic and brake lights whose colour can be told by day, and is the same
  after translation to night; signals no longer lit count as lost.
- invented: lit, saturated patches at night that the day does not have, for each picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dayshift.benchmarks.baselines import Translate, make_baselines
from dayshift.runtime import quality
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import load
from dayshift.train.data.cameras import Rendering, load_renderings
from dayshift.train.data.images import list_images, read_image
from dayshift.train.metrics.lpips import Lpips
from dayshift.train.metrics.signals import Box, invented_blobs, signal_colour
from dayshift.train.metrics.weights import WeightsError, weights_folder

_HOURS = {"dusk": 0.5, "night": 1.0}


@dataclass(frozen=True)
class Row:
    """One translation's figures by hour; None where there was nothing to measure."""

    name: str
    psnr_db: dict[str, float]
    ssim: dict[str, float]
    lpips: dict[str, float] | None
    signals_kept: float | None
    signals: int
    invented: float


def measure(
    name: str,
    translate: dict[str, Translate],
    scenes: Sequence[tuple[Rendering, list[Box]]],
    lpips: Lpips | None,
) -> Row:
    """Translate every scene to every hour it has.

    Args:
        name: of the row.
        translate: what to call for each hour.
        scenes: with the boxes of their signals.
        lpips: None leaves it out.
    """
    psnr: dict[str, list[float]] = {hour: [] for hour in _HOURS}
    ssim: dict[str, list[float]] = {hour: [] for hour in _HOURS}
    distances: dict[str, list[float]] = {hour: [] for hour in _HOURS}
    kept, invented = [], []
    for scene, boxes in scenes:
        for hour, truth in scene.others.items():
            image = translate[hour](scene.day)
            psnr[hour].append(quality.psnr(truth, image))
            ssim[hour].append(quality.ssim(truth, image))
            if lpips is not None:
                distances[hour].append(lpips(truth, image))
            if hour == "night":
                kept += list(_kept(scene.day, image, boxes))
                invented.append(len(invented_blobs(scene.day, image)))
    return Row(
        name,
        _means(psnr),
        _means(ssim),
        _means(distances) if lpips is not None else None,
        float(np.mean(kept)) if kept else None,
        len(kept),
        float(np.mean(invented)),
    )


def _kept(day: Pixels, image: Pixels, boxes: Sequence[Box]) -> Iterator[bool]:
    for box in boxes:
        colour = signal_colour(day, box)
        if colour is not None:
            yield signal_colour(image, box) == colour


def _means(values: dict[str, list[float]]) -> dict[str, float]:
    return {hour: float(np.mean(found)) for hour, found in values.items() if found}


def _load_scenes(folders: Sequence[Path]) -> list[tuple[Rendering, list[Box]]]:
    found = []
    for folder in folders:
        names = [path.stem for path in list_images([folder / "day/test"])]
        scenes = load_renderings(folder, _HOURS, "test")
        assert len(names) == len(scenes), f"a scene of {folder}/day/test has neither dusk nor night"
        found += [
            (s, _signals(folder / f"scenes/{n}.json")) for n, s in zip(names, scenes, strict=True)
        ]
    return found


def _signals(path: Path) -> list[Box]:
    if not path.is_file():
        return []
    (lights,) = json.loads(path.read_text())["lights"]  # of the scene's one frame
    return [tuple(light["box_xyxy"]) for light in lights if light["state"] != "off"]


def _open_lpips(weights: Path | None) -> Lpips | None:
    try:
        return Lpips(weights)
    except WeightsError as error:
        print(f"no LPIPS: {error}")
        return None


def _print(rows: Sequence[Row]) -> None:
    print("| | dusk: PSNR | SSIM | LPIPS | night: PSNR | SSIM | LPIPS | signals | invented |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = []
        for hour in _HOURS:
            distance = f"{row.lpips[hour]:.3f}" if row.lpips else "-"
            cells += [f"{row.psnr_db[hour]:.1f}", f"{row.ssim[hour]:.2f}", distance]
        kept = "-" if row.signals_kept is None else f"{row.signals_kept:.2f} of {row.signals}"
        print(f"| {row.name} | {' | '.join(cells)} | {kept} | {row.invented:.1f} |")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description="likeness to rendered truth")
    parser.add_argument("models", nargs="*", default=["day2night"], help="names or model folders")
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--nights", type=Path, help="photos for the baselines; default the truth")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    scenes = _load_scenes(args.data)
    lpips = _open_lpips(weights_folder(args.weights))
    nights = (
        [read_image(path) for path in list_images([args.nights])]
        if args.nights
        else [s.others["night"] for s, _ in scenes if "night" in s.others]
    )
    rows = [measure("untranslated", dict.fromkeys(_HOURS, lambda i: i), scenes, lpips)]
    for name, translate in make_baselines(nights).items():
        rows.append(measure(name, dict.fromkeys(_HOURS, translate), scenes, lpips))
    for model in args.models:
        with load(model, strength=0.5) as dusk, load(model, strength=1.0) as night:
            rows.append(measure(night.name, {"dusk": dusk, "night": night}, scenes, lpips))
    _print(rows)
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
