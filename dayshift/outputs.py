"""What `dayshift run` writes to: the sinks that were named, and the desk that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dayshift.runtime.bundled import bundled_models
from dayshift.runtime.errors import UsageError
from dayshift.runtime.model import Model
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.sinks import Sink, open_sink
from dayshift.runtime.sinks.recorder import RecorderSink
from dayshift.runtime.sources import Source
from dayshift.runtime.sources.images import IMAGE_SUFFIXES
from dayshift.runtime.streaming.control import Control
from dayshift.runtime.uri import parse_uri, redact
from dayshift.runtime.web.desk import Desk

_VIEWS = ("display", "http")
_ADDRESSES = ("gst", "http", "https", "rtmp", "rtp", "rtsp", "rtsps", "srt", "udp")  # no files


@dataclass(frozen=True)
class Stage:
    """What the sinks of a stream are about.

    Attributes:
        source: Where the frames come from.
        model: What translates them.
        model_name: What it was asked for by.
        control: The stream's desk.
        mark: Put into files; None leaves them unmarked.
        recordings: Where recordings and snapshots go that are asked for in a view.
    """

    source: Source
    model: Model
    model_name: str
    control: Control
    mark: Mark | None
    recordings: Path


def check_outputs(source: str, sinks: Sequence[str]) -> None:
    """Refuse sinks that would write over what is read, or over one another.

    Raises:
        UsageError: The message names the sink.
    """
    origin, _ = _place_of(source)
    seen: set[Path] = set()
    for sink in sinks:
        place, names_files_alike = _place_of(sink)
        if place is None:
            continue
        over = [origin]
        if names_files_alike and origin is not None and origin.suffix.lower() in IMAGE_SUFFIXES:
            over.append(origin.parent)
        if place in over:
            raise UsageError(
                f"{redact(sink)} is where {redact(source)} is read from, and would be written "
                "over: name another file or folder"
            )
        if place in seen:
            raise UsageError(f"{redact(sink)} is named twice: give each sink a place of its own")
        seen.add(place)


def _place_of(text: str) -> tuple[Path | None, bool]:
    """Return the file or folder of a source or sink, and whether its images keep their names."""
    uri = parse_uri(text, opaque=_ADDRESSES)
    path = Path(uri.rest)
    if uri.scheme not in ("", "frames", "segments") or not uri.rest or uri.rest.startswith("/dev/"):
        return None, False
    is_folder = uri.scheme == "frames" or uri.rest.endswith("/") or path.is_dir()
    return path.resolve(), is_folder and uri.scheme != "segments"


def open_outputs(
    stack: ExitStack, uris: Sequence[str], stage: Stage, note: Callable[[str], None]
) -> list[Sink]:
    """Open the sinks, and a recorder where one of them can ask for recordings.

    Args:
        stack: Closes them.
        uris: As typed; none takes a window, or the browser view where there is no display.
        stage: What they are about.
        note: Told which view was taken, and the address of a page.
    """
    chosen = list(uris) or [_default_view(note)]
    source, control = stage.source, stage.control
    outputs: list[Sink] = []
    recorder: RecorderSink | None = None
    if any(parse_uri(uri).scheme in _VIEWS for uri in chosen):
        recorder = RecorderSink(stage.recordings, control, fps=source.fps, mark=stage.mark)
        outputs.append(stack.enter_context(recorder))
    desk = _desk(stage, recorder)
    for uri in chosen:
        sink = open_sink(uri, size=source.size, fps=source.fps, mark=stage.mark, desk=desk)
        outputs.append(stack.enter_context(sink))
        url = getattr(sink, "url", None)
        if url is not None:
            note(f"watch it at {url}")
    return outputs


def _default_view(note: Callable[[str], None]) -> str:
    from dayshift.runtime.sinks.window import find_display_problem

    problem = find_display_problem()
    if problem is None:
        return "display://"
    note(f"no window here, so in a browser: {problem}")
    return "http://"


def _desk(stage: Stage, recorder: RecorderSink | None) -> Desk:
    spec = stage.model.spec
    # A person sees names; where a folder lies is none of a viewer's business.
    models = {name: name for name in bundled_models()} | {stage.model.name: stage.model_name}
    files = {
        precision for form in (spec.forms.full, spec.forms.maps) if form for precision in form.files
    }
    return Desk(
        control=stage.control,
        recorder=recorder,
        models=models,
        precisions=("auto", *sorted(files)),
        domains=(spec.domains.source, spec.domains.target),
    )
