"""Weights of a model folder, read back: the same pictures, and nothing taken that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="export needs torch: pip install 'dayshift[export]'")

import torch

from dayshift.cli import main
from dayshift.export.read_back import read_back
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.errors import ModelError, UsageError
from dayshift.train.checkpoint import load_checkpoint
from dayshift.train.networks.gain_light import GainLight


def test_the_network_makes_what_it_made_before_its_export(
    gain_light: GainLight, folder: Path
) -> None:
    checkpoint = read_back(folder)
    again = checkpoint.network()
    assert isinstance(again, GainLight)
    small, half = torch.rand(1, 3, 64, 96), torch.tensor([0.5])
    with torch.no_grad():
        for before, after in zip(
            gain_light.maps(small, half), again.maps(small, half), strict=True
        ):
            torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert checkpoint.method == "relight"
    assert checkpoint.facts["licence"] == "none"


def test_its_norms_can_be_trained_on(folder: Path) -> None:
    network = read_back(folder).network().train().requires_grad_()
    assert isinstance(network, GainLight)
    gain, light = network.maps(torch.rand(2, 3, 64, 64), torch.ones(2))
    torch.autograd.backward(gain.mean() + light.mean())
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.weight.grad is not None and norm.weight.grad.any() for norm in norms)


def test_a_folder_and_a_bundled_name_become_checkpoints(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "it.safetensors"
    assert main(["import", str(folder), "--set", "short_side=96", "--out", str(out)]) == 0
    record = load_checkpoint(out).record()
    assert (record.name, record.settings["short_side"]) == ("gain_light", 96)
    assert main(["import", "day2night", "--out", str(out)]) == 0
    assert load_checkpoint(out).facts["imported_from"] == "day2night"


def test_the_grade_can_be_set_anew(folder: Path) -> None:
    network = read_back(folder, {"saturation": 1.0, "exposure": 1.0}).network()
    assert isinstance(network, GainLight)
    assert not network.config.is_graded


@pytest.mark.parametrize("setting", ["blocks", "fold"])
def test_a_setting_that_its_weights_do_not_fit_is_refused(folder: Path, setting: str) -> None:
    with pytest.raises(ModelError, match="cannot be changed"):
        read_back(folder, {setting: 2})


def test_another_network_is_refused() -> None:
    with pytest.raises(UsageError, match="unet_256"):
        read_back(model_folder("sketch2photo"))


def test_a_model_is_not_told_what_its_file_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "it.safetensors"
    assert main(["import", str(folder), "--norm", "batch", "--out", str(out)]) == 2
    assert "leave --method" in capsys.readouterr().err
    assert not out.exists()
