"""The facade: exactly these names, and cheap until one of them is used."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dayshift
from dayshift.runtime import errors

HEAVY = {"av", "cv2", "numpy", "onnx", "onnxruntime", "openvino", "pydantic", "torch", "typer"}


def test_all_is_sorted_and_every_name_in_it_can_be_fetched() -> None:
    assert dayshift.__all__ == sorted(dayshift.__all__)
    for name in dayshift.__all__:
        assert getattr(dayshift, name) is not None
        assert name in dir(dayshift)


def test_every_public_name_is_in_all() -> None:
    public = {
        name
        for name, value in vars(dayshift).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public - {"annotations", "TYPE_CHECKING"} <= set(dayshift.__all__)


def test_every_error_is_in_all() -> None:
    named = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DayshiftError)
    }
    assert named <= set(dayshift.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dayshift' has no attribute 'nothing'"):
        _ = dayshift.nothing


def test_importing_the_facade_imports_nothing_heavy(run_python: Callable[..., str]) -> None:
    told = run_python("import sys, dayshift; print(*{m.split('.')[0] for m in sys.modules})")
    assert HEAVY.isdisjoint(told.split())


def test_a_loaded_model_turns_a_frame_into_an_image(tiny_model: Path) -> None:
    frame = np.full((48, 64, 3), 120, np.uint8)
    with dayshift.load(tiny_model) as model:
        assert isinstance(model, dayshift.Model)
        image = model(frame)
        model.strength = 0.0
        assert np.array_equal(model(frame), frame)
    assert image.shape == frame.shape
    assert image.dtype == np.uint8
    assert not np.array_equal(image, frame)


def test_a_loaded_model_burns_a_share_of_its_lamps(lit_model: Path) -> None:
    frame = np.full((48, 64, 3), 120, np.uint8)
    with dayshift.load(lit_model, lamps=0.0) as model:
        dark = model(frame)
        model.lamps = 1.0
        assert model(frame).mean() > dark.mean() + 5


def test_a_stream_is_a_loop_over_results(tiny_model: Path) -> None:
    with dayshift.load(tiny_model) as model:
        results = list(
            dayshift.stream("synthetic://?size=64x48&frames=4&pace=0", model, policy="every")
        )
        assert [result.index for result in results] == [0, 1, 2, 3]
        for result in results:
            assert np.array_equal(result.image, model(result.frame.pixels))
