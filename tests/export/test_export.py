"""Export end to end, with a small network: every graph makes the picture that PyTorch makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs torch: pip install 'dayshift[export]'")

import onnx
import torch

from dayshift.export.checks import fp16_faults, int8_faults
from dayshift.export.core_graph import export_core, prepare
from dayshift.export.difference import Limits
from dayshift.export.model_folder import export_model
from dayshift.runtime.errors import GateError, SinkError
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import load
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.spec import Card
from dayshift.train.checkpoint import Checkpoint
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.translator import TorchTranslator


def _in_picture(planes: torch.Tensor) -> torch.Tensor:
    """Space-to-depth's planes, colour by colour in RGB, in the order of a camera's pixels."""
    by_pixel = planes.reshape(1, 3, 16, *planes.shape[2:]).flip(1).transpose(1, 2)
    return by_pixel.reshape(planes.shape)


def test_folding_and_pixel_order_keep_the_function(gain_light: GainLight) -> None:
    network = gain_light
    blocks = torch.rand(1, 48, 12, 16)
    controls = torch.tensor([0.7]), torch.tensor([0.4])
    with torch.no_grad():
        found = prepare(network).of_blocks(_in_picture(blocks), *controls)  # type: ignore[operator]
        for original, deployed in zip(network.of_blocks(blocks, *controls), found, strict=True):
            assert torch.allclose(_in_picture(original), deployed, atol=1e-5)


def test_no_batch_norm_is_left_in_the_graph(gain_light: GainLight) -> None:
    operations = {node.op_type for node in export_core(prepare(gain_light)).graph.node}
    assert "Conv" in operations
    assert not operations & {"BatchNormalization", "InstanceNormalization", "ConvTranspose"}


def test_only_convolutions_are_quantized_symmetrically(folder: Path) -> None:
    for name in ("int8.onnx", "maps.int8.onnx"):
        quantized = onnx.load(folder / name)
        assert list(int8_faults(quantized)) == []
        producers = {out: node.op_type for node in quantized.graph.node for out in node.output}
        convolutions = [node for node in quantized.graph.node if node.op_type == "Conv"]
        pairs = [[producers.get(name) for name in node.input[:2]] for node in convolutions]
        assert ["DequantizeLinear"] * 2 in pairs
        readers = {
            node.op_type
            for node in quantized.graph.node
            if any(producers.get(name) == "DequantizeLinear" for name in node.input)
        }
        assert readers == {"Conv"}


def test_convolutions_of_the_fp16_graph_are_half(folder: Path) -> None:
    graph = onnx.load(folder / "fp16.onnx")
    assert any(node.op_type == "Conv" for node in graph.graph.node)
    assert list(fp16_faults(graph)) == []


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("form", ["full", "maps"])
def test_strength_zero_returns_the_frame_exactly(
    folder: Path, backend: str, form: str, frames: list[Pixels]
) -> None:
    for precision in ("fp32", "int8"):
        model = load(folder, backend=backend, form=form, precision=precision, strength=0.0)
        for frame in frames:
            np.testing.assert_array_equal(model(frame), frame)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_two_forms_agree_within_two_levels(
    folder: Path, precision: str, strength: float, frames: list[Pixels]
) -> None:
    full, maps = (
        load(folder, backend="openvino", form=form, precision=precision, strength=strength)
        for form in ("full", "maps")
    )
    for frame in frames:
        image = full(frame)
        assert image.shape == frame.shape
        assert np.abs(image.astype(int) - maps(frame)).max() <= 2


def test_the_fp32_graph_is_pytorch_within_a_level(
    folder: Path, gain_light: GainLight, frames: list[Pixels]
) -> None:
    reference, model = TorchTranslator(gain_light), load(folder, precision="fp32", form="full")
    for frame in frames:
        assert np.abs(reference(frame).astype(int) - model(frame)).max() <= 1


def test_quality_of_every_precision_is_written_down(folder: Path) -> None:
    quality = load_spec(folder).quality
    assert set(quality) == {"fp32", "fp16", "int8"}
    assert all(entry.n_frames == 3 and (entry.psnr_db or 99) >= 38 for entry in quality.values())
    assert quality["fp32"].reference == "PyTorch float32"
    assert quality["int8"].reference == "fp32.onnx on OpenVINO"


def test_what_the_recipe_says_of_the_model_is_in_its_card(folder: Path) -> None:
    assert load_spec(folder).card == Card(limits="it is tiny")


def test_files_are_single_and_a_preview_is_there(folder: Path) -> None:
    graphs = ["fp32", "fp16", "int8", "maps.fp32", "maps.int8"]
    expected = [f"{name}.onnx" for name in graphs] + ["int8.jpg", "model.json", "preview.jpg"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


def test_a_failed_export_leaves_the_old_folder_as_it_was(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: list[Pixels]
) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "model.json").write_text("old")
    monkeypatch.setattr("dayshift.export.parity.INVISIBLE", Limits(999.0, 2.0))
    with pytest.raises(GateError, match=r"full fp32 on onnxruntime against PyTorch: got .*999 dB"):
        export_model(checkpoint, out, frames=frames[:1])
    assert (out / "model.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_no_model_is_not_replaced(
    checkpoint: Checkpoint, tmp_path: Path, frames: list[Pixels]
) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(SinkError, match="not a model folder"):
        export_model(checkpoint, tmp_path, frames=frames)
