"""A row says what is wrong with an engine that is not what it says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dayshift.benchmarks.cases import Case
from dayshift.benchmarks.rows import Row
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import Model, load
from dayshift.runtime.plan import Translation
from dayshift.runtime.stream_memory import Memory

Measure = Callable[..., dict[str, Any]]
FIXED_FIELDS = {
    *("model", "backend", "backend_version", "precision_requested", "precision_actual", "size"),
    *("n", "warmup", "latency_ms", "fps", "build_s", "memory_mib", "energy_mj_per_frame"),
    *("psnr_db", "ssim", "status", "reason"),
}


class Changed:
    """A model that is not quite what it says."""

    def __init__(
        self,
        model: Model,
        *,
        sleep_s: float = 0.0,
        image: Pixels | None = None,
        precision: str = "",
    ) -> None:
        self._model = model
        self._sleep_s = sleep_s
        self._image = image
        self.precision = precision or model.precision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Translation:
        translation = self._model.translate(frame)
        time.sleep(self._sleep_s)
        # Its own times do not tell of the sleep.
        image = translation.image if self._image is None else self._image.copy()
        return Translation(image, translation.preprocess_ms, 0.01, translation.postprocess_ms)


def test_an_honest_row_has_every_fixed_field_and_no_complaint(
    measure_row: Measure, model: Model
) -> None:
    row = measure_row(model)
    assert set(row) >= FIXED_FIELDS
    assert row["status"] == "passed"
    assert (row["precision_actual"], row["ssim"]) == ("fp32", 1.0)
    assert row["identical"]
    assert row["n"] >= 3
    assert set(row["latency_ms"]) == {"mean", "p50", "p90", "p95", "p99", "max", "cv"}
    assert row["energy_mj_per_frame"] is not None or row["energy_reason"]
    assert not [w for w in row["warnings"] if "no core worked" in w or "rounding" in w]


def test_a_backend_that_secretly_sleeps_has_its_sleep_in_the_latency_and_as_idle_time(
    measure_row: Measure, model: Model
) -> None:
    row = measure_row(Changed(model, sleep_s=0.005))
    assert row["latency_ms"]["p50"] >= 5
    assert row["fps"] <= 200
    assert row["idle_ms_per_frame"] > 3
    assert any("no core worked for" in warning for warning in row["warnings"])


def test_a_backend_that_returns_a_constant_fails(measure_row: Measure, model: Model) -> None:
    constant = np.full((64, 96, 3), 40, np.uint8)
    row = measure_row(Changed(model, image=constant))
    assert row["status"] == "failed"
    assert row["reason"] == "different frames gave one and the same image"
    assert row["psnr_db"] < 30


def test_a_backend_that_runs_in_less_than_it_says_is_seen_in_its_images(
    measure_row: Measure, tiny_model: Path
) -> None:
    with load(tiny_model, backend="onnxruntime", precision="int8", size=(64, 96)) as coarse:
        row = measure_row(Changed(coarse, precision="fp32"))
    assert row["precision_actual"] == "fp32"
    assert any("less than rounding explains" in warning for warning in row["warnings"])


def test_a_backend_that_admits_another_precision_has_it_in_the_row(
    measure_row: Measure, model: Model
) -> None:
    row = measure_row(Changed(model, precision="bf16"))
    assert row["precision_actual"] == "bf16"
    assert "asked for fp32, ran in bf16" in row["warnings"]


def test_a_row_without_figures_has_the_same_fields() -> None:
    row = Row(Case("day2night", "tensorrt", "fp16", (1280, 720)))
    row.fail("skipped", "no tensorrt: pip install 'dayshift[tensorrt]'")
    told = row.as_json()
    assert set(told) >= FIXED_FIELDS
    assert (told["status"], told["n"], told["fps"]) == ("skipped", 0, None)
    assert told["warnings"] == []


@pytest.mark.parametrize(
    ("conditions", "said"),
    [({"other_load": 0.4}, "other work took 40 %"), ({"throttled": 2}, "throttled 2 times")],
)
def test_what_disturbed_a_row_is_said(
    measure_row: Measure, model: Model, conditions: dict[str, Any], said: str
) -> None:
    quiet = {"other_load": 0.0, "stolen": 0.0, "throttled": 0, "temperature_c": 40.0}
    block = {"times_ms": [5.0], "frames": 1, "seconds": 0.005, "cpu_s": 0.005, "run_queue_s": 0.0}
    block |= {"stages_ms": {}, "dropped": 0, "events": [], "joules": 0.05, "memory_mib": 90.0}
    block |= {"device_memory_mib": None, "conditions": quiet | conditions}
    row = Row(Case("day2night", "openvino", "auto", (1280, 720)), {"device": "CPU"})
    row.blocks[0] = block
    told = row.as_json()
    assert any(said in warning for warning in told["warnings"])
    assert told["energy_mj_per_frame"] == 50
