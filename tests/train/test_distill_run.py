"""`dayshift distill` as a user calls it: exact resumption, the table, what is refused; the API."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dayshift.runtime.errors import UsageError
from dayshift.train import Student
from dayshift.train.checkpoint import Checkpoint, NetworkRecord, load_checkpoint, save_checkpoint
from dayshift.train.loop.build import make_job
from dayshift.train.loop.devices import Devices
from dayshift.train.loop.fit import fit
from dayshift.train.methods.base import Batch
from dayshift.train.methods.distill import Distill, DistillConfig
from dayshift.train.networks.presets import build_network
from dayshift.train.recipe import Recipe, RecipeError
from dayshift.train.teacher import load_teacher

CPU = Devices("cpu")
TEACHER = {"width": 8, "blocks": 3}
FIELDS: dict[str, Any] = {
    "student": {"name": "resnet_9blocks", "settings": {"width": 4, "blocks": 3}},
    "discriminator": {"name": "patchgan_16", "settings": {"width": 4}},
    "schedule": {"constant_epochs": 1, "decay_epochs": 1},
}
PREPROCESS = {"mode": "resize_and_crop", "load_size": 70, "crop_size": 64}


def write_teacher(path: Path, *, seed: int = 0, **settings: Any) -> Path:
    """Write a checkpoint like an imported one: a network and nothing else."""
    torch.manual_seed(seed)
    settings = settings or TEACHER
    weights = build_network("resnet_9blocks", **settings).state_dict()
    record = NetworkRecord("resnet_9blocks", "g", settings)
    tensors = {f"g/{key}": value for key, value in weights.items()}
    save_checkpoint(path, Checkpoint("cyclegan", {"a_to_b": record}, tensors))
    return path


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return write_teacher(tmp_path / "teacher.safetensors")


def make_recipe(teacher: Path | None, **fields: Any) -> Recipe:
    named = {"teacher": {"checkpoint": str(teacher)}} if teacher else {}
    run = {"workers": 0, "loggers": [], "sample_images": 4, "ema": 0.9, "channels_last": True}
    return Recipe.model_validate(
        {
            "name": "small-distill",
            "summary": "for tests",
            "method": "distill",
            "distill": {**FIELDS, **named, **fields},
            "data": {"layout": "unpaired", "a": "a", "b": "b", "preprocess": PREPROCESS},
            "run": run,
        }
    )


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """The same without a teacher, as TOML; JSON's strings, numbers and lists are TOML's."""

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + "}"
        return json.dumps(value)

    path = tmp_path / "small-distill.toml"
    content = make_recipe(None).as_json()
    path.write_text("\n".join(f"{key} = {inline(value)}" for key, value in content.items()))
    return path


@pytest.mark.parametrize(
    "fields", [{}, {"features": 0, "channels": 5, "ssim": 1, "gan_weight": 0}], ids=["gan", "omgd"]
)
def test_a_run_that_was_interrupted_half_way_ends_with_the_very_same_weights(
    fields: dict[str, Any], teacher: Path, domains: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(teacher, **fields)
    whole = load_checkpoint(fit(recipe, domains, tmp_path / "whole", devices=CPU))
    assert whole.step == 8

    def stop(now: object) -> None:
        if getattr(now, "step", 0) == 3:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, domains, tmp_path / "parts", devices=CPU, on_progress=stop)
    moved = teacher.rename(tmp_path / "moved.safetensors")  # the file may lie elsewhere by then
    parts = load_checkpoint(
        fit(make_recipe(moved, **fields), domains, tmp_path / "parts", devices=CPU)
    )
    assert parts.tensors.keys() == whole.tensors.keys()
    for name, value in whole.tensors.items():
        assert torch.equal(value, parts.tensors[name]), name
    assert not any("teacher" in name for name in whole.tensors)


def test_another_teacher_is_refused_when_a_run_goes_on(
    teacher: Path, domains: Path, tmp_path: Path
) -> None:
    path = fit(make_recipe(teacher), domains, tmp_path / "run", devices=CPU)
    saved = load_checkpoint(path).recipe
    assert saved is not None
    assert len(saved["distill"]["teacher"]["sha256"]) == 64
    other = write_teacher(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(RecipeError, match=r"distill\.teacher\.sha256 was"):
        fit(make_recipe(other), domains, tmp_path / "run", devices=CPU)


def test_sheets_and_validation_show_the_teachers_images(teacher: Path, domains: Path) -> None:
    recipe = make_recipe(teacher)
    run = recipe.run.model_copy(update={"validate_images": 4, "metric": "psnr"})
    job = make_job(recipe.model_copy(update={"run": run}), domains)
    assert job.metric is not None
    assert isinstance(recipe.settings, DistillConfig)
    taught = load_teacher(recipe.settings.teacher)
    assert job.metric.measure({"a_to_b": taught.network}) == float("inf")
    assert job.draw_samples is not None
    sheet = job.draw_samples({"a_to_b": taught.network})
    _, translated, shown = np.hsplit(sheet, 3)
    assert np.array_equal(translated, shown)


def test_the_command_ends_with_both_side_by_side(
    dayshift_command: Callable[..., Any],
    teacher: Path,
    recipe_file: Path,
    domains: Path,
    tmp_path: Path,
) -> None:
    words = ["distill", recipe_file, "--teacher", teacher, "--data", domains, "--device", "cpu"]
    words += ["--out", tmp_path / "run", "--json", tmp_path / "result.json"]
    done = dayshift_command(*words)
    assert done.code == 0, done.err
    assert "4 training images" in done.out
    for row in ("parameters", "GMACs at 64x64", "ms at 64x64", "PSNR to the teacher", "SSIM to"):
        assert row in done.out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["steps"] == 8
    found = result["comparison"]
    student = build_network("resnet_9blocks", width=4, blocks=3)
    assert found["costs"]["student"]["parameters"] == sum(p.numel() for p in student.parameters())
    assert found["costs"]["teacher"]["macs"] > found["costs"]["student"]["macs"] > 0
    assert found["costs"]["latency_ratio"] > 0
    assert (found["images"], found["held_out"]) == (4, False)
    assert 0 < found["psnr_db"] < 100
    assert done.err == ""


def test_a_dry_run_names_the_teacher_and_a_larger_student_is_a_warning(
    dayshift_command: Callable[..., Any], recipe_file: Path, domains: Path, tmp_path: Path
) -> None:
    small = write_teacher(tmp_path / "small.safetensors", width=2, blocks=1)
    words = ["distill", recipe_file, "--teacher", small, "--data", domains, "--device", "cpu"]
    dry = dayshift_command(*words, "--set", "distill.recon=10", "--dry-run")
    distill = json.loads(dry.out)["distill"]
    assert distill["recon"] == 10
    assert distill["teacher"]["checkpoint"] == str(small)
    assert (distill["teacher"]["direction"], len(distill["teacher"]["sha256"])) == ("a_to_b", 64)
    words += ["--set", 'data.validation_a="a"']
    done = dayshift_command(*words, "--out", tmp_path / "run", "--json", "-")
    assert "warning: the student is no smaller than its teacher" in done.err
    assert "times as fast here" in done.err
    result = json.loads(done.out)
    assert result["steps"] == 8
    assert result["comparison"]["held_out"]


def test_what_cannot_be_distilled_is_one_line(
    dayshift_command: Callable[..., Any],
    teacher: Path,
    recipe_file: Path,
    domains: Path,
    tmp_path: Path,
) -> None:
    def error(*words: object, recipe: object = recipe_file, of: Path = teacher) -> str:
        done = dayshift_command(
            *("distill", recipe, "--teacher", of, "--data", domains, "--out", tmp_path / "x"),
            *words,
        )
        assert done.code in (1, 2)
        return str(done.error)

    assert "no checkpoint" in error(of=tmp_path / "none.safetensors")
    assert "no direction 'b_to_a'" in error("--direction", "b_to_a")
    assert "expected one to distil such as distill-resnet" in error(recipe="cut")
    crop = ["--set", "data.preprocess.crop_size=62"]
    assert "multiples of 4: the next size it takes is 64x64" in error(*crop)
    assert "distill.paired needs pairs" in error("--set", "distill.paired=true")
    train = dayshift_command("train", recipe_file, "--data", domains, "--out", tmp_path / "x")
    assert "no teacher: name its checkpoint, dayshift distill" in train.error
    assert not (tmp_path / "x" / "checkpoint.safetensors").exists()


def test_the_class_distils_translates_and_compares(
    teacher: Path, domains: Path, tmp_path: Path
) -> None:
    fields = {key: value for key, value in FIELDS.items() if key != "schedule"}
    student = Student(
        teacher,
        domains / "a",
        domains / "b",
        out=tmp_path / "run",
        preprocess=PREPROCESS,
        run={"workers": 0, "loggers": [], "sample_images": 0},
        **fields,
    )
    with pytest.raises(UsageError, match="nothing is trained yet"):
        student.compare()
    student.train(epochs=1, device="cpu")
    frame = np.zeros((50, 66, 3), np.uint8)
    assert student.translate(frame).shape == frame.shape
    found = student.compare()
    assert found.costs.size_wh == (64, 64)
    assert found.costs.student.macs < found.costs.teacher.macs
    loaded = Student.load(student.save(tmp_path / "s.safetensors"))
    assert np.array_equal(loaded.translate(frame), student.translate(frame))
    with pytest.raises(UsageError, match="has no teacher"):
        loaded.compare()


def scenes(seed: int, n: int = 4) -> Tensor:
    rng = np.random.default_rng(seed)
    images = [cv2.resize(rng.integers(0, 256, (5, 5, 3), np.uint8), (32, 32)) for _ in range(n)]
    return torch.from_numpy(np.stack(images)).movedim(-1, 1).float() / 127.5 - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "fields", "share"),
    [
        ({"name": "resnet_9blocks", "settings": {"width": 8, "blocks": 3}}, {}, 0.35),
        ({"name": "gain_light_image", "settings": {"shrink": 1}}, {"ssim": 10.0}, 0.35),
    ],
    ids=["resnet", "gain_light"],
)
def test_a_student_gets_nearer_to_its_teacher(
    student: dict[str, Any], fields: dict[str, Any], share: float, tmp_path: Path
) -> None:
    """On images not trained on, to at most `share` of the untrained student's distance.

    The teacher is a ResNet-9 that has learned a darker, bluer world from pairs.
    """
    teacher_net = build_network("resnet_9blocks", width=12, blocks=6)
    adam = torch.optim.Adam(teacher_net.parameters(), 1e-3)
    tint = torch.tensor([0.3, 0.4, 0.6])[:, None, None]
    for step in range(80):
        a = scenes(step)
        loss = (teacher_net(a) - (a * tint - 0.3)).abs().mean()
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
    tensors = {f"g/{key}": value for key, value in teacher_net.state_dict().items()}
    record = NetworkRecord("resnet_9blocks", "g", {"width": 12, "blocks": 6})
    path = tmp_path / "t.safetensors"
    save_checkpoint(path, Checkpoint("pix2pix", {"a_to_b": record}, tensors))
    torch.manual_seed(0)
    content = {
        "teacher": {"checkpoint": str(path)},
        "student": student,
        "discriminator": {"name": "patchgan_16", "settings": {"width": 8}},
        "optimizer": {"lr": 1e-3},
        **fields,
    }
    config = DistillConfig.model_validate(content)
    method = Distill(config, load_teacher(config.teacher))
    seen = scenes(10**6, 16)

    def distance() -> float:
        network = method.student.eval()
        with torch.no_grad():
            found = float((network(seen) - method.teacher(seen)).abs().mean())
        network.train()
        return found

    def update(optimizer: str, loss: Tensor) -> None:
        method.optimizers[optimizer].zero_grad()
        torch.autograd.backward(loss)
        method.optimizers[optimizer].step()

    before = distance()
    for step in range(120):
        batch: Batch = {"a": scenes(step), "b": scenes(5000 + step) * tint - 0.3}
        method.training_step(batch, step, update)
    assert distance() < share * before, distance() / before
