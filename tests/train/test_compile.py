"""torch.compile changes how fast a run is, not what it learns: inductor's own code on a CPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dayshift.train.checkpoint import load_checkpoint
from dayshift.train.loop.devices import Devices
from dayshift.train.loop.fit import fit
from dayshift.train.recipe import Recipe

CPU = Devices("cpu")


def captured_calls() -> int:
    return int(torch._dynamo.utils.counters["stats"]["calls_captured"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo's, of its own looks
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_networks_learn_what_the_others_do_and_are_saved_under_the_same_names(
    small_recipe: Callable[..., Recipe], domains: Path, tmp_path: Path
) -> None:
    plain = small_recipe("pix2pix", ema=0.9)
    compiled = small_recipe("pix2pix", ema=0.9, compile=True)
    torch._dynamo.utils.counters.clear()
    one = load_checkpoint(fit(plain, domains, tmp_path / "plain", devices=CPU))
    assert captured_calls() == 0
    two = load_checkpoint(fit(compiled, domains, tmp_path / "compiled", devices=CPU))
    assert captured_calls() > 0
    assert one.tensors.keys() == two.tensors.keys()
    for part in ("generator", "discriminator", "ema.generator"):
        for key, value in one.part(part).items():
            assert torch.allclose(value.float(), two.part(part)[key].float(), atol=1e-3), key
