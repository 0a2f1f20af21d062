"""A small image network as ONNX text, with every kind of layer that quantization must tell apart;
and a small gain_light, exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

if TYPE_CHECKING:
    from dayshift.runtime.image import Pixels
    from dayshift.train.checkpoint import Checkpoint
    from dayshift.train.networks.gain_light import GainLight

_TEXT = """<ir_version: 10, opset_import: ["" : 20]>
net (float[1, 3, h, w] x) => (float[1, 3, h, w] y) {
    padded = Pad<mode = "reflect">(x, pads)
    first = Conv(padded, first_weight, first_bias)
    normed = InstanceNormalization(first, one, zero)
    active = Relu(normed)
    down = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(active, down_weight, down_bias)
    down_active = Relu(down)
    blurred = Conv<group = 8, pads = [1, 1, 1, 1]>(down_active, blur)
    joined = Add(down_active, blurred)
    up = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1]>(joined, up_weight, up_bias)
    up_active = LeakyRelu<alpha = 0.2>(up)
    last = Conv<pads = [1, 1, 1, 1]>(up_active, last_weight)
    y = Tanh(last)
}"""


@pytest.fixture
def net() -> onnx.ModelProto:
    """Three plain convolutions, a transposed one, and a depthwise blur; norm, skip and padding."""
    rng = np.random.default_rng(5)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.4, shape).astype(np.float32)

    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "first_weight": weight(8, 3, 3, 3),
        "first_bias": weight(8),
        "one": np.ones(8, np.float32),
        "zero": np.zeros(8, np.float32),
        "down_weight": weight(8, 8, 3, 3),
        "down_bias": weight(8),
        "blur": np.full((8, 1, 3, 3), 1 / 9, np.float32),
        "up_weight": weight(8, 6, 4, 4),
        "up_bias": weight(6),
        "last_weight": weight(3, 6, 3, 3) / 4,
    }
    model = parser.parse_model(_TEXT)
    model.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in constants.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def feed() -> Callable[[int], dict[str, np.ndarray]]:
    """Smooth random inputs of the network, by seed."""

    def make(seed: int) -> dict[str, np.ndarray]:
        import cv2

        coarse = np.random.default_rng(seed).uniform(-1, 1, (5, 6, 3)).astype(np.float32)
        return {"x": cv2.resize(coarse, (48, 32)).transpose(2, 0, 1)[None].copy()}

    return make


@pytest.fixture(scope="session")
def frames() -> list[Pixels]:
    """Smooth random pictures: landscape, portrait, odd."""
    import cv2

    rng = np.random.default_rng(0)
    sizes = [(360, 640), (400, 225), (359, 641)]
    return [cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), size[::-1]) for size in sizes]  # type: ignore[misc]


@pytest.fixture(scope="session")
def gain_light() -> GainLight:
    """A network whose maps vary over the picture and whose batch norms are not trivial."""
    import torch

    from dayshift.train.networks.gain_light import GainLight, GainLightConfig

    torch.manual_seed(0)
    network = GainLight(GainLightConfig((8, 8, 16), 1, saturation=1.3, exposure=0.9)).eval()
    for head in (network.dimming, network.lamps):
        torch.nn.init.normal_(head.weight, std=0.3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.7, 1.4)
            torch.nn.init.normal_(module.bias, std=0.1)
    return network


@pytest.fixture(scope="session")
def checkpoint(gain_light: GainLight) -> Checkpoint:
    """The network as a run leaves it."""
    from dayshift.train.checkpoint import Checkpoint, NetworkRecord
    from dayshift.train.networks.presets import describe_network

    name, settings = describe_network(gain_light)
    record = NetworkRecord(name, "average", settings)
    weights = {f"average/{name}": value for name, value in gain_light.state_dict().items()}
    recipe = {"name": "tiny", "summary": "test", "data": {"licence": "none"}}
    recipe["card"] = {"limits": "it is tiny"}
    facts = {"data": {"photos": 3}}
    return Checkpoint("relight", {"a_to_b": record}, weights, recipe, 1, facts)


@pytest.fixture(scope="session")
def folder(
    checkpoint: Checkpoint, frames: list[Pixels], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Its model folder, in all forms and precisions."""
    from dayshift.export.model_folder import Wanted, export_model
    from dayshift.export.quantize import Settings

    # Times are measured in benchmarks: a test machine may be busy with anything.
    any_speed = Wanted(quantize=Settings(budget_s=0, most_time=float("inf")))
    out = tmp_path_factory.mktemp("models") / "tiny"
    export_model(checkpoint, out, calibration=frames * 4, frames=frames, wanted=any_speed)
    return out
