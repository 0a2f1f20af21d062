"""PyTorch as a backend: eager and `torch.compile`, the baselines.

The network computes what the model's graph computes, from the same uint8 arrays to the same uint8
arrays, so that only the engine differs between two rows. Weights come out of the model folder's own
fp32 graph; a network's name alone gives random ones, which take the same time.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dayshift.export.core_graph import prepare, reorder_planes
from dayshift.export.read_back import read_back
from dayshift.runtime.backends import Shapes
from dayshift.runtime.backends.base import Array
from dayshift.runtime.errors import BackendError, ModelError
from dayshift.runtime.image import padded_size, shrink_factor
from dayshift.runtime.spec import FullForm, MapsForm, ModelSpec
from dayshift.train.networks.gain_light import GainLight, apply_gain_light
from dayshift.train.networks.presets import build_network


class TorchBackend:
    """A module that takes and gives uint8 arrays, run by PyTorch.

    Args:
        module: from `frame` uint8 (N, H, W, 3) and the controls (1,) to arrays by name.
        precision: fp32 or bf16 (autocast, as PyTorch users do it).
        compiled: run it through `torch.compile`.
    """

    def __init__(self, module: nn.Module, precision: str, *, compiled: bool) -> None:
        if precision not in ("fp32", "bf16"):
            raise BackendError(f"pytorch runs fp32 and bf16 here, got {precision}")
        self.name = "torch.compile" if compiled else "pytorch"
        self.version = torch.__version__
        self.precision = precision
        has_cuda = torch.cuda.is_available()
        self.device = torch.cuda.get_device_name() if has_cuda else "CPU"
        self._device = torch.device("cuda" if has_cuda else "cpu")
        module = module.eval().to(self._device)
        # One shape per row: what is compiled for it is what users get after their warm-up.
        self._run: Any = torch.compile(module, dynamic=False) if compiled else module

    @torch.inference_mode()
    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module; copies to and from the device are inside."""
        tensors = {name: torch.from_numpy(a).to(self._device) for name, a in inputs.items()}
        use_bf16 = self.precision == "bf16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=use_bf16):
            outputs = self._run(**tensors)
        return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}

    def fork(self) -> TorchBackend:
        """Return this very backend: PyTorch's modules serve any thread."""
        return self

    def close(self) -> None:
        """Nothing but memory, which goes with the object."""


class MapsModule(nn.Module):
    """A gain-and-light network in BGR: from the small frame to the two small maps.

    Args:
        network: as `prepare` leaves it, its planes in a picture's order. They become those of
            space-to-depth in BGR here, which PyTorch has a layer for.
    """

    def __init__(self, network: GainLight) -> None:
        super().__init__()
        pixels = network.config.fold**2
        reorder_planes(network, [3 * at + colour for colour in range(3) for at in range(pixels)])
        self.network = network

    @property
    def short_side(self) -> int:
        """To which side frames are shrunk."""
        return self.network.config.short_side

    def forward(
        self, frame: Tensor, strength: Tensor, lamps: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return `gain` and `light`, uint8 (1, h, w, 3), for a frame of that shape."""
        gain, light = self.network.maps(_planes(frame) / 255, strength, lamps)
        return {"gain": _levels(gain.float() * 255), "light": _levels(light.float() * 255)}


class FullMapsModule(MapsModule):
    """The same with shrinking and applying inside, as the full graph has them."""

    def __init__(self, network: GainLight, factor: int) -> None:
        super().__init__(network)
        self.factor = factor

    def forward(
        self, frame: Tensor, strength: Tensor, lamps: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return `image`, uint8 (1, H, W, 3)."""
        full = _planes(frame) / 255
        small = nn.functional.avg_pool2d(full, self.factor)
        maps = self.network.maps(small, strength, lamps)
        return {"image": _levels(apply_gain_light(full, *maps).float() * 255)}


class ImageModule(nn.Module):
    """A generator from RGB (N, 3, H, W) in [-1, 1] to the same, fed with BGR frames.

    Attributes:
        multiple: frames are padded to multiples of this.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # The U-Nets halve as often as they have layers, the others twice.
        self.multiple = 2 ** int(getattr(network.config, "downsamplings", 2))

    def forward(self, frame: Tensor, strength: Tensor | None = None) -> dict[str, Tensor]:
        """Return `image`, uint8 (N, H, W, 3) BGR; there is no strength in these."""
        del strength
        real_a = _planes(frame).flip(1) / 127.5 - 1
        fake_b = self.network(real_a)
        return {"image": _levels((fake_b.flip(1).float() + 1) * 127.5)}


def module_of_model(
    folder: Path, spec: ModelSpec, form: FullForm | MapsForm, size_wh: tuple[int, int]
) -> nn.Module:
    """Rebuild a model folder's network with the weights of its fp32 graph.

    Args:
        folder: the model folder.
        spec: what its model.json says.
        form: what the module takes and gives.
        size_wh: width and height of the frames, which decide by how much the full form shrinks.

    Raises:
        ModelError: The graph's weights are not those of the network that `model.json` names.
    """
    if spec.network.name != "gain_light":
        raise ModelError(
            f"weights of {spec.network.name} cannot be read back from a graph: "
            "name its checkpoint to measure it in PyTorch"
        )
    deployed = prepare(read_back(folder).network())  # its planes in a picture's order
    assert isinstance(deployed, GainLight)
    if isinstance(form, MapsForm) or form.short_side is None:
        return MapsModule(deployed)
    padded = padded_size(*size_wh[::-1], multiple=form.multiple, short_side=form.short_side)
    return FullMapsModule(deployed, shrink_factor(*padded, form.short_side))


def module_of_network(model: str) -> tuple[nn.Module, bool]:
    """Return a generator by its checkpoint or its name, and whether its weights are trained."""
    if model.endswith(".safetensors"):
        from dayshift.train.checkpoint import load_checkpoint

        network, is_trained = load_checkpoint(Path(model)).network(), True
    else:
        torch.manual_seed(0)
        network, is_trained = build_network(model), False
    if isinstance(network, GainLight):
        deployed = prepare(network)
        assert isinstance(deployed, GainLight)
        return MapsModule(deployed), is_trained
    return ImageModule(network), is_trained


def count_macs(module: nn.Module, shapes: Shapes) -> int | None:
    """Count multiply-accumulates of one call, without computing anything; None where unknown."""
    from torch.utils.flop_counter import FlopCounterMode

    meta = copy.deepcopy(module).to("meta")
    inputs = {
        name: torch.empty(shape, device="meta", dtype=_dtype(name))
        for name, shape in shapes.items()
    }
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(**inputs)
    return int(counter.get_total_flops()) // 2 or None


def _dtype(name: str) -> torch.dtype:
    return torch.uint8 if name in ("frame", "labels") else torch.float32


def _planes(frame: Tensor) -> Tensor:
    return frame.permute(0, 3, 1, 2).float()  # (N, 3, H, W)


def _levels(planes: Tensor) -> Tensor:
    return planes.round().clamp(0, 255).permute(0, 2, 3, 1).contiguous().byte()
