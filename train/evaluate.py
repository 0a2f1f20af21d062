"""Evaluation: translate a folder once, and measure the result in every way its inputs allow.

| given | metrics |
|---|---|
| always | edge_correlation; segmentation_miou, detections_kept (weights) |
| target, unpaired images of the target domain | kid_N, fid_N for each feature network N (weights) |
| pairs, true translations | psnr_db, ssim; lpips_squeeze (weights) |
| clips | flicker_warping_ratio, flicker_change_ratio |

A number alone says little. Where doing nothing has one, it stands beside it as NAME_source, and KID
also as its share of that: 1 is no better than not translating, 0 is the target domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dayshift.runtime.image import Pixels
from dayshift.train.data.images import (
    DataError,
    OddImage,
    list_images,
    match_folders,
    read_image,
)
from dayshift.train.metrics.distances import frechet_distance, kernel_distance
from dayshift.train.metrics.features import FeatureNetwork, Features, open_features
from dayshift.train.metrics.flicker import measure_flicker
from dayshift.train.metrics.lpips import Lpips
from dayshift.train.metrics.measures import (
    DetectedObjects,
    FeatureRows,
    Mean,
    Measure,
    Segmentation,
    edges,
    likeness,
    look,
)
from dayshift.train.metrics.weights import WeightsError

Translate = Callable[[Pixels], Pixels]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: by name.
        n_source: images translated.
        n_target: images of the target domain.
        feature_networks: what exactly the N of kid_N and fid_N stands for.
        not_measured: metrics that need weights which are not there, with the reason.
        skipped: why images were left out, one line each.
    """

    metrics: dict[str, float]
    n_source: int
    n_target: int
    feature_networks: dict[str, str]
    not_measured: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def evaluate(
    translate: Translate,
    source: Path,
    *,
    target: Path | None = None,
    pairs: Path | None = None,
    clips: Sequence[Path] = (),
    open_stream: Callable[[], Translate] | None = None,
    weights: Path | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Translate every image of a folder and measure what came of it.

    Args:
        translate: of one BGR image (H, W, 3), to one of the same shape.
        source: folder of images to translate, subfolders included.
        target: folder of images of the target domain.
        pairs: folder of the true translations, by the names that their sources have.
        clips: videos without cuts, translated frame by frame.
        open_stream: returns what translates a clip's frames in order, with a memory of its own
            where the model has one; `translate` does by default.
        weights: folder of pretrained networks; see `metrics.weights`.
        on_progress: called after each image with how many are done and how many there are.

    Raises:
        DataError: A folder is missing or empty, images and their truths do not match, or a clip
            does not change.
        WeightsError: `target` was given and no feature network has its weights.
        SourceError: A clip cannot be read.
    """
    networks = open_features(weights) if target is not None else []
    measures, not_measured = _open_measures(weights, has_truths=pairs is not None)
    reader = _Reader(source, pairs)
    features = {n.key: (FeatureRows(n), FeatureRows(n)) for n in networks}
    for place, (image, truth) in enumerate(reader, 1):
        result = translate(image)
        for measure in measures:
            measure.add(image, result, truth)
        for before, after in features.values():
            before.add(image)
            after.add(result)
        if on_progress is not None:
            on_progress(place, len(reader))
    metrics = {key: value for measure in measures for key, value in measure.values().items()}
    n_target = 0
    if target is not None:
        targets = _Reader(target, None)
        of_target = _target_features(networks, targets)
        n_target = targets.count
        for key, (before, after) in features.items():
            metrics |= _distances(key, before.stacked(), after.stacked(), of_target[key])
        reader.skipped += targets.skipped
    metrics |= _flicker(open_stream or (lambda: translate), clips)
    return Evaluation(
        metrics,
        reader.count,
        n_target,
        {network.key: network.description for network in networks},
        not_measured,
        reader.skipped,
    )


def _open_measures(
    weights: Path | None, *, has_truths: bool
) -> tuple[list[Measure], dict[str, str]]:
    """Return what can be measured, and by name why something cannot."""
    measures: list[Measure] = [Mean(edges)]
    with_weights: dict[str, Callable[[], Measure]] = {
        "segmentation_miou": lambda: Segmentation(weights),
        "detections_kept": lambda: DetectedObjects(weights),
    }
    if has_truths:
        measures.append(Mean(likeness))
        with_weights[Lpips.key] = lambda: Mean(look(weights))
    not_measured: dict[str, str] = {}
    for name, make in with_weights.items():
        try:
            measures.append(make())
        except WeightsError as error:
            not_measured[name] = str(error)
    return measures, not_measured


class _Reader:
    """Images with their truths; those that cannot be read are skipped."""

    def __init__(self, folder: Path, truths: Path | None) -> None:
        if truths is None:
            self._files = [(path,) for path in list_images([folder], "**/*")]
        else:
            self._files = [(a, b) for a, b in match_folders([folder, truths])]  # type: ignore[misc]
        self.count = 0
        self.skipped: list[str] = []

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[tuple[Pixels, Pixels | None]]:
        for paths in self._files:
            try:
                image, *truth = (read_image(path) for path in paths)
            except OddImage as error:
                self.skipped.append(str(error))
                continue
            if truth and truth[0].shape != image.shape:
                raise DataError(
                    f"{paths[-1]} is {_size(truth[0])} and {paths[0]} {_size(image)}: "
                    "a true translation has the size of its source"
                )
            self.count += 1
            yield image, truth[0] if truth else None
        if self.count < 2:
            raise DataError(
                f"{self.count} of {len(self)} images could be read, expected at least 2: "
                + "; ".join(self.skipped[:3])
            )


def _target_features(
    networks: Iterable[FeatureNetwork], images: Iterable[tuple[Pixels, Pixels | None]]
) -> dict[str, Features]:
    rows = {network.key: FeatureRows(network) for network in networks}
    for image, _ in images:
        for row in rows.values():
            row.add(image)
    return {key: row.stacked() for key, row in rows.items()}


def _distances(key: str, source: Features, result: Features, target: Features) -> dict[str, float]:
    kid, kid_source = kernel_distance(result, target), kernel_distance(source, target)
    found = {f"kid_{key}": kid, f"kid_{key}_source": kid_source}
    if kid_source > 0:  # else the domains cannot be told apart, and a share means nothing
        found[f"kid_{key}_share"] = kid / kid_source
    found[f"fid_{key}"] = frechet_distance(result, target)
    found[f"fid_{key}_source"] = frechet_distance(source, target)
    return found


def _flicker(open_stream: Callable[[], Translate], clips: Sequence[Path]) -> dict[str, float]:
    warping, change = [], []
    for clip in clips:
        found = measure_flicker(_frames(clip), open_stream())
        if found is None:
            raise DataError(f"{clip} has fewer than two frames: give a longer clip")
        if not (found.source_change and found.source_warping_error):
            raise DataError(f"{clip} is one frame again and again: give a clip of a camera")
        warping.append(found.warping_ratio)
        change.append(found.change_ratio)
    if not clips:
        return {}
    return {
        "flicker_warping_ratio": float(np.mean(warping)),
        "flicker_change_ratio": float(np.mean(change)),
    }


def _frames(clip: Path) -> Iterator[Pixels]:
    from dayshift.runtime.sources.video import VideoSource  # PyAV is not needed for images

    with VideoSource(clip) as video:
        while (frame := video.read()) is not None:
            yield frame.pixels


def _size(image: Pixels) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
