"""Rendering a set: workers in Blender's Python, each scene developed and put in place when whole.

    OUT/{day,golden,dusk,blue,night}/{train,test}/00003.jpg   pictures; test: seeds 0, 10, 20, …
    OUT/{lamps,labels,instances,depth}/{train,test}/00003.*   what lamps add, and the truth
    OUT/{flow,occlusion}/{train,test}/00003-001.png           of sequences, to the next frame
    OUT/scenes/00003.json                                     written last: the scene is whole

A scene depends on its seed alone. What is there is skipped, so the same command goes on after an
interruption, and any number of workers makes the same set. An hour that a set lacks is developed
from kept layers, or its scenes are rendered again.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dayshift.runtime.cores import allowed_cores
from dayshift.runtime.errors import DayshiftError, MissingDependency, UsageError
from dayshift.runtime.sinks.base import make_folder
from dayshift.train.synth.develop import develop_scene
from dayshift.train.synth.light import Hour, sky_name
from dayshift.train.synth.plan import draw_plan

_WORKER = "dayshift.train.synth.blender.worker"
_STALE_S = 3600.0  # nothing was written to it for so long: nobody is at it
OnScene = Callable[[int, int], None]


class SynthError(DayshiftError):
    """A scene could not be rendered."""


@dataclass(frozen=True)
class SetPlan:
    """What to render.

    Attributes:
        out: Folder of the set.
        seeds: Of the scenes.
        size_wh: (width, height) of the pictures.
        times: Hours to develop, by the name of their folder.
        samples: Light paths per pixel and layer, before denoising.
        frames: Of each scene; more than one make a sequence.
        fps: Frames a second of sequences.
        keep_layers: Keep the linear layers as EXR files in OUT/layers/00003: other hours are then
            developed from them in a second.
    """

    out: Path
    seeds: Sequence[int]
    size_wh: tuple[int, int]
    times: dict[str, Hour]
    samples: int = 12
    frames: int = 1
    fps: float = 10.0
    keep_layers: bool = False

    def missing(self) -> list[int]:
        """Return the seeds whose scenes are not there yet, or lack an hour."""
        return [seed for seed in self.seeds if not self._is_whole(seed)]

    def sky_names(self, seed: int) -> set[str]:
        """Return the names of the skies that a scene's hours are developed from."""
        scene = draw_plan(seed)
        return {sky_name(scene, hour.t) for hour in self.times.values()}

    def kept_layers(self, seed: int) -> Path | None:
        """Return where a scene's layers lie, if all that its hours need were kept."""
        folder = self.out / "layers" / f"{seed:05d}"
        kinds = ["truth", "lamps", *(f"sky.{name}" for name in self.sky_names(seed))]
        names = [f"{kind}.{frame:03d}.exr" for kind in kinds for frame in (1, self.frames)]
        whole = all((folder / name).exists() for name in ["scene.json", *names])
        return folder if whole else None

    def _is_whole(self, seed: int) -> bool:
        try:
            record = json.loads(scene_file(self.out, seed).read_text())
        except FileNotFoundError:
            return False
        return set(self.times) <= set(record["times"])


def scene_file(out: Path, seed: int) -> Path:
    """Return the file that says that a scene is whole."""
    return out / "scenes" / f"{seed:05d}.json"


def find_blender(python: str | None) -> str:
    """Return a Python that has Blender's module: `python`, or the one that runs.

    Raises:
        MissingDependency: It has not; the message says how to make one that does.
    """
    candidate = python or sys.executable
    probe = [candidate, "-c", "import bpy; print(bpy.app.version_string)"]
    try:
        found = subprocess.run(probe, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"cannot run {candidate} ({error}): give a Python with --python"
        ) from error
    if found.returncode == 0:
        return candidate
    raise MissingDependency(
        f"{candidate} has no bpy (Blender as a module, GPL): pip install 'dayshift[synth]' where "
        "this Python is the one that bpy is made for (bpy 5.0: 3.11), or make an environment of "
        "that one, pip install bpy there, and give it with --python ENV/bin/python"
    )


def render_set(
    plan: SetPlan, *, workers: int = 1, python: str | None = None, on_scene: OnScene | None = None
) -> int:
    """Render the missing scenes and return how many were made.

    Args:
        plan: What to render.
        workers: Processes at a time, which share the cores.
        python: A Python with bpy; this one by default.
        on_scene: Called with the scenes that are there and those wanted, after each.

    Raises:
        MissingDependency: There is no bpy.
        SynthError: A scene failed twice; the finished ones are kept.
        SinkError: The set cannot be written.
    """
    blender = find_blender(python)
    make_folder(plan.out)
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    missing = plan.missing()
    for seed in missing:
        todo.put(seed)
    there = len(plan.seeds) - len(missing)
    progress = _Progress(there, len(plan.seeds), on_scene)
    stop = threading.Event()
    count = max(1, min(workers, len(missing)))
    with _importable() as path, ThreadPoolExecutor(count) as threads:
        lanes = [_Lane(plan, blender, path, max(1, allowed_cores() // count)) for _ in range(count)]
        futures = [threads.submit(lane.run, todo, stop, progress.advance) for lane in lanes]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stop.set()
            for lane in lanes:
                lane.kill()
            raise
    return progress.made


class _Progress:
    def __init__(self, there: int, wanted: int, on_scene: OnScene | None) -> None:
        self.made = 0
        self._there, self._wanted, self._on_scene = there, wanted, on_scene
        self._lock = threading.Lock()

    def advance(self) -> None:
        with self._lock:
            self.made += 1
            if self._on_scene is not None:
                self._on_scene(self._there + self.made, self._wanted)


class _Lane:
    """One worker process at a time, and the development of what it renders."""

    def __init__(self, plan: SetPlan, blender: str, path: str, threads: int) -> None:
        self._plan = plan
        self._blender = blender
        self._path = path
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None

    def run(
        self, todo: queue.SimpleQueue[int], stop: threading.Event, advance: Callable[[], None]
    ) -> None:
        try:
            while not stop.is_set():
                try:
                    seed = todo.get_nowait()
                except queue.Empty:
                    return
                self._make(seed, stop)
                if not stop.is_set():
                    advance()
        finally:
            self.kill()

    def kill(self) -> None:
        """End the worker; what it was at is lost."""
        process, self._process = self._process, None
        if process is not None:
            with process:  # closes its pipes
                process.kill()

    def _make(self, seed: int, stop: threading.Event) -> None:
        with _part(self._plan.out, seed) as part:
            kept = self._plan.kept_layers(seed)
            if kept is not None:
                for layer in kept.iterdir():
                    shutil.copy(layer, part)
            error = "" if kept else self._render(seed, part)
            if error and not stop.is_set():  # Blender may have died of the scene before
                self.kill()
                error = self._render(seed, part)
            if stop.is_set():
                return
            if error:
                raise SynthError(
                    f"scene {seed} failed twice ({error}): finished scenes are kept; "
                    "run the command again, or leave this seed out"
                )
            develop_scene(self._plan, seed, part)

    def _render(self, seed: int, part: Path) -> str:
        """Let the worker render a scene; return what went wrong."""
        width, height = self._plan.size_wh
        job = {
            "seed": seed,
            "folder": str(part),
            "width": width,
            "height": height,
            "samples": self._plan.samples,
            "threads": self._threads,
            "times": sorted({hour.t for hour in self._plan.times.values()}),
            "frames": self._plan.frames,
            "fps": self._plan.fps,
        }
        process = self._process or self._start()
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError) as error:
            return str(error)
        if not line:
            return f"Blender's process ended with code {process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return "" if answer["ok"] else str(answer["error"])

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._blender, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": self._path},
            start_new_session=True,  # Ctrl-C is for us: we end it
        )


@contextmanager
def _importable() -> Iterator[str]:
    """Give a folder that holds this package alone.

    Blender's Python may be another one, which must not see the libraries that lie beside it.
    """
    with tempfile.TemporaryDirectory(prefix="dayshift-synth-") as folder:
        package = find_spec("dayshift")
        assert package is not None
        assert package.origin is not None
        (Path(folder) / "dayshift").symlink_to(Path(package.origin).parent)
        yield folder


@contextmanager
def _part(out: Path, seed: int) -> Iterator[Path]:
    """Give a folder for a scene on its way, removed at the end."""
    part = out / f".{seed:05d}.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    for left in out.glob(f".{seed:05d}.*.part"):  # by a command that was killed
        if left.stat().st_mtime < time.time() - _STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    make_folder(part)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
