"""Archives on a Ray cluster: are results the same, do they outlive kills, what does Ray cost?

    python -m dayshift.benchmarks.bulk --out DIR [--video-s 120] [--images 500] [--json FILE]

Needs the extra `cluster` and ffmpeg. The bundled clip, looped and with sound, and images from it
are translated by one process, and by three Ray nodes of one processor each, which are processes of
this machine. A node is killed in the middle, then the driver (SIGKILL); the driver is started
again, and every file must be what the one process wrote. Then unsplit, split and Ray with one
worker take turns on a part of the video. The seams of `--stabilise`, or of a model with a memory,
are measured on the images themselves, before they are encoded. Bounded: every run has a limit of
`--limit` seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dayshift.benchmarks.seams import measure_seams
from dayshift.jobs import WORK_FOLDER
from dayshift.runtime.bundled import bundled_clip
from dayshift.runtime.provenance.marking import can_sign

NODES = 3
_NICENESS = "RAY_worker_niceness"  # as Ray spells it
KILL_AFTER = 3  # files that are done
_NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
_ATTEMPTS = 3  # to start a node


class Footage:
    """What is translated, made once in a folder."""

    def __init__(self, folder: Path, video_s: float, images: int) -> None:
        self.folder = folder
        self.video = folder / "drive.mp4"
        if not self.video.exists():
            (folder / "photos").mkdir(parents=True)
            _ffmpeg(
                *("-stream_loop", "-1", "-i", bundled_clip()),
                *("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000"),
                *("-t", video_s, "-c:v", "copy", "-c:a", "aac", "-shortest", self.video),
            )
            every = max(1, int(video_s * 25) // images)
            _ffmpeg(
                *("-i", self.video, "-vf", f"select=not(mod(n\\,{every}))", "-fps_mode", "vfr"),
                *("-frames:v", images, "-q:v", "3", folder / "photos" / "%04d.jpg"),
            )

    def cut(self, seconds: float) -> Path:
        """Return the first part of the video, as a file."""
        part = self.folder.parent / "part" / f"{seconds:g}.mp4"
        if not part.exists():
            part.parent.mkdir(exist_ok=True)
            _ffmpeg("-i", self.video, "-t", seconds, "-c", "copy", part)
        return part

    def within_scenes(self, seconds: float) -> Path:
        """Return a part whose key frames are no cuts, where a memory would have nothing to lose."""
        part = self.folder.parent / "part" / f"scenes-{seconds:g}.mp4"
        if not part.exists():
            part.parent.mkdir(exist_ok=True)
            keys = ("-g", 30, "-keyint_min", 30, "-sc_threshold", 0)
            _ffmpeg("-i", self.video, "-t", seconds, "-c:v", "libx264", *keys, "-an", part)
        return part


def _ffmpeg(*words: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True)


class Driver:
    """`dayshift translate` in a process of its own."""

    def __init__(self, inputs: Path, out: Path, *words: object, address: str | None = None) -> None:
        self.report = out.with_suffix(".json")
        command: list[object] = ["nice", "-n", os.environ[_NICENESS]]
        command += [sys.executable, "-m", "dayshift", "translate", inputs, "--out", out]
        command += ["--json", self.report, *words]
        if can_sign():  # a signature has its time and a random number in it
            command += ["--no-provenance"]
        env = dict(os.environ) | ({"RAY_ADDRESS": address} if address else {})
        if address:
            command += ["--cluster", "ray"]
        self.started_at = time.perf_counter()
        self.process = subprocess.Popen([str(word) for word in command], env=env)

    def wait(self, limit_s: float) -> dict[str, Any]:
        """Wait for its end and return its report, with the seconds from start to exit."""
        code = self.process.wait(timeout=limit_s)
        if code != 0:
            raise SystemExit(f"dayshift translate ended with {code}")
        told: dict[str, Any] = json.loads(self.report.read_text())
        return told | {"wall_seconds": time.perf_counter() - self.started_at}


def hashes(out: Path) -> dict[str, str]:
    """Return every file below a folder, hidden ones too, with its SHA-256."""
    return {
        file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.rglob("*"))
        if file.is_file()
    }


def _wait_for(is_so: Any, limit_s: float, what: str) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit(f"not within {limit_s:g} s: {what}")
        time.sleep(0.2)


def add_node(cluster: Any, **settings: Any) -> Any:
    """Add a node, of one processor unless told otherwise.

    Ray gives it 30 s to start, which is too little on a busy machine: it is tried again, but not
    often: what a failed start leaves running ends with this process, and takes the next one's time.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return cluster.add_node(**_NODE | settings)
        except Exception as error:  # Ray raises no narrower one
            if attempt == _ATTEMPTS - 1:
                raise
            print(f"a Ray node did not start: {error}", file=sys.stderr)
    return None


def survive_kills(
    cluster: Any, nodes: list[Any], footage: Footage, out: Path, limit_s: float
) -> dict[str, Any]:
    """Kill a node, then the driver, start it again; return what was seen."""

    def is_under_way(count: int) -> bool:
        return len(_written(out)) >= count

    kills: list[dict[str, Any]] = []
    before: dict[str, int] = {}
    again: list[str] = []
    # The first among segments of the video, the second among images.
    for count in (KILL_AFTER, 100):
        driver = Driver(footage.folder, out, address=cluster.address)
        _wait_for(lambda count=count: is_under_way(count), limit_s, f"{count} files")
        if not kills:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            _wait_for(lambda: is_under_way(KILL_AFTER + 3), limit_s, "files of the other nodes")
        driver.process.send_signal(signal.SIGKILL)
        driver.process.wait()
        now = _written(out)
        again += [name for name in before if now.get(name, before[name]) != before[name]]
        before = now
        kills.append({"files": len(now), "segments": sum(WORK_FOLDER in name for name in now)})
    told = Driver(footage.folder, out, address=cluster.address).wait(limit_s)
    after = _written(out)
    again += [name for name in before if after.get(name, before[name]) != before[name]]
    return {
        "driver_killed_at": kills,
        "files_written_again": again,
        "frames_after_last_start": told["frames"],
        "skipped_after_last_start": len(told["skipped"]),
    }


def _written(out: Path) -> dict[str, int]:
    """Return the files that are complete, with the times at which they were written."""
    times: dict[str, int] = {}
    for pattern in (f"{WORK_FOLDER}/drive.mp4/*/*.json", "photos/[!.]*.jpg", "*.mp4"):
        with contextlib.suppress(FileNotFoundError):  # a folder that is removed meanwhile
            for file in out.glob(pattern):
                times[str(file)] = file.stat().st_mtime_ns
    return times


def take_turns(
    footage: Footage, out: Path, video_s: float, rounds: int, limit_s: float
) -> dict[str, Any]:
    """Time one pass, segments, and Ray with one worker of all processors, in turn."""
    from ray.cluster_utils import Cluster

    video = footage.cut(video_s)
    cores = os.cpu_count() or 1
    cluster = Cluster()
    add_node(cluster, num_cpus=cores)
    paths: dict[str, tuple[tuple[object, ...], str | None]] = {
        "unsplit": (("--segment", 1e6), None),
        "segments": ((), None),
        "ray": (("--workers", 1, "--cpus", cores), cluster.address),
    }
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in paths}
    try:
        for number in range(rounds):
            for name, (words, address) in paths.items():
                folder = out / f"{name}-{number}"
                rows[name].append(Driver(video, folder, *words, address=address).wait(limit_s))
                shutil.rmtree(folder)
    finally:
        cluster.shutdown()

    def column(key: str) -> dict[str, list[float]]:
        return {name: [round(one[key], 2) for one in of] for name, of in rows.items()}

    return {
        "video_s": video_s,
        "seconds": column("seconds"),
        "cpu_seconds": column("cpu_seconds"),
        "ray/segments": _ratios(rows["ray"], rows["segments"]),
        "ray/unsplit": _ratios(rows["ray"], rows["unsplit"]),
        "segments/unsplit": _ratios(rows["segments"], rows["unsplit"]),
    }


def _ratios(rows: list[dict[str, Any]], base: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare within rounds."""
    told = {
        key: [round(one[key] / other[key], 3) for one, other in zip(rows, base, strict=True)]
        for key in ("seconds", "cpu_seconds", "wall_seconds")
    }
    return {key: {"median": statistics.median(all_), "all": all_} for key, all_ in told.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Run everything and print what was found as JSON."""
    parser = argparse.ArgumentParser(description="bulk translation on a Ray cluster")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--video-s", type=float, default=120.0, help="seconds of video")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--turns-s", type=float, default=40.0, help="seconds of video in turns")
    parser.add_argument("--seams-s", type=float, default=12.0, help="seconds of video for seams")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds of one run")
    parser.add_argument(
        "--nice",
        type=int,
        default=0,
        help="of what translates; Ray's own processes have this one's",
    )
    parser.add_argument("--only", choices=["kills", "turns", "seams"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    # Ray's workers give way to everything else by default: not to what they are compared with.
    os.environ[_NICENESS] = str(args.nice)
    footage = Footage(args.out / "footage", args.video_s, args.images)
    told: dict[str, Any] = {"load_at_start": os.getloadavg(), "is_marked": not can_sign()}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "kills": lambda: _compare(footage, args.out, args.limit),
        "turns": lambda: take_turns(footage, args.out, args.turns_s, args.rounds, args.limit),
        "seams": lambda: measure_seams(footage.within_scenes(args.seams_s), 2.0),
    }
    for name in [args.only] if args.only else parts:
        told[name] = parts[name]() | {"load_at_end": os.getloadavg()}
        if args.json is not None:  # also what was found before a later part fails
            args.json.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


def _compare(footage: Footage, out: Path, limit_s: float) -> dict[str, Any]:
    from ray.cluster_utils import Cluster

    alone = Driver(footage.folder, out / "alone").wait(limit_s)
    wanted = hashes(out / "alone")
    cluster = Cluster()
    try:
        add_node(cluster, num_cpus=0)
        nodes = [add_node(cluster) for _ in range(NODES)]
        killed = survive_kills(cluster, nodes, footage, out / "killed", limit_s)
    finally:
        cluster.shutdown()
    return {
        "files": len(wanted),
        "frames": alone["frames"],
        "seconds_alone": round(alone["seconds"], 1),
        "killed": killed | {"equal": hashes(out / "killed") == wanted},
    }


if __name__ == "__main__":
    main()
