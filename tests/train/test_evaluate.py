from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="measuring needs torch: pip install 'dayshift[train]'")

import torch

from dayshift.runtime.errors import UsageError
from dayshift.runtime.frame import Frame
from dayshift.runtime.model import load
from dayshift.runtime.sinks import open_sink
from dayshift.train.checkpoint import Checkpoint, NetworkRecord, save_checkpoint
from dayshift.train.data import DataError
from dayshift.train.evaluate import evaluate
from dayshift.train.metrics.squeezenet import SqueezeNet
from dayshift.train.metrics.weights import WeightsError
from dayshift.train.networks.presets import build_network
from dayshift.train.translator import TorchTranslator

Run = Callable[..., Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Days, the same at half their brightness as truths, others at half as nights."""
    for folder in ("day", "truth", "night"):
        (tmp_path / folder).mkdir()
    for index in range(4):
        rng = np.random.default_rng(index)
        coarse = rng.integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
        day, other = (cv2.resize(c, (64, 48), interpolation=cv2.INTER_CUBIC) for c in coarse)
        assert cv2.imwrite(str(tmp_path / f"day/{index}.png"), day)
        assert cv2.imwrite(str(tmp_path / f"truth/{index}.png"), day // 2)
        assert cv2.imwrite(str(tmp_path / f"night/{index}.png"), other // 2)
    return tmp_path


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the feature network, random, and of nothing else."""
    folder = tmp_path_factory.mktemp("features")
    torch.manual_seed(0)
    state = SqueezeNet(ceil_mode=False).state_dict()
    arrays = {key: value.numpy() for key, value in state.items()}
    np.savez(folder / "squeezenet_v1_1_imagenet_notop.npz", **arrays)
    return folder


def test_a_perfect_translation_scores_as_one(root: Path, features: Path) -> None:
    done: list[tuple[int, int]] = []
    found = evaluate(
        lambda image: image // 2,
        root / "day",
        target=root / "night",
        pairs=root / "truth",
        weights=features,
        on_progress=lambda count, total: done.append((count, total)),
    )
    assert found.n_source == found.n_target == 4
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found.metrics["psnr_db"] == 100
    assert found.metrics["ssim"] == pytest.approx(1)
    assert found.metrics["psnr_db_source"] < 20
    assert found.metrics["edge_correlation"] > 0.99
    assert found.metrics["kid_squeezenet"] < found.metrics["kid_squeezenet_source"]
    assert found.metrics["fid_squeezenet"] < found.metrics["fid_squeezenet_source"]
    assert "fire9" in found.feature_networks["squeezenet"]
    assert set(found.not_measured) == {"segmentation_miou", "detections_kept", "lpips_squeeze"}
    assert "--weights DIR" in found.not_measured["lpips_squeeze"]
    json.dumps(asdict(found), allow_nan=False)


def test_without_a_target_only_structure_is_measured(root: Path) -> None:
    found = evaluate(lambda image: image, root / "day")
    assert set(found.metrics) == {"edge_correlation"}
    assert found.n_target == 0


def test_kid_without_weights_is_an_error_before_any_work(root: Path) -> None:
    def refuse(image: np.ndarray) -> np.ndarray:
        raise AssertionError("nothing should be translated")

    with pytest.raises(WeightsError, match="--weights DIR"):
        evaluate(refuse, root / "day", target=root / "night")


def test_unreadable_images_are_skipped_and_named(root: Path) -> None:
    (root / "day/1.png").write_bytes(b"junk")
    found = evaluate(lambda image: image, root / "day")
    assert found.n_source == 3
    assert len(found.skipped) == 1
    assert "1.png" in found.skipped[0]


def test_truths_must_match_their_sources(root: Path) -> None:
    (root / "truth/3.png").unlink()
    with pytest.raises(DataError, match="folders do not match"):
        evaluate(lambda image: image, root / "day", pairs=root / "truth")
    assert cv2.imwrite(str(root / "truth/3.png"), np.zeros((40, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r"3\.png is 64x40 and .*3\.png 64x48"):
        evaluate(lambda image: image, root / "day", pairs=root / "truth")


def test_a_network_translates_any_size_and_gives_it_back() -> None:
    torch.manual_seed(0)
    networks = (
        build_network("resnet_6blocks", width=4, blocks=1),
        build_network("unet_128", width=4, downsamplings=5),
        build_network("gain_light", channels=[4, 4, 8], blocks=1, short_side=32),
    )
    for network in networks:
        translator = TorchTranslator(network.eval())
        frame = np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8)
        image = translator(frame)
        assert image.shape == frame.shape
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous


def test_strength_is_for_networks_that_have_one() -> None:
    frame = np.full((32, 32, 3), 90, np.uint8)
    light = build_network("gain_light", channels=[4, 4, 8], blocks=1, short_side=32).eval()
    assert np.array_equal(TorchTranslator(light)(frame, 0.0), frame)
    resnet = build_network("resnet_6blocks", width=4, blocks=1).eval()
    with pytest.raises(UsageError, match=r"got strength 0\.5, but this network has no strength"):
        TorchTranslator(resnet)(frame, 0.5)


def test_the_command_evaluates_a_model_folder(
    root: Path, features: Path, tiny_model: Path, tmp_path: Path, dayshift_command: Run
) -> None:
    out = tmp_path / "result.json"
    words = ["evaluate", tiny_model, "--source", root / "day", "--target", root / "night"]
    done = dayshift_command(*words, "--weights", features, "--json", out)
    assert done.code == 0, done.err
    assert "kid_squeezenet_share" in done.out
    assert "squeezenet: SqueezeNet 1.1 (Caffe weights), fire9" in done.err
    result = json.loads(out.read_text())
    assert (result["n_source"], result["n_target"]) == (4, 4)
    assert result["metrics"]["edge_correlation"] > 0


def test_the_command_evaluates_a_checkpoint(
    root: Path, tmp_path: Path, dayshift_command: Run
) -> None:
    settings = {"channels": [4, 4, 8], "blocks": 1, "short_side": 32}
    network = build_network("gain_light", channels=[4, 4, 8], blocks=1, short_side=32)
    tensors = {f"average/{key}": value for key, value in network.state_dict().items()}
    record = NetworkRecord("gain_light", "average", dict(settings))
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, Checkpoint("relight", {"a_to_b": record}, tensors))
    words = ["evaluate", path, "--source", root / "day", "--pairs", root / "truth", "--json", "-"]
    done = dayshift_command(*words, "--direction", "a_to_b", "--strength", "0")
    assert done.code == 0, done.err
    metrics = json.loads(done.out)["metrics"]
    assert metrics["psnr_db"] == metrics["psnr_db_source"]  # strength 0 is the source
    for option in (("--backend", "openvino"), ("--lamps", "0.5")):
        assert dayshift_command(*words, *option).code == 2


def test_missing_weights_are_one_line_of_the_command(
    root: Path, tiny_model: Path, dayshift_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAYSHIFT_WEIGHTS", raising=False)
    words = ["evaluate", tiny_model, "--source", root / "day", "--target", root / "night"]
    done = dayshift_command(*words)
    assert done.code == 1
    assert done.error.startswith("squeezenet_v1_1_imagenet_notop.npz was looked for nowhere")


def write_clip(path: Path, *, noise: float) -> Path:
    """Write a video of a camera that stands still, with its noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (4, 6, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (96, 64), interpolation=cv2.INTER_CUBIC).astype(float)
    with open_sink(path) as sink:
        for index in range(8):
            noisy = scene + rng.normal(0, noise, scene.shape)
            pixels = noisy.clip(0, 255).astype(np.uint8)
            sink.write(pixels, Frame(pixels, index, 0.0, index / 25))
    return path


def test_a_model_with_a_memory_has_it_in_clips(
    root: Path, tmp_path: Path, dayshift_command: Run
) -> None:
    clip = write_clip(tmp_path / "still.mp4", noise=6)
    words = ["evaluate", "day2night", "--source", root / "day", "--clip", clip, "--json", "-"]
    done = dayshift_command(*words)
    assert done.code == 0, done.err
    metrics = json.loads(done.out)["metrics"]
    with load("day2night") as model:
        alone = evaluate(model, root / "day", clips=[clip]).metrics
    assert metrics["flicker_change_ratio"] < alone["flicker_change_ratio"]


def test_a_clip_that_does_not_change_has_no_flicker_to_compare_with(
    root: Path, tmp_path: Path
) -> None:
    image = np.full((64, 96, 3), 90, np.uint8)
    clip = tmp_path / "one.mp4"
    with open_sink(clip) as sink:
        for index in range(3):
            sink.write(image, Frame(image, index, 0.0, index / 25))
    with pytest.raises(DataError, match=r"one\.mp4 is one frame again and again"):
        evaluate(lambda image: image, root / "day", clips=[clip])
