"""Layers as a worker leaves them, computed instead of rendered; and a stand-in for Blender."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

OpenEXR = pytest.importorskip("OpenEXR", reason="extra synth is not installed")

WIDTH, HEIGHT = 96, 54
Floats = npt.NDArray[np.float32]


def save_exr(path: Path, parts: dict[str, dict[str, Floats]]) -> None:
    """Write an EXR of several parts, with Blender's names."""
    made = [
        OpenEXR.Part(
            {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION},
            {f"ViewLayer.{name}.{c}": OpenEXR.Channel(v) for c, v in channels.items()},
            f"ViewLayer.{name}",
        )
        for name, channels in parts.items()
    ]
    OpenEXR.File(made).write(str(path))


def colour(values: Floats) -> dict[str, dict[str, Floats]]:
    planes = {c: np.ascontiguousarray(values[..., i], np.float32) for i, c in enumerate("RGB")}
    return {"Combined": planes}


def write_layers(
    folder: Path,
    frame: int = 1,
    skies: tuple[str, ...] = ("0000", "dome"),
    *,
    motion: bool = True,
) -> None:
    """A wall (entity 1) 20 m away, a signal (entity 2) on it, sky above; all moves 3 px right."""
    numbers = np.zeros((HEIGHT, WIDTH), np.float32)
    numbers[HEIGHT // 2 :] = 1
    left = 40 + 3 * (frame - 1)
    numbers[34:40, left : left + 8] = 2
    depth = np.where(numbers > 0, 20, 1e10).astype(np.float32)
    still = np.zeros_like(depth)
    truth = {"Depth": {"Z": depth}, "Object Index": {"X": numbers}}
    if motion:
        truth["Vector"] = {"X": still, "Y": still, "Z": still - 3, "W": still}
    save_exr(folder / f"truth.{frame:03d}.exr", truth)
    scene = np.where(numbers[..., None] > 0, 0.2, 1.0).astype(np.float32).repeat(3, axis=2)
    scene[numbers == 2] = 0.6
    for name in skies:
        save_exr(folder / f"sky.{name}.{frame:03d}.exr", colour(scene))
    lamps = np.zeros_like(scene)
    lamps[numbers == 2] = (4.0, 0.2, 0.1)
    save_exr(folder / f"lamps.{frame:03d}.exr", colour(lamps))
    entities = [
        {"number": 1, "class_id": 11, "facts": {}},
        {"number": 2, "class_id": 19, "facts": {"light": "traffic", "state": "red", "of": 1}},
    ]
    (folder / "scene.json").write_text(json.dumps({"plan": {}, "entities": entities}))


@pytest.fixture
def write() -> Callable[[Path, int], None]:
    """Write the layers of a frame into a folder."""
    return write_layers


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    folder = tmp_path / "layers"
    folder.mkdir()
    write_layers(folder)
    return folder


BLENDER = """\
#!{python}
import json, os, sys
sys.path.insert(0, {here!r})
if sys.argv[1] == "-c":
    print("5.0.1")
    raise SystemExit
assert sys.argv[1:] == ["-m", "dayshift.train.synth.blender.worker"]
del os.environ["PYTHONPATH"]
from pathlib import Path
from conftest import write_layers
from dayshift.train.synth.light import sky_name
from dayshift.train.synth.plan import draw_plan
for line in sys.stdin:
    job = json.loads(line)
{before}
    for frame in range(1, job["frames"] + 1):
        skies = tuple({{sky_name(draw_plan(job["seed"]), t) for t in job["times"]}})
        write_layers(Path(job["folder"]), frame, skies, motion=job["frames"] > 1)
    print(json.dumps({{"seed": job["seed"], "ok": True}}), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str], str]:
    """Make an executable that answers as Blender's Python does; `before` runs before each scene."""

    def make(before: str = "pass") -> str:
        path = tmp_path / "blender-python"
        here = str(Path(__file__).parent)
        text = BLENDER.format(
            python=sys.executable, here=here, before=textwrap.indent(before, "    ")
        )
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    return make
