"""One video of several that were encoded alike, and the sound of the video they were made from.

Pictures are copied as they are encoded. Sound is copied where MP4 takes it, else encoded as AAC.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.provenance.mark import Mark
from dayshift.runtime.provenance.marking import sign_video, tag_video
from dayshift.runtime.sinks.base import PartialFile
from dayshift.runtime.sinks.video import TIME_BASE, WHOLE_FILE
from dayshift.runtime.sources.video import open_container

try:
    import av
except ImportError as error:
    raise missing_dependency("av", error) from error

# What players take in an MP4.
_COPIED_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})

# Seconds from the first picture, for the order in the file, and what goes there.
Timed = tuple[float, int, Any]


@dataclass(frozen=True)
class Part:
    """A video file, and when it begins, in seconds from the first picture of the whole."""

    path: Path
    start_s: float


@dataclass(frozen=True)
class Original:
    """The video that the parts were made from.

    Attributes:
        path: Its name.
        origin_s: Time of its first picture.
        file: Where it lies elsewhere: its bytes, seekable; left open.
    """

    path: Path
    origin_s: Fraction
    file: BinaryIO | None = None


def join_videos(path: Path, parts: Sequence[Part], original: Original, mark: Mark | None) -> None:
    """Write `path`, which appears when it is complete.

    Args:
        path: An MP4, replaced where it is there.
        parts: What `VideoSink` wrote, in order, at least one.
        original: Where the sound is from.
        mark: Put into the file; None leaves it unmarked.

    Raises:
        SinkError: The file cannot be written.
        SourceError: The original cannot be read.
    """
    file = PartialFile(path)
    try:
        with ExitStack() as stack:
            source = stack.enter_context(open_container(original.path, original.file))
            # The protocol is named, since FFmpeg would read one from a colon in the name.
            target = f"file:{file.part}"
            output = stack.enter_context(
                av.open(target, mode="w", format="mp4", options=WHOLE_FILE)
            )
            _copy(output, parts, source, original.origin_s, mark)
        length = 0 if mark is None else tag_video(file.part, mark)
        if mark is not None:
            sign_video(file.part, mark, length)
        file.commit()
    except (av.error.FFmpegError, OSError) as error:
        raise file.failed(error) from error
    finally:
        file.discard()


def _copy(
    output: av.container.OutputContainer,
    parts: Sequence[Part],
    source: av.container.InputContainer,
    origin_s: Fraction,
    mark: Mark | None,
) -> None:
    with av.open(f"file:{parts[0].path}") as first:
        video = output.add_stream_from_template(first.streams.video[0])
        video.time_base = TIME_BASE
        said = first.metadata.get("comment")
    comment = [*([] if mark is None else [mark.comment]), *([said] if said else [])]
    if comment:
        output.metadata["comment"] = "; ".join(comment)
    sound = _Sound(output, source, origin_s)
    # In the order of time, so that a player need not jump about in the file.
    for _, _, packet in heapq.merge(_pictures(parts, video), sound.packets()):
        output.mux(packet)


def _pictures(parts: Sequence[Part], target: Any) -> Iterator[Timed]:
    header = target.codec_context.extradata
    number = 0
    for part in parts:
        with av.open(f"file:{part.path}") as container:
            stream = container.streams.video[0]
            if stream.codec_context.extradata != header:
                raise SinkError(
                    f"{part.path} was encoded in another way than the first part: all machines "
                    "need the same versions of dayshift and PyAV"
                )
            for packet in container.demux(stream):
                if packet.pts is None or packet.dts is None:  # the end
                    continue
                shift = round(part.start_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = target
                number += 1
                yield float(packet.dts * packet.time_base), number, packet


class _Sound:
    """The sound of a video, at its distance from the pictures."""

    def __init__(
        self, output: av.container.OutputContainer, source: Any, origin_s: Fraction
    ) -> None:
        self._source = source
        self._origin_s = origin_s
        self._targets: dict[int, Any] = {}
        for stream in source.streams.audio:
            if stream.codec_context is None:  # in a format that FFmpeg does not know
                continue
            if _is_copied(stream):
                self._targets[stream.index] = output.add_stream_from_template(stream)
            else:
                target = output.add_stream("aac", rate=stream.rate)
                target.layout = stream.layout
                self._targets[stream.index] = target

    def packets(self) -> Iterator[Timed]:
        """Yield encoded sound."""
        streams = [one for one in self._source.streams.audio if one.index in self._targets]
        if not streams:
            return
        number = 0
        for packet in self._source.demux(streams):
            target = self._targets[packet.stream.index]
            is_copied = _is_copied(packet.stream)
            for one in self._copied(packet, target) if is_copied else self._encoded(packet, target):
                number -= 1  # differs from every picture's: packets cannot be compared
                yield float((one.dts or 0) * one.time_base), number, one

    def _copied(self, packet: Any, target: Any) -> Iterator[Any]:
        if packet.size == 0 or packet.pts is None:
            return
        shift = round(self._origin_s / packet.time_base)
        packet.dts = (packet.pts if packet.dts is None else packet.dts) - shift
        packet.pts -= shift
        packet.stream = target
        yield packet

    def _encoded(self, packet: Any, target: Any) -> Iterator[Any]:
        for frame in packet.decode():
            if frame.pts is not None:
                frame.pts -= round(self._origin_s / frame.time_base)
            yield from target.encode(frame)
        if packet.size == 0:  # the end of the stream
            yield from target.encode(None)


def _is_copied(stream: Any) -> bool:
    return stream.codec_context.codec.canonical_name in _COPIED_SOUND
