"""The Python classes: train, translate, save, load, with the small networks of the other tests."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from dayshift.runtime.errors import UsageError
from dayshift.runtime.model import load
from dayshift.runtime.model_files import load_spec
from dayshift.train import CUT, SPADE, UNIT, CycleGAN, Pix2Pix
from dayshift.train.checkpoint import CheckpointError, load_checkpoint
from dayshift.train.data.images import read_image
from dayshift.train.recipe import Recipe, RecipeError

FRAME = np.random.default_rng(0).integers(0, 256, (50, 66, 3), np.uint8)
PREPROCESS = {"load_size": 70, "crop_size": 64}


@pytest.fixture
def options(small_recipe: Callable[..., Recipe]) -> Callable[[str], dict[str, Any]]:
    """Return keyword arguments that make a method as small as the recipes of the other tests."""

    def of(method: str) -> dict[str, Any]:
        content = small_recipe(method).as_json()
        return {**content[method], "preprocess": PREPROCESS, "run": content["run"]}

    return of


def test_a_gan_is_trained_used_saved_and_loaded(
    options: Callable[[str], dict[str, Any]], domains: Path, tmp_path: Path
) -> None:
    gan = CycleGAN(domains / "a", domains / "b", out=tmp_path / "run", **options("cyclegan"))
    with pytest.raises(UsageError, match=r"nothing is trained yet: call train\(\)"):
        gan.translate_a_to_b(FRAME)
    gan.train(epochs=1, device="cpu")
    assert gan.checkpoint.step == 4
    there, back = gan.translate_a_to_b(FRAME), gan.translate_b_to_a(FRAME)
    assert there.shape == back.shape == FRAME.shape
    assert there.dtype == np.uint8
    assert not np.array_equal(there, back)
    assert np.array_equal(gan.translate(FRAME), there)
    with pytest.raises(UsageError, match=r"expected a uint8 BGR frame \(H, W, 3\), got float64"):
        gan.translate(cast("Any", FRAME / 255))
    loaded = CycleGAN.load(gan.save(tmp_path / "gan.safetensors"))
    assert np.array_equal(loaded.translate_b_to_a(FRAME), back)
    with pytest.raises(UsageError, match="loaded checkpoint has no data"):
        loaded.train()
    with pytest.raises(CheckpointError, match="trained by cyclegan, expected cut"):
        CUT.load(tmp_path / "gan.safetensors")


def test_training_again_for_more_epochs_goes_on_where_it_ended(
    options: Callable[[str], dict[str, Any]], domains: Path, tmp_path: Path
) -> None:
    unit = UNIT(domains / "a", domains / "b", out=tmp_path, **options("unit"))
    unit.train(epochs=1, device="cpu")
    unit.train(epochs=2, device="cpu")
    assert unit.checkpoint.step == 8
    assert load_checkpoint(tmp_path / "checkpoint.safetensors").step == 8
    assert unit.translate_b_to_a(FRAME).shape == FRAME.shape


def test_pairs_lie_in_two_folders_or_side_by_side(
    options: Callable[[str], dict[str, Any]], domains: Path, tmp_path: Path
) -> None:
    (tmp_path / "ab").mkdir()
    for path in (domains / "a").iterdir():
        halves = [read_image(domains / name / path.name) for name in ("a", "b")]
        cv2.imwrite(str(tmp_path / "ab" / path.name), np.hstack(halves))
    settings = options("pix2pix")
    folders = Pix2Pix(domains / "a", domains / "b", out=tmp_path / "1", **settings)
    halves_ = Pix2Pix(tmp_path / "ab", out=tmp_path / "2", **settings)
    for gan in (folders, halves_):
        gan.train(epochs=1, device="cpu")
    assert np.array_equal(folders.translate(FRAME), halves_.translate(FRAME))


def test_spade_paints_label_maps(
    options: Callable[[str], dict[str, Any]], domains: Path, tmp_path: Path
) -> None:
    settings = {
        key: value
        for key, value in options("spade").items()
        if key not in ("labels", "dont_care", "instances", "preprocess")
    }
    gan = SPADE(
        domains / "labels",
        domains / "b",
        classes=3,
        out=tmp_path,
        preprocess=PREPROCESS,
        **settings,
    )
    gan.train(epochs=1, device="cpu")
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 32:] = 2
    assert gan.translate(labels).shape == (64, 64, 3)
    with pytest.raises(UsageError, match="label 7"):
        gan.translate(np.full((64, 64), 7))


def test_a_presets_name_stands_for_a_network_and_a_wrong_option_is_named() -> None:
    CUT("a", "b", generator="gain_light_image", variant="fastcut")
    with pytest.raises(RecipeError, match=r"CycleGAN: cyclegan\.cycles: there is no such field"):
        CycleGAN("a", "b", cycles=3)


def test_naming_the_package_costs_nothing(run_python: Callable[..., str]) -> None:
    told = run_python(
        "import dayshift.train, sys\n"
        "print('torch' in sys.modules, 'CycleGAN' in dir(dayshift.train))"
    )
    assert told.split() == ["False", "True"]


@pytest.mark.parametrize(("direction", "seen"), [(None, "a"), ("b_to_a", "b")])
def test_a_direction_is_exported_on_images_of_its_own_source(
    options: Callable[[str], dict[str, Any]],
    domains: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    direction: str | None,
    seen: str,
) -> None:
    model_folder = pytest.importorskip("dayshift.export.model_folder", reason="needs `export`")
    frames = importlib.import_module("dayshift.export.frames")
    read: list[str] = []
    wanted: list[str | None] = []

    def read_frames(uris: list[str], *, count: int) -> list[np.ndarray]:
        read.extend(uris)
        return []

    monkeypatch.setattr(frames, "read_frames", read_frames)
    monkeypatch.setattr(
        model_folder, "export_model", lambda *_, **how: wanted.append(how["wanted"].direction)
    )
    gan = CycleGAN(domains / "a", domains / "b", out=tmp_path / "run", **options("cyclegan"))
    gan.train(epochs=1, device="cpu")
    gan.export(tmp_path / "model", direction=direction)
    assert set(read) == {str(domains / seen)}
    assert wanted == [direction]


@pytest.mark.slow
def test_a_gan_of_few_images_is_exported_without_int8_and_says_why(
    options: Callable[[str], dict[str, Any]],
    domains: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("dayshift.export.model_folder", reason="needs `export`")
    gan = CycleGAN(domains / "a", domains / "b", **options("cyclegan"), out=tmp_path / "cyclegan")
    gan.train(epochs=1, device="cpu")
    out = gan.export(tmp_path / "model")
    spec = load_spec(out)
    assert set(spec.quality) | set(spec.refused) == {"fp32", "fp16", "int8"}
    assert spec.quality["fp32"].n_frames == 4
    why = "4 images to calibrate on, of 8 or more: give calibration"
    assert spec.refused["int8"] == why
    assert f"{out} has no int8: {why}" in caplog.messages
    # There is a recipe of that name, which these images have not seen.
    assert spec.training.recipe == "a recipe of one's own, cyclegan"
    frame = read_image(domains / "a" / "0.png")
    with load(out, precision="fp32", backend="onnxruntime") as model:
        assert np.abs(model(frame).astype(int) - gan.translate(frame)).max() <= 1


@pytest.mark.slow
def test_the_search_for_int8_has_a_budget_and_frames_that_were_asked_for_must_be_enough(
    options: Callable[[str], dict[str, Any]], domains: Path, tmp_path: Path
) -> None:
    pytest.importorskip("dayshift.export.model_folder", reason="needs `export`")
    gan = CycleGAN(domains / "a", domains / "b", **options("cyclegan"), out=tmp_path / "run")
    gan.train(epochs=1, device="cpu")
    with pytest.raises(UsageError, match="got 4 frames to calibrate on, expected 8 or more"):
        gan.export(tmp_path / "model", calibration=[domains / "a"])
    gan.export(tmp_path / "model", calibration=[domains / "a", domains / "b"], budget_s=0)
    spec = load_spec(tmp_path / "model")
    assert "int8" in spec.quality or "int8" in spec.refused
    assert (tmp_path / "model" / "int8.jpg").is_file()
    if "int8" in spec.quality:
        assert "of 1 trials" in spec.quality["int8"].model_dump()["how"]
