"""A small relight network that learns a larger one's maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dayshift.runtime.errors import UsageError
from dayshift.train.checkpoint import (
    Checkpoint,
    CheckpointError,
    NetworkRecord,
    save_checkpoint,
)
from dayshift.train.methods.relight import Relight
from dayshift.train.methods.relight_config import RelightConfig
from dayshift.train.methods.relight_data import RelightData, RelightDataSection
from dayshift.train.networks.gain_light import GainLight, GainLightConfig
from dayshift.train.networks.presets import build_network
from dayshift.train.recipe import Recipe

_ONLY_TEACHER = dict.fromkeys(
    ("rendered_l1", "rendered_gradient", "paired_l1", "photo_coarse", "smoothness"), 0.0
)


def _save(path: Path, network: nn.Module, name: str, settings: dict[str, Any]) -> str:
    record = NetworkRecord(name, "generator", settings)
    state = {f"generator/{key}": value for key, value in network.state_dict().items()}
    save_checkpoint(path, Checkpoint("relight", {"a_to_b": record}, tensors=state))
    return str(path)


@pytest.fixture
def teacher_path(tmp_path: Path) -> str:
    torch.manual_seed(1)
    teacher = GainLight(GainLightConfig((8, 8, 8), 1))
    with torch.no_grad():
        for head in (teacher.dimming, teacher.lamps):
            head.weight.normal_(std=0.2)  # as fresh, it would do next to nothing
    return _save(
        tmp_path / "teacher.safetensors",
        teacher,
        "gain_light",
        {"channels": [8, 8, 8], "blocks": 1},
    )


@pytest.mark.parametrize("short_side", [240, 160])
def test_the_student_draws_near_to_the_teachers_maps(
    tiny_recipe: Recipe, data_root: Path, teacher_path: str, short_side: int
) -> None:
    given = tiny_recipe.model_dump()
    given["relight"]["network"]["short_side"] = short_side  # the teacher's is 240
    given["data"]["shrink"] *= 240 / short_side
    section = {**given["relight"], "teacher": teacher_path, "generator_lr": 5e-3}
    section |= {"steps": 60, "supervised_steps": 60}
    section["weights"] |= _ONLY_TEACHER
    torch.manual_seed(0)
    method = Relight(RelightConfig.model_validate(section))
    batch = RelightData(RelightDataSection.model_validate(given["data"]), data_root, 0).batch(0)

    def update(optimizer: str, loss: torch.Tensor) -> None:
        assert optimizer == "generator"  # no discriminator takes part
        method.optimizers[optimizer].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        method.optimizers[optimizer].step()

    found = [float(method.training_step(batch, step, update)["teacher"]) for step in range(40)]
    assert found[-1] < 0.5 * found[0]


def test_a_teacher_of_another_kind_is_refused(tiny_recipe: Recipe, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"width": 4, "blocks": 1}
    resnet = build_network("resnet_6blocks", **settings)
    path = _save(tmp_path / "resnet.safetensors", resnet, "resnet_6blocks", settings)
    section = {**tiny_recipe.model_dump()["relight"], "teacher": path}
    with pytest.raises(UsageError, match="expected one of the method relight"):
        Relight(RelightConfig.model_validate(section))


def test_a_run_goes_on_from_an_earlier_ones_networks(
    tiny_recipe: Recipe, tmp_path: Path, teacher_path: str
) -> None:
    section = tiny_recipe.model_dump()["relight"]
    first = Relight(RelightConfig.model_validate(section))
    settings = {"channels": [4, 4, 8], "blocks": 1}
    path = _save(tmp_path / "first.safetensors", first.generator, "gain_light", settings)
    then = Relight(RelightConfig.model_validate({**section, "start": path}))
    for name, weight in first.generator.state_dict().items():
        torch.testing.assert_close(then.generator.state_dict()[name], weight, rtol=0, atol=0)
    with pytest.raises(CheckpointError, match="generator do not fit"):
        Relight(RelightConfig.model_validate({**section, "start": teacher_path}))
