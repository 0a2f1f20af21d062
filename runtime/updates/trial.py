"""Whether a model folder works on this machine: it is loaded, and translates a frame.

In a process of its own: an engine that crashes takes that one along, and no other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dayshift.runtime.errors import DayshiftError, GateError, UpdateError
from dayshift.runtime.frame import Pixels
from dayshift.runtime.updates.manifest import Reference
from dayshift.runtime.uri import MOST_PIXELS

# Building an engine takes minutes on a small device; afterwards it is in the cache.
TIMEOUT_S = 1800.0
# `-m` would look for modules in the working folder, which may be anyone's.
_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p]\n"
    "from dayshift.runtime.updates.trial import main; sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Trial:
    """How the trial went: on which engine, and how near the image was to the reference.

    `psnr_db` is None without a reference, and where the image is equal to it.
    """

    backend: str
    precision: str
    psnr_db: float | None


def try_model(folder: Path, reference: Reference | None, backend: str = "auto") -> Trial:
    """Try a model folder in a process of its own.

    Raises:
        UpdateError: It does not load or translate, takes too long, or ends the process.
        GateError: The image is too far from the reference.
    """
    told = "" if reference is None else reference.model_dump_json()
    command = [sys.executable, "-c", _START, str(folder), backend, told]
    environment = {"OPENCV_IO_MAX_IMAGE_PIXELS": str(MOST_PIXELS)} | os.environ
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise UpdateError(f"{folder} was tried for {TIMEOUT_S:g} s without an end") from None
    if done.returncode == 0:
        return Trial(**json.loads(done.stdout.splitlines()[-1]))
    lines = done.stderr.split("\n") if done.returncode > 0 else []
    reason = next((line for line in reversed(lines) if line.strip()), "")
    if done.returncode == GateError.exit_code:
        raise GateError(reason)
    reason = reason or f"it ended the process with signal {-done.returncode}"
    raise UpdateError(f"the model does not work here: {reason}")


def main(words: list[str]) -> int:
    """Try the model folder that the words name, print how it went as JSON."""
    folder, backend, told = words
    reference = Reference.model_validate_json(told) if told else None
    try:
        trial = _try_here(Path(folder), reference, backend)
    except DayshiftError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(json.dumps(vars(trial)))  # noqa: T201
    return 0


def translate_frame(folder: Path, frame: Path | None, backend: str) -> tuple[Pixels, Trial]:
    """Load a model folder and return what it makes of a picture, or of black without one."""
    from dayshift.runtime.model import load
    from dayshift.runtime.sources import open_source

    if frame is None:
        with load(folder, backend=backend) as model:
            height, width = model.spec.forms.full.size or (720, 1280)
            image = model(np.zeros((height, width, 3), np.uint8))
            return image, Trial(model.backend_name, model.precision, None)
    with open_source(frame) as source:
        first = source.read()
    assert first is not None  # a picture has one frame
    with load(folder, backend=backend, size=first.pixels.shape[:2]) as model:
        return model(first.pixels), Trial(model.backend_name, model.precision, None)


def _try_here(folder: Path, reference: Reference | None, backend: str) -> Trial:
    from dayshift.runtime.quality import psnr
    from dayshift.runtime.sources import open_source

    if reference is None:
        return translate_frame(folder, None, backend)[1]
    image, trial = translate_frame(folder, folder / reference.frame, backend)
    with open_source(folder / reference.image) as source:
        expected = source.read()
    assert expected is not None
    if expected.pixels.shape != image.shape:
        raise GateError(f"got an image {image.shape}, the reference is {expected.pixels.shape}")
    near = psnr(image, expected.pixels)
    if near < reference.min_psnr_db:
        raise GateError(
            f"the image is {near:.1f} dB from the one where it was signed, expected at least "
            f"{reference.min_psnr_db:g} dB: this engine computes something else"
        )
    return Trial(trial.backend, trial.precision, None if near == float("inf") else near)
