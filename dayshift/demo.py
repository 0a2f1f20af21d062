"""The demo: a bundled clip through a bundled model, as a video, a contact sheet and a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayshift.drawing import SideBySide, Tile, contact_sheet
from dayshift.marking import DEFAULT_MARKING, Marking
from dayshift.runtime.bundled import bundled_clip
from dayshift.runtime.cores import lanes_for
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import Model, load
from dayshift.runtime.sinks.base import make_folder, write_file
from dayshift.runtime.sinks.images import encode_image
from dayshift.runtime.sources import Frame
from dayshift.runtime.sources.video import VideoSource
from dayshift.runtime.streaming.pipeline import OnProgress
from dayshift.whole_video import translate_whole

MOMENTS = 4
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Demo:
    """What the demo wrote, and the content of its report."""

    video: Path
    sheet: Path
    report: Path
    result: dict[str, Any]


class _Beginning(VideoSource):
    """The first frames of a video, or all of them."""

    def __init__(self, path: Path, frames: int | None) -> None:
        super().__init__(path)
        self._most = frames
        if frames is not None and self.frame_count is not None:
            self.frame_count = min(frames, self.frame_count)

    def read(self) -> Frame | None:
        return super().read() if self._most is None or self._index < self._most else None


@dataclass(frozen=True)
class _Moment:
    time_s: float
    source: Pixels
    image: Pixels


def make_demo(
    out: Path,
    *,
    model: str | Path = "day2night",
    backend: str = "auto",
    precision: str = "auto",
    clip: Path | None = None,
    frames: int | None = None,
    marking: Marking = DEFAULT_MARKING,
    on_progress: OnProgress | None = None,
) -> Demo:
    """Translate the clip and write `demo.mp4`, `demo.png` and `demo.json` into `out`.

    Args:
        out: A folder; created where missing.
        model: A bundled name or a model folder.
        backend: As for `load`.
        precision: As for `load`.
        clip: A video; the bundled one by default.
        frames: How many of the clip's frames, from its first; by default all.
        marking: How the video and the sheet are marked as translated.
        on_progress: Called with the frames done and the frames expected.

    Raises:
        DayshiftError: The model, the clip or the folder cannot be used.
    """
    make_folder(out)
    video, sheet, report = (out / f"demo.{suffix}" for suffix in ("mp4", "png", "json"))
    source = _Beginning(clip or bundled_clip(), frames)
    size = source.size[::-1]
    with (
        source,
        load(
            model, backend=backend, precision=precision, size=size, lanes=lanes_for("every")
        ) as loaded,
    ):
        measured, moments = _translate_clip(loaded, source, video, marking, on_progress)
        drawn = _draw_sheet(loaded, moments)
        write_file(sheet, encode_image(drawn, sheet, marking.mark(loaded)))
    result = {
        **measured,
        "model": loaded.spec.name,
        "files": {"video": str(video), "sheet": str(sheet), "report": str(report)},
    }
    write_file(report, (json.dumps(result, indent=2) + "\n").encode())
    return Demo(video, sheet, report, result)


def _translate_clip(
    model: Model,
    source: VideoSource,
    video: Path,
    marking: Marking,
    on_progress: OnProgress | None,
) -> tuple[dict[str, Any], list[_Moment]]:
    """Write the side-by-side video; return the run's report and the moments kept on the way."""
    moments: list[_Moment] = []
    wanted = _moment_indices(source.frame_count)
    side_by_side = SideBySide(*_labels(model))
    label = marking.compose()

    def compose(frame: Frame, image: Pixels) -> Pixels:
        if frame.index in wanted:
            moments.append(_Moment(frame.pts_s or 0.0, frame.pixels, image))
        if label is not None:
            image = label(frame, image)
        return side_by_side(frame.pixels, image)

    width, height = source.size
    report = translate_whole(
        source,
        video,
        model,
        size_wh=(2 * width, height),
        mark=marking.mark(model),
        compose=compose,
        on_progress=on_progress,
    )
    return report.to_json(), moments


def _moment_indices(frame_count: int | None) -> set[int]:
    """Return frames in the middles of equal parts, so that neither end is shown."""
    count = frame_count or MOMENTS
    return {int((part + 0.5) * count / MOMENTS) for part in range(MOMENTS)}


def _labels(model: Model) -> tuple[str, str]:
    source, target = model.spec.domains.source, model.spec.domains.target
    return f"{source} (source)", f"{target} ({_how(model)})"


def _how(model: Model) -> str:
    return f"{model.spec.name}, {model.backend_name} {model.precision}"


def _draw_sheet(model: Model, moments: list[_Moment]) -> Pixels:
    """Return the contact sheet: all moments before and after, one at every strength."""
    source, target = model.spec.domains.source, model.spec.domains.target
    height, width = moments[0].source.shape[:2]
    days = [Tile(moment.source, f"{source}, {moment.time_s:.1f} s") for moment in moments]
    nights = [Tile(moment.image, f"{target}, {moment.time_s:.1f} s") for moment in moments]
    return contact_sheet(
        [days, nights, _strength_row(model, moments[len(moments) // 2].source)],
        title=f"{source} to {target}: {_how(model)}, {width}x{height}",
    )


def _strength_row(model: Model, frame: Pixels) -> list[Tile]:
    before = model.strength
    tiles = []
    for strength in STRENGTHS:
        model.strength = strength
        tiles.append(Tile(model(frame), f"strength {strength:g}"))
    model.strength = before
    return tiles
