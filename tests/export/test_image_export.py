"""Networks that make whole images, from checkpoint to engines: the picture stays PyTorch's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="export needs torch: pip install 'dayshift[export]'")

import torch
from onnx import parser

from dayshift.export.core_graph import export_core, prepare
from dayshift.export.model_folder import Wanted, export_model
from dayshift.export.quantize import Settings, quantize_model
from dayshift.export.reference import torch_translator
from dayshift.export.runner import Runner
from dayshift.runtime.backends import BackendName
from dayshift.runtime.errors import ModelError, UsageError
from dayshift.runtime.model import load
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.spec import FullForm
from dayshift.train.authors.convert import Wish, import_checkpoint
from dayshift.train.checkpoint import Checkpoint, NetworkRecord
from dayshift.train.networks.presets import build_network
from dayshift.train.networks.spectral import SpectralConv2d

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
BACKENDS: tuple[BackendName, ...] = ("onnxruntime", "openvino")
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def checkpoint(name: str, record: dict[str, Any] | None = None, **settings: Any) -> Checkpoint:
    torch.manual_seed(3)
    network = build_network(name, **settings)
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            for _ in range(20):  # fresh vectors estimate a norm far too small: the weights explode
                module._refine()
    weights = {f"g/{key}": value for key, value in network.state_dict().items()}
    for key, value in weights.items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif key.endswith("running_mean"):
            value.normal_(0, 0.2)
    record = record or {}
    return Checkpoint("test", {"a_to_b": NetworkRecord(name, "g", settings, **record)}, weights)


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), np.uint8)


def label_map(height: int, width: int, count: int) -> Pixels:
    coarse = np.random.default_rng(1).integers(0, count, (5, 8), np.uint8)
    labels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(labels, np.uint8)


def grey(labels: Pixels) -> Pixels:
    return np.repeat(labels[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "resnet"
    export_model(
        checkpoint("resnet_6blocks", width=4, blocks=1), out, frames=[picture(300, 400)] * 3
    )
    return out


def test_a_network_of_any_size_says_its_multiple_and_is_compared_at_several_sizes(
    resnet: Path,
) -> None:
    spec = load_spec(resnet)
    assert (spec.forms.full.multiple, spec.forms.full.size) == (4, None)
    assert spec.forms.maps is None
    assert spec.network.name == "resnet_6blocks"
    assert spec.quality["fp32"].max_abs is not None
    assert spec.quality["fp32"].max_abs <= 1
    assert sorted(path.name for path in resnet.iterdir()) == [
        "fp32.onnx",
        "model.json",
        "preview.jpg",
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_strength_blends_from_the_frame_itself_to_the_image(resnet: Path, backend: str) -> None:
    frame = picture(49, 70)
    with load(resnet, backend=backend, size=(49, 70)) as model:
        full = model(frame)
        model.strength = 0.0
        np.testing.assert_array_equal(model(frame), frame)
        model.strength = 0.5
        half = (full.astype(float) + frame) / 2
        assert np.abs(model(frame) - half).max() <= 1.01


@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_statistics_become_the_instance_norm_that_they_are(
    tmp_path: Path, backend: BackendName
) -> None:
    made = checkpoint("resnet_6blocks", {"norm": "batch"}, width=4, blocks=1, norm="batch")
    network = made.network()
    deployed = prepare(network, made.record())
    operators = [node.op_type for node in export_core(deployed).graph.node]
    assert "InstanceNormalization" in operators
    assert "BatchNormalization" not in operators
    x = torch.rand(1, 3, 24, 40) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(network(x), deployed(x), atol=1e-5)
    out = tmp_path / "model"
    export_model(made, out, frames=[picture(256, 256)])
    assert load_spec(out).network.config["norm_statistics"] == "image"


def test_running_statistics_are_folded_away() -> None:
    made = checkpoint("unet_128", width=4, downsamplings=5)
    graph = export_core(prepare(made.network(), made.record())).graph
    operators = {node.op_type for node in graph.node}
    assert operators == {"Conv", "ConvTranspose", "LeakyRelu", "Relu", "Concat", "Tanh"}


@pytest.mark.parametrize(
    ("preset", "head"),
    [
        *(("resnet_edge", head) for head in ("residual", "affine", "pyramid")),
        ("resnet_6blocks", "pyramid"),
    ],
)
def test_a_head_makes_the_same_picture_on_every_engine(
    preset: str, head: str, tmp_path: Path
) -> None:
    made = checkpoint(preset, width=4, blocks=1, head=head)
    done = export_model(made, tmp_path / "m", frames=[picture(300, 400, s) for s in range(3)])
    assert {row.backend for row in done.parity} == set(BACKENDS)
    assert all(row.difference.max_abs <= 1 for row in done.parity)
    frame = picture(61, 90)
    expected = torch_translator(made.network(), 4)(frame)
    for backend in BACKENDS:
        with load(tmp_path / "m", backend=backend, size=frame.shape[:2]) as model:
            assert np.abs(model(frame).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("resnet_6blocks", {"width": 4, "blocks": 1}),
        ("resnet_6blocks", {"width": 4, "blocks": 1, "head": "affine"}),
        ("cut_resnet_6blocks", {"width": 4, "blocks": 1}),
        ("unit", {"width": 4}),
        ("spade_coco", {"width": 2, "label_planes": 3}),
    ],
)
def test_an_image_is_made_four_pixels_at_a_time(preset: str, settings: dict[str, Any]) -> None:
    made = checkpoint(preset, **settings)
    network, deployed = made.network(), prepare(made.network(), made.record())
    x = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        expected = network(x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(deployed(x), expected, atol=1e-5, rtol=0)
    graph = export_core(deployed).graph
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    *_, last = (weights[node.input[1]][0] for node in graph.node if node.op_type == "Conv")
    assert last == 4 * (6 if settings.get("head") == "affine" else 3)


def test_dropout_that_draws_is_refused() -> None:
    made = checkpoint("unet_128", {"dropout": True}, width=4, downsamplings=5)
    with pytest.raises(UsageError, match=r"draws at test time.* import it without --dropout"):
        prepare(made.network(), made.record())


def test_a_size_that_is_asked_for_is_the_only_one(tmp_path: Path) -> None:
    made = checkpoint("resnet_6blocks", width=4, blocks=1)
    frames = [picture(300, 400)]
    with pytest.raises(UsageError, match="multiples of 4: the next is 100x52"):
        export_model(made, tmp_path / "m", frames=frames, wanted=Wanted(size=(50, 100)))
    done = export_model(made, tmp_path / "m", frames=frames, wanted=Wanted(size=(52, 64)))
    assert done.statement == "takes 64x52 alone; smaller frames are padded"
    shape = onnx.load(tmp_path / "m" / "fp32.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [1, 52, 64, 3]
    with load(tmp_path / "m") as model:
        assert model(picture(40, 64)).shape == (40, 64, 3)


@pytest.mark.parametrize("edges", [False, True])
def test_spade_paints_label_maps(tmp_path: Path, edges: bool) -> None:
    made = checkpoint("spade_coco", width=2, label_planes=6)
    labels = label_map(70, 130, 6 - int(edges))
    labels[0, 0] = 255
    out = tmp_path / "model"
    export_model(made, out, frames=[grey(labels)], wanted=Wanted(edges=edges))
    full = load_spec(out).forms.full
    assert (full.input, full.label_count, full.multiple) == ("labels", 6 - int(edges), 32)
    expected = torch_translator(made.network(), 32, edges=edges)(labels)
    for backend in BACKENDS:
        with load(out, backend=backend, size=labels.shape) as model:
            assert np.abs(model(labels).astype(int) - expected).max() <= 1
            np.testing.assert_array_equal(model(grey(labels)), model(labels))


def test_spade_behind_a_segmenter_paints_what_a_camera_sees(tmp_path: Path) -> None:
    """A segmenter of four colours at half the size."""
    segmenter = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        seg (float[1, 3, h, w] pixels) => (float[1, 4, sh, sw] scores) {
            weight = Constant<value = float[4, 3, 1, 1]
                {1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.4, 0.4, 0.4}>()
            scores = Conv<strides = [2, 2]>(pixels, weight)
        }""")
    path = tmp_path / "seg.onnx"
    path.write_bytes(segmenter.SerializeToString())
    made = checkpoint("spade_coco", width=2, label_planes=4)
    out = tmp_path / "model"
    done = export_model(
        made, out, frames=[picture(200, 300, s) for s in range(3)], wanted=Wanted(segmenter=path)
    )
    assert load_spec(out).forms.full.input == "frame"
    assert all(row.difference.max_abs <= 1 for row in done.parity)


def test_spade_with_a_style_vector_has_one_size(tmp_path: Path) -> None:
    made = checkpoint("spade_coco", width=2, label_planes=4, latent=8, size=[64, 96])
    done = export_model(made, tmp_path / "m", frames=[grey(label_map(64, 96, 4))])
    assert done.statement.startswith("takes 96x64 alone")
    with pytest.raises(UsageError, match="takes 96x64 alone: leave --size out"):
        export_model(
            made, tmp_path / "n", frames=[grey(label_map(64, 96, 4))], wanted=Wanted(size=(64, 64))
        )


def test_quantizing_a_folder_keeps_what_is_there_and_records_what_is_refused(
    resnet: Path, tmp_path: Path
) -> None:
    import shutil

    folder = Path(shutil.copytree(resnet, tmp_path / "resnet"))
    (folder / "LICENSE").write_text("mine")
    (folder / "update.sig").write_text("of the graphs before")
    frames = [picture(150, 200, seed) for seed in range(8)]
    settings = Settings(budget_s=0, most_time=float("inf"), size=(64, 64))
    outcomes = {o.precision: o for o in quantize_model(folder, frames, settings)}
    spec = load_spec(folder)
    assert outcomes["fp16"].refused is None
    assert set(spec.forms.full.files) == {"fp32", "fp16", "int8"} - set(spec.refused)
    assert (folder / "fp32.onnx").read_bytes() == (resnet / "fp32.onnx").read_bytes()
    assert (folder / "preview.jpg").exists()
    assert (folder / "int8.jpg").exists()
    assert (folder / "LICENSE").read_text() == "mine"
    assert not (folder / "update.sig").exists()
    refusing = Settings(budget_s=0, most_time=0.0, size=(64, 64))
    quantize_model(folder, frames, refusing)
    again = load_spec(folder)
    assert "int8" not in again.forms.full.files
    assert not (folder / "int8.onnx").exists()
    reason = again.refused["int8"]
    assert "times the time of fp32 on this machine" in reason or "expected at least" in reason
    with pytest.raises(ModelError, match="was refused its int8 file"):
        load(folder, precision="int8")


def test_too_few_frames_and_frames_of_another_aspect_are_refused(resnet: Path) -> None:
    before = (resnet / "model.json").read_bytes()
    with pytest.raises(UsageError, match="got 2 frames to calibrate on, expected 8 or more"):
        quantize_model(resnet, [picture(64, 64)] * 2)
    with pytest.raises(UsageError, match=r"a frame of 400x40 for a graph of 64x64: .* cut away"):
        quantize_model(resnet, [picture(40, 400)] * 8, Settings(size=(64, 64)))
    assert (resnet / "model.json").read_bytes() == before
    assert not list(resnet.parent.glob(".*part"))


FAST = ("pix2pix_resnet_9blocks_batch_dropout",)
SLOW = (
    *("cyclegan_resnet_9blocks", "cyclegan_resnet_6blocks", "cut_resnet_9blocks"),
    *("pix2pix_unet_256", "pix2pix_unet_128", "spade_generator", "unit_gen"),
)


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_a_golden_file_keeps_its_output_through_import_export_and_both_engines(name: str) -> None:
    """Floats within 1e-3 of what the authors' own network gave, uint8 within a level of that."""
    golden = np.load(_find(f"{name}.npz"))
    imported, _ = import_checkpoint(_find(f"{name}.pth"), Wish(norm="running"))
    deployed = prepare(imported.network(), imported.record())
    core = export_core(deployed)
    x, expected = golden["input0"], golden["output"]
    from dayshift.export import image_forms
    from dayshift.export.calibrate import open_session

    got = open_session(core).run(["y"], {"x": x})[0]
    assert np.abs(got - expected).max() < 1e-3
    levels = np.rint((expected[0].transpose(1, 2, 0)[..., ::-1] + 1) * 127.5)
    if name == "spade_generator":
        graph = image_forms.labels_form(core, x.shape[1])
        pixels = x[0].argmax(axis=0).astype(np.uint8)
        form = FullForm.model_validate(
            {"files": {"fp32": _NO_FILE}, "input": "labels", "label_count": x.shape[1]}
        )
    else:
        graph = image_forms.frame_form(core)
        pixels = np.rint((x[0].transpose(1, 2, 0)[..., ::-1] + 1) * 127.5).astype(np.uint8)
        form = FullForm.model_validate({"files": {"fp32": _NO_FILE}})
    for backend in BACKENDS:
        with Runner(form, graph.SerializeToString(), "fp32", backend) as runner:
            image = runner(np.ascontiguousarray(pixels))
        assert np.abs(image - levels).max() <= 1


_NO_FILE = {"path": "fp32.onnx", "sha256": "0" * 64, "bytes": 1}


def _find(file: str) -> Path:
    folders = [GOLDEN, *(Path(f) for f in [os.environ.get("DAYSHIFT_GOLDEN", "")] if f)]
    for folder in folders:
        if (folder / file).exists():
            return folder / file
    pytest.skip(f"{file} is too large for git: set DAYSHIFT_GOLDEN to a folder that has it")
