"""The published networks at full width with fresh weights: both engines give PyTorch's picture."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs torch: pip install 'dayshift[export]'")

import torch

from dayshift.export.calibrate import open_session
from dayshift.export.core_graph import export_core, input_planes, prepare
from dayshift.export.image_forms import frame_form
from dayshift.export.runner import Runner
from dayshift.runtime.spec import FullForm
from dayshift.train.networks.presets import build_network
from dayshift.train.networks.spectral import SpectralConv2d

pytestmark = pytest.mark.slow

_MOST_MEMORY_KIB = 12 * 2**20
_FORM = FullForm.model_validate(
    {"files": {"fp32": {"path": "fp32.onnx", "sha256": "0" * 64, "bytes": 1}}}
)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet_9blocks", {}),
        ("unet_256", {}),
        ("cut_resnet_9blocks", {}),
        ("unit", {}),
        ("spade", {"label_planes": 36}),
    ],
)
def test_a_full_size_network_keeps_its_output_in_both_engines(
    name: str, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    network = build_network(name, **settings).eval()
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            for _ in range(20):
                module._refine()
    planes = input_planes(network)
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (256, 256, planes), np.uint8)
    x = (levels[..., ::-1].transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
    if name == "spade":
        x = np.eye(planes, dtype=np.float32)[rng.integers(0, planes, (256, 256))]
        x = np.ascontiguousarray(x.transpose(2, 0, 1)[None])
    core = export_core(prepare(network))
    with torch.no_grad():
        expected = network(torch.from_numpy(x.copy())).numpy()
    del network
    got = open_session(core).run(["y"], {"x": x})[0]
    assert np.abs(got - expected).max() < 1e-3
    if name != "spade":
        image = np.rint((expected[0].transpose(1, 2, 0)[..., ::-1] + 1) * 127.5)
        graph = frame_form(core).SerializeToString()
        for backend in ("openvino", "onnxruntime"):
            with Runner(_FORM, graph, "fp32", backend) as runner:
                assert np.abs(runner(levels) - image).max() <= 1
    else:
        import openvino as ov

        model = ov.Core().read_model(core.SerializeToString())
        model.reshape(list(x.shape))
        compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        assert np.abs(compiled(x)[0] - expected).max() < 1e-3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < _MOST_MEMORY_KIB
