"""Is it night? The bundled model beside classical darkening, on photos it was not trained on.

    python -m dayshift.benchmarks.night_quality day2night --data DATA [--weights DIR] [--json FILE]

DATA holds {day,night}/{train,test} with photos named TIER_SOURCE_…, and video/ with clips. The
training photos fit the probe and the baselines and nothing else; every number is of the test
photos. Columns:

- KID share: kernel distance to the test nights over that of the untranslated day, to all nights and
  to those of the dark sources alone; 1 is day, 0 is night.
- night: share of images that a linear day/night probe takes for night.
- mIoU: of the segmenter's labels before and after. edges: correlation of edges before and after.
- kept: share of the detector's objects that are found again.
- warp, static: flicker over the source's own, on driving clips and on clips of a fixed camera. A
  model translates each clip as a stream, photos one by one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from dayshift.benchmarks.baselines import Translate, make_baselines
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import load
from dayshift.runtime.sources.video import VideoSource
from dayshift.train.data.images import list_images, read_image
from dayshift.train.metrics.detection import CocoDetector, DetectionsKept
from dayshift.train.metrics.distances import kernel_distance
from dayshift.train.metrics.espnet import CLASS_NAMES, NO_CLASS, CityscapesSegmenter
from dayshift.train.metrics.features import Features, SqueezeNetFeatures
from dayshift.train.metrics.flicker import measure_flicker
from dayshift.train.metrics.probe import DomainProbe
from dayshift.train.metrics.structure import (
    ClassMap,
    SegmentationAgreement,
    edge_correlation,
)
from dayshift.train.metrics.weights import weights_folder

DARK_SOURCES = ("pexels", "amos")  # the other cameras expose lit roads by night like day
DRIVING = ("A_udacity_highway_day_1280x720.mp4", "A_udacity_solidWhiteRight_day_960x540.mp4")
STATIC = ("B_ozlu_street_day_640x352.mp4", "B_bgslibrary_highway_day_640x360.avi")


@dataclass(frozen=True)
class Row:
    """One translation's figures; None where a figure was not asked for."""

    name: str
    kid_share: float
    kid_share_dark: float
    night_share: float
    miou: float | None
    edges: float
    kept: float | None
    warp: float | None
    static: float | None


class NightBench:
    """Photos, their features and the probe, loaded and fitted once."""

    def __init__(
        self,
        data: Path,
        weights: Path | None,
        *,
        segment_every: int,
        clip_frames: int,
    ) -> None:
        """Read the data.

        Args:
            data: folder as the module says.
            weights: of the measuring networks.
            segment_every: segment one in so many test photos; 0 for no labels and no detections.
            clip_frames: frames of each clip; 0 for no clips.
        """
        self._features = SqueezeNetFeatures(weights)
        paths = {key: list_images([data / key]) for key in ("day/test", "night/test")}
        self._days = [read_image(path) for path in paths["day/test"]]
        self._of_days = self._features(self._days)
        self._of_nights = self._features(map(read_image, paths["night/test"]))
        self._is_dark = np.array([_source(path) in DARK_SOURCES for path in paths["night/test"]])
        self.train_nights = [read_image(path) for path in list_images([data / "night/train"])]
        of_train_days = self._features(map(read_image, list_images([data / "day/train"])))
        self._probe = DomainProbe(of_train_days, self._features(self.train_nights))
        self._segmenter = CityscapesSegmenter(weights) if segment_every else None
        self._detector = CocoDetector(weights) if segment_every else None
        self._segment_every = segment_every
        self._maps: list[ClassMap] = []
        self._clips = data / "video"
        self._clip_frames = clip_frames

    def measure(
        self,
        name: str,
        translate: Translate,
        note: Callable[[str], None],
        *,
        open_stream: Callable[[], Translate] | None = None,
    ) -> Row:
        """Translate the test photos and clips.

        Args:
            name: of the row.
            translate: a photo.
            note: told what is being done.
            open_stream: returns what translates one clip's frames in order; `translate` by default.
        """
        open_stream = open_stream or (lambda: translate)
        note(f"{name}: photos")
        images = [translate(day) for day in self._days]
        features = self._features(images)
        edges = [edge_correlation(d, i) for d, i in zip(self._days, images, strict=True)]
        note(f"{name}: labels and clips")
        return Row(
            name,
            self._kid_share(features, self._of_nights),
            self._kid_share(features, self._of_nights[self._is_dark]),
            self._probe.share_of_target(features),
            self._miou(images),
            float(np.mean(edges)),
            self._kept(images),
            self._flicker(DRIVING, open_stream, "warping_ratio"),
            self._flicker(STATIC, open_stream, "change_ratio"),
        )

    def halves(self, seed: int = 0) -> tuple[float, float]:
        """Return the mean absolute share of two random halves of real night: the noise floor."""
        rng = np.random.default_rng(seed)
        found = []
        for nights in (self._of_nights, self._of_nights[self._is_dark]):
            day = kernel_distance(self._of_days, nights)
            shares = []
            for _ in range(50):
                order = rng.permutation(len(nights))
                first, second = np.array_split(nights[order], 2)
                shares.append(abs(kernel_distance(first, second)) / day)
            found.append(float(np.mean(shares)))
        return found[0], found[1]

    def probe_on_photos(self) -> tuple[float, float]:
        """Return how often the probe is right on the test days and nights."""
        days, nights = (self._probe.share_of_target(f) for f in (self._of_days, self._of_nights))
        return 1 - days, nights

    def _kid_share(self, images: Features, nights: Features) -> float:
        return kernel_distance(images, nights) / kernel_distance(self._of_days, nights)

    def _miou(self, images: Sequence[Pixels]) -> float | None:
        if self._segmenter is None:
            return None
        if not self._maps:
            self._maps = [self._segmenter(day) for day in self._days[:: self._segment_every]]
        agreement = SegmentationAgreement(
            self._segmenter, classes=len(CLASS_NAMES), ignore=NO_CLASS
        )
        for before, image in zip(self._maps, images[:: self._segment_every], strict=True):
            agreement.add_maps(before, self._segmenter(image))
        return agreement.value()

    def _kept(self, images: Sequence[Pixels]) -> float | None:
        if self._detector is None:
            return None
        kept = DetectionsKept(self._detector)
        for before, image in zip(self._days, images, strict=True):
            kept.add(before, image)
        return kept.value()

    def _flicker(
        self, clips: Sequence[str], open_stream: Callable[[], Translate], ratio: str
    ) -> float | None:
        if not self._clip_frames:
            return None
        found = []
        for clip in clips:
            with VideoSource(self._clips / clip, size=(640, 360)) as video:
                reads = iter(video.read, None)
                frames = (frame.pixels for frame in islice(reads, self._clip_frames))
                flicker = measure_flicker(frames, open_stream())
            assert flicker is not None  # clips have more than two frames
            found.append(getattr(flicker, ratio))
        return float(np.mean(found))


def _source(path: Path) -> str:
    return path.stem.split("_")[1]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description="night quality beside classical baselines")
    parser.add_argument("models", nargs="*", default=["day2night"], help="names or model folders")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--strength", type=float)
    parser.add_argument("--segment-every", type=int, default=8, help="0: no segmentation")
    parser.add_argument("--clip-frames", type=int, default=30, help="0: no clips")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)

    def note(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    torch.set_num_threads(1)  # small convolutions on one image: more threads wait for each other
    note("photos and probe")
    bench = NightBench(
        args.data,
        weights_folder(args.weights),
        segment_every=args.segment_every,
        clip_frames=args.clip_frames,
    )
    rows = [bench.measure("untranslated", lambda image: image, note)]
    rows += [bench.measure(n, t, note) for n, t in make_baselines(bench.train_nights).items()]
    for model in args.models:
        with load(model, precision=args.precision, strength=args.strength) as loaded:
            name = f"{loaded.name} {loaded.precision}"
            rows.append(bench.measure(name, loaded, note, open_stream=loaded.open_stream))
    halves, probe = bench.halves(), bench.probe_on_photos()
    print("| | KID share | dark | night | mIoU | edges | kept | warp | static |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [_cell(value) for value in list(asdict(row).values())[1:]]
        print(f"| {row.name} | {' | '.join(cells)} |")
    print(f"two halves of real night: {halves[0]:.2f}, dark {halves[1]:.2f}; ", end="")
    print(f"the probe is right on {probe[0]:.2f} of test days, {probe[1]:.2f} of test nights")
    if args.json:
        result = {"rows": [asdict(row) for row in rows], "halves": halves, "probe": probe}
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
