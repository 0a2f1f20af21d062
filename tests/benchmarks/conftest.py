"""What the tests of benchmarks share: frames and a tiny model's row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dayshift.benchmarks.cases import Case
from dayshift.benchmarks.opening import Opened, Translator, engine_shapes
from dayshift.benchmarks.rows import Row
from dayshift.benchmarks.scenarios import SingleStream
from dayshift.benchmarks.worker import Turns
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import Model, load
from dayshift.runtime.sources import open_source

SIZE_WH = (96, 64)
QUIET = {"other_load": 0.0, "stolen": 0.0, "throttled": None, "temperature_c": None}


@pytest.fixture(scope="session")
def frames() -> list[Pixels]:
    """Three different frames of a street."""
    with open_source(f"synthetic://?size={SIZE_WH[0]}x{SIZE_WH[1]}&frames=60&pace=0") as source:
        seen = [frame.pixels for _ in range(60) if (frame := source.read())]
    return seen[::20]


@pytest.fixture
def model(tiny_model: Path) -> Model:
    """The tiny model in fp32 on ONNX Runtime."""
    return load(tiny_model, backend="onnxruntime", precision="fp32", size=SIZE_WH[::-1])


Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measure_row(tiny_model: Path, frames: list[Pixels], model: Model) -> Measure:
    """Measure a translator as the process of a row does, against the tiny model's own images."""

    def measure(translator: Translator, references: Sequence[Pixels] | None = None) -> Any:
        case = Case(str(tiny_model), "onnxruntime", "fp32", SIZE_WH, threads=1)
        form = model.spec.form(model.form)
        opened = Opened(translator, form, engine_shapes(form, SIZE_WH[::-1]))
        turns = Turns(case, opened, SingleStream(translator, frames), frames)
        row = Row(case, turns.facts(), turns.warm_up({"limit_s": 0.5}))
        for number in range(3):
            row.blocks[number] = turns.block({"seconds": 0.05}) | {"conditions": QUIET}
        from dayshift.benchmarks.likeness import compare_images

        images = [translator.translate(frame).image for frame in frames]
        expected = references or [model.translate(frame).image for frame in frames]
        row.quality = compare_images(images, expected)
        return row.as_json()

    return measure
