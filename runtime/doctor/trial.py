"""What the doctor runs in a process of its own: bundled files in, the bundled model, files out."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dayshift.runtime.bundled import bundled_clip, bundled_models, model_folder
from dayshift.runtime.frame import Frame
from dayshift.runtime.model_files import load_spec, read_graph


def try_main_job() -> dict[str, Any]:
    """Verify and run the bundled model on a frame that came in one way, and write it each way.

    Returns: `model` with a `detail` or an `error`; `in` and `out` with each way's error or None.
    """
    folder = model_folder(bundled_models()[0])
    frames: list[Frame] = []
    sources = {"videos": bundled_clip(), "pictures": folder / "preview.jpg"}
    ways_in = {
        name: _error_of(lambda path=path: frames.append(_read(path)))  # type: ignore[misc]
        for name, path in sources.items()
    }
    told: dict[str, Any] = {"model": {}, "in": ways_in, "out": {}}
    error = _error_of(lambda: told["model"].update(_translate(folder, frames)))
    if error is not None:
        told["model"] = {"error": error}
    if frames:
        told["out"] = _write(frames[0])
    return told


def _error_of(action: Callable[[], object]) -> str | None:
    try:
        action()
    except Exception as error:  # whatever it is, it is what we are here to report
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _read(path: Path) -> Frame:
    from dayshift.runtime.sources import open_source

    with open_source(str(path)) as source:
        frame = source.read()
    assert frame is not None, f"{path} has a frame"
    return frame


def _translate(folder: Path, frames: list[Frame]) -> dict[str, str]:
    """Check every file of the model, and translate a frame: night must differ from day."""
    from dayshift.runtime.model import Building, load

    spec = load_spec(folder)
    files = [
        file
        for form in (spec.forms.full, spec.forms.maps)
        for file in (form.files.values() if form else ())
    ]
    for file in files:
        read_graph(folder, file)
    if not frames:
        raise RuntimeError("there was no frame to translate: see the ways in")
    pixels = frames[0].pixels
    building = Building(in_background=True)
    with load(spec.name, size=pixels.shape[:2], building=building) as model:
        image = model(pixels)
        began = time.perf_counter()
        model(pixels)
        took_ms = (time.perf_counter() - began) * 1e3
        if image.shape != pixels.shape or (image == pixels).all():
            raise RuntimeError(f"{spec.name} returned the frame as it was")
        runs = f"{model.backend_name} {model.backend_version}, {model.precision}, {model.device}"
    size = f"{pixels.shape[1]}x{pixels.shape[0]}"
    detail = f"{spec.name}: {len(files)} files verified; {runs}, {size} in {took_ms:.0f} ms"
    return {"detail": detail}


def _write(frame: Frame) -> dict[str, str | None]:
    """Try the ways out that need neither a screen nor a network."""
    from fractions import Fraction

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def pictures() -> None:
            from dayshift.runtime.sinks.images import ImageSink

            with ImageSink(folder / "frames") as sink:
                sink.write(frame.pixels, frame)

        def video() -> None:
            from dayshift.runtime.sinks.video import VideoSink

            with VideoSink(folder / "out.mp4", fps=Fraction(30)) as sink:
                sink.write(frame.pixels, frame)

        def page() -> None:
            importlib.import_module("dayshift.runtime.sinks.http")

        ways = {"pictures": pictures, "videos": video, "browser page": page}
        return {way: _error_of(action) for way, action in ways.items()}
