"""A gain_light model folder as a checkpoint again: to train on from it, or to export it otherwise.

The float graph has the weights under their own names, with batch norm and the order of a camera's
pixels folded in; see `core_graph.prepare`. The order is undone here, and the norms are what the
folding left: a bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from pydantic import JsonValue
from torch import Tensor, nn

from dayshift.export.core_graph import pixel_order, prepare, reorder_planes
from dayshift.export.onnx_file import parse_graph
from dayshift.runtime.errors import ModelError, UsageError
from dayshift.runtime.model_files import load_spec, read_graph
from dayshift.runtime.spec import GraphFile, ModelSpec
from dayshift.train.checkpoint import Checkpoint, NetworkRecord
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.presets import build_network

_CORE = "core/"
_PART = "generator"


def read_back(folder: Path, settings: dict[str, JsonValue] | None = None) -> Checkpoint:
    """Return the network of a model folder with its weights, as one that was imported.

    Args:
        folder: Of a model whose network is gain_light.
        settings: Fields of its config to change, such as short_side; those of other shapes of
            weights do not fit.

    Raises:
        ModelError: The folder or its fp32 graph is missing, damaged, or lacks a weight.
        UsageError: The network is another one, or the settings are not of it.
    """
    model = load_spec(folder)
    if model.network.name != "gain_light":
        raise UsageError(
            f"{folder} is a model of {model.network.name}, whose graph has weights of other forms: "
            "weights are read back of gain_light alone; import the checkpoint it was exported from"
        )
    config = dict(model.network.config) | (settings or {})
    network = build_network("gain_light", **config)
    assert isinstance(network, GainLight)
    file = _float_graph(folder, model)
    graph = parse_graph(read_graph(folder, file), str(folder / file.path))
    _take_weights(network, graph, str(folder / file.path))
    tensors = {f"{_PART}/{key}": value for key, value in network.state_dict().items()}
    record = NetworkRecord("gain_light", _PART, config)
    facts = {
        "imported_from": model.name,
        "imported_sha256": file.sha256,
        "licence": model.training.licence,
    }
    return Checkpoint(model.method, {"a_to_b": record}, tensors, facts=facts)


def _float_graph(folder: Path, model: ModelSpec) -> GraphFile:
    for form in (model.forms.maps, model.forms.full):
        if form is not None and "fp32" in form.files:
            return form.files["fp32"]
    raise ModelError(f"{folder} has no fp32 graph to read weights from: export it anew")


@torch.no_grad()
def _take_weights(network: GainLight, graph: onnx.ModelProto, name: str) -> None:
    folded = prepare(network)
    assert isinstance(folded, GainLight)
    found = {
        tensor.name.removeprefix(_CORE): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in graph.graph.initializer
        if tensor.name.startswith(_CORE)
    }
    wanted = folded.state_dict()
    differing = [k for k, v in wanted.items() if k not in found or found[k].shape != v.shape]
    differing += [k for k in found if k.endswith((".weight", ".bias")) and k not in wanted]
    if differing:
        raise ModelError(
            f"{name} has other weights than its network should ({', '.join(differing[:3])}): "
            "channels, blocks and fold of a trained network cannot be changed"
        )
    folded.load_state_dict({key: found[key] for key in wanted})
    order = pixel_order(network.config.fold)
    reorder_planes(folded, [order.index(plane) for plane in range(len(order))])
    for whole, part in _pairs(network, folded):
        if isinstance(whole, nn.BatchNorm2d):
            continue
        for key, value in part.named_parameters(recurse=False):
            if getattr(whole, key) is not None:
                getattr(whole, key).copy_(value)
    for norm, bias in _folded_norms(network, folded):
        norm.reset_parameters()
        norm.weight.fill_((1 + norm.eps) ** 0.5)  # which it divides by
        norm.bias.copy_(bias)


def _pairs(network: nn.Module, folded: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    of_name = dict(folded.named_modules())
    for name, module in network.named_modules():
        yield module, of_name[name]


def _folded_norms(network: nn.Module, folded: nn.Module) -> Iterator[tuple[nn.BatchNorm2d, Tensor]]:
    """Yield each batch norm with the bias of the convolution that it was folded into."""
    for whole, part in _pairs(network, folded):
        if isinstance(whole, nn.Sequential) and isinstance(part, nn.Sequential):
            for index, module in enumerate(whole):
                if isinstance(module, nn.BatchNorm2d):
                    bias = part[index - 1].bias
                    assert isinstance(bias, Tensor)
                    yield module, bias
