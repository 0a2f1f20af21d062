"""Relight with a discriminator on pretrained features: here SqueezeNet with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dayshift.train.methods.relight import Relight
from dayshift.train.methods.relight_config import RelightConfig
from dayshift.train.methods.relight_data import RelightData, RelightDataSection
from dayshift.train.metrics.squeezenet import SqueezeNet
from dayshift.train.metrics.weights import WEIGHTS_VARIABLE, WeightsError
from dayshift.train.networks.feature_critic import FEATURES, FeatureCritic
from dayshift.train.recipe import Recipe


@pytest.fixture
def random_squeezenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    state = {key: value.numpy() for key, value in SqueezeNet(ceil_mode=False).state_dict().items()}
    np.savez(folder / "squeezenet_v1_1_imagenet_notop.npz", **state)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(folder))
    return folder


def _with_critic(recipe: Recipe) -> RelightConfig:
    section = recipe.model_dump()["relight"]
    section["weights"]["photo_features"] = 1.0
    return RelightConfig.model_validate({**section, "supervised_steps": 0})


def test_each_depth_weighs_the_same() -> None:
    torch.manual_seed(0)
    sizes = dict(zip(FEATURES, (32, 16, 8), strict=True))
    features = {name: torch.rand(2, FEATURES[name], side, side) for name, side in sizes.items()}
    scores = FeatureCritic(8)(features)
    assert scores.shape == (2, 3 * 32 * 32)
    # The loss does not see how bright an image makes its features, only which of them answer.
    brighter = {name: value * 7 for name, value in features.items()}
    torch.testing.assert_close(FeatureCritic(8).eval()(features).shape, scores.shape)
    critic = FeatureCritic(8).eval()
    torch.testing.assert_close(critic(brighter), critic(features), rtol=1e-4, atol=1e-4)


def test_weights_that_are_missing_are_said_before_training(
    tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    with pytest.raises(WeightsError, match=WEIGHTS_VARIABLE):
        Relight(_with_critic(tiny_recipe))


@pytest.mark.usefixtures("random_squeezenet")
def test_the_critic_is_trained_and_the_network_it_looks_through_is_not(
    tiny_recipe: Recipe, data_root: Path
) -> None:
    method = Relight(_with_critic(tiny_recipe))
    section = RelightDataSection.model_validate(tiny_recipe.model_dump()["data"])
    batch = RelightData(section, data_root, 0).batch(0)
    critic = method.modules["critic"]
    before = {name: value.clone() for name, value in critic.named_parameters()}

    def update(optimizer: str, loss: torch.Tensor) -> None:
        method.optimizers[optimizer].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        method.optimizers[optimizer].step()

    terms = method.training_step(batch, 0, update)
    assert torch.isfinite(torch.stack(list(terms.values()))).all()
    assert terms["photo_features"] != 0
    assert any((before[name] != value).any() for name, value in critic.named_parameters())
    # Its weights come from the user's folder and are not part of a checkpoint.
    assert all(name.startswith("heads.") for name in critic.state_dict())
