"""Translate a few frames of the bundled clip on every engine, and compare with another machine's.

    python pictures.py here.npz                       # on one machine
    python pictures.py there.npz --against here.npz   # on the other: the same frames, judged

The second translates the frames that the first decoded: decoders convert colours by code of their
own on each processor, and that is told, not judged. Exit code 3: a picture is off by more than the
limit. Times are not taken: under emulation they mean nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dayshift.runtime.bundled import bundled_clip, model_folder
from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import load
from dayshift.runtime.model_files import SPEC_NAME, load_spec
from dayshift.runtime.sources import open_source

MODEL = "day2night"
BACKENDS = ("onnxruntime", "openvino")
MOST_LEVELS = 2
_EVERY = 20
_MOST_FRAMES = 3

Arrays = dict[str, np.ndarray]


def decode() -> Pixels:
    """Return some frames of the bundled clip: uint8 BGR (N, H, W, 3)."""
    frames: list[Pixels] = []
    with open_source(str(bundled_clip())) as source:
        while len(frames) < _MOST_FRAMES and (frame := source.read()) is not None:
            if frame.index % _EVERY == 0:
                frames.append(frame.pixels.copy())
    return np.stack(frames)


def translate(frames: Pixels) -> Arrays:
    """Return the pictures in fp32 by engine and form, each uint8 BGR (N, H, W, 3)."""
    pictures = {}
    size = (frames.shape[1], frames.shape[2])
    has_maps = load_spec(model_folder(MODEL)).forms.maps is not None
    for backend in BACKENDS:
        for form in ("full", "maps") if has_maps else ("full",):
            with load(MODEL, backend=backend, precision="fp32", form=form, size=size) as model:
                pictures[f"{backend} {form}"] = np.stack([model(frame) for frame in frames])
                print(f"{backend} {model.backend_version}, {form} form: {len(frames)} frames")
    return pictures


def difference(ours: Pixels, theirs: Pixels) -> tuple[int, str]:
    """Return the largest difference in levels of 255, and a sentence on all of them."""
    levels = np.abs(ours.astype(np.int16) - theirs.astype(np.int16))
    shares = ", ".join(f"{np.mean(levels > level):.4%} by more than {level}" for level in (0, 1))
    return int(levels.max()), f"at most {levels.max()} of 255 levels; {shares}"


def main(words: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path, metavar="NPZ")
    asked = parser.parse_args(words)
    model_hash = hashlib.sha256((model_folder(MODEL) / SPEC_NAME).read_bytes()).hexdigest()
    decoded = decode()
    theirs: Arrays = {"frames": decoded}
    if asked.against is not None:
        with np.load(asked.against, allow_pickle=False) as file:
            theirs = dict(file)
        if str(theirs.pop("model")) != model_hash:
            raise DayshiftError(
                f"{asked.against} has pictures of another {MODEL}: make both from one wheel"
            )
    frames = theirs.pop("frames")
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    pictures = translate(frames)
    saved: dict[str, Any] = {"frames": frames, "model": np.array(model_hash), **pictures}
    np.savez(asked.out, **saved)
    if asked.against is None:
        return 0
    print(f"the clip as decoded: {difference(decoded, frames)[1]}")
    worst = 0
    for name, picture in theirs.items():
        most, sentence = difference(pictures[name], picture)
        print(f"{name}: {sentence}")
        worst = max(worst, most)
    print(f"largest difference of a translated picture: {worst}, limit {MOST_LEVELS}")
    return 0 if worst <= MOST_LEVELS else 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DayshiftError as error:
        sys.exit(f"error: {error}")
