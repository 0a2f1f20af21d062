"""What `dayshift translate` reads, and where each result goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from dayshift.runtime.errors import UsageError
from dayshift.runtime.sources.images import IMAGE_SUFFIXES

Kind = Literal["image", "video"]

# Below --out, for what is not complete yet; nothing of it stays when all is.
WORK_FOLDER = ".dayshift"
VIDEO_SUFFIXES = frozenset(
    {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
)


@dataclass(frozen=True)
class Job:
    """One file to translate.

    Attributes:
        source: What is read.
        result: What it becomes.
        work: The folder for what is not complete yet.
        kind: What the file is, by its name.
    """

    source: Path
    result: Path
    work: Path
    kind: Kind


def plan_jobs(inputs: Sequence[Path], out: Path) -> list[Job]:
    """Return a job for every image and video among `inputs`, folders searched through.

    `photo.jpg` becomes `OUT/photo.jpg` and `drive.mp4` `OUT/drive.mp4`; `drive.avi` becomes
    `OUT/drive.avi.mp4`, so that no two files of a folder share a result. What lies below a folder
    keeps its place there. Where `out` is inside an input folder, what it holds is not read.

    Raises:
        UsageError: Two inputs would be written to one file, or a result over an input.
    """
    jobs: dict[Path, Job] = {}
    for source, place in _files(inputs, out.resolve()):
        job = _job(source, out, place)
        other = jobs.setdefault(job.result, job)
        if other.source.resolve() != source.resolve():
            raise UsageError(
                f"{other.source} and {source} would both become {job.result}: "
                "translate the folder that holds both, or give each its own --out"
            )
    sources = {job.source.resolve() for job in jobs.values()}
    for job in jobs.values():
        if job.result.resolve() in sources:
            raise UsageError(
                f"{job.result} is itself an input and would be overwritten: name another --out"
            )
    return list(jobs.values())


def _files(inputs: Iterable[Path], out: Path) -> Iterator[tuple[Path, PurePath]]:
    """Yield every file with its place below `--out`, given here as an absolute path."""
    for path in inputs:
        if not path.is_dir():
            # Kept where missing or of unknown kind: it fails by itself, and the others go on.
            yield path, PurePath(path.name)
            continue
        skipped = out if path.resolve() in out.parents else None
        for file in sorted(path.rglob("*")):
            place = PurePath(file.as_posix().removeprefix(f"{path.as_posix().rstrip('/')}/"))
            is_ours = WORK_FOLDER in place.parts or skipped in file.resolve().parents
            if not is_ours and _is_media(file):
                yield file, place


def _is_media(file: Path) -> bool:
    known = file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    # Hidden files are other programs' business, and our own half-written ones.
    return known and not file.name.startswith(".") and file.is_file()


def _job(source: Path, out: Path, place: PurePath) -> Job:
    suffix = source.suffix.lower()
    kind: Kind = "image" if suffix in IMAGE_SUFFIXES else "video"
    if kind == "video" and suffix != ".mp4":
        place = place.with_name(f"{place.name}.mp4")
    return Job(source, out / place.as_posix(), out / WORK_FOLDER / place.as_posix(), kind)
