"""fp16 and its scaler, on the CPU's own fp16: users get it on a GPU alone, the code is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision

from dayshift.train.checkpoint import load_checkpoint, save_checkpoint
from dayshift.train.loop.build import make_job
from dayshift.train.loop.session import Session
from dayshift.train.recipe import Recipe


def open_session(recipe: Recipe, root: Path) -> Session:
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu"))
    return Session(make_job(recipe, root), fabric)


def take_steps(session: Session, count: int) -> None:
    batches = session.job.source.batches(session.step, 0, 1)
    for _ in range(count):
        session.train_step([next(batches)], steps_per_epoch=4)


@pytest.mark.parametrize("method", ["pix2pix", "cyclegan"])
def test_half_precision_goes_on_with_the_scale_it_had(
    method: str, small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(method, precision="fp16", clip_norm=1.0)
    whole = open_session(recipe, domains)
    take_steps(whole, 6)
    half = open_session(recipe, domains)
    take_steps(half, 3)
    save_checkpoint(tmp_path / "half.safetensors", half.checkpoint())
    saved = load_checkpoint(tmp_path / "half.safetensors")
    assert saved.state["scaler"]["scale"] > 1
    again = open_session(recipe, domains)
    again.restore(saved)
    take_steps(again, 3)
    one, other = whole.checkpoint(), again.checkpoint()
    assert one.state["scaler"] == other.state["scaler"]
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name]), name


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_falls(
    small_recipe: Callable[..., Recipe], domains: Path
) -> None:
    session = open_session(small_recipe("pix2pix", precision="fp16"), domains)
    scaler = session.fabric.strategy.precision.state_dict()
    session.fabric.strategy.precision.load_state_dict({**scaler, "scale": 2.0**40})
    generator = session.job.method.modules["generator"]
    before = [weight.clone() for weight in generator.parameters()]
    take_steps(session, 1)
    assert all(map(torch.equal, before, generator.parameters()))
    assert session.fabric.strategy.precision.state_dict()["scale"] < 2.0**40
    session.fabric.strategy.precision.load_state_dict({**scaler, "scale": 8.0})
    take_steps(session, 1)
    assert not all(map(torch.equal, before, generator.parameters()))
