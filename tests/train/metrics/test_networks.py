from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dayshift.train.metrics.espnet import CityscapesSegmenter
from dayshift.train.metrics.features import SqueezeNetFeatures, open_features
from dayshift.train.metrics.lpips import Lpips
from dayshift.train.metrics.squeezenet import SqueezeNet
from dayshift.train.metrics.weights import (
    WeightsError,
    WeightsName,
    find_weights,
    weights_folder,
)


def images(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (64 + 16 * i, 80, 3), dtype=np.uint8) for i in range(count)]


def test_squeezenet_has_the_published_number_of_weights_and_sizes() -> None:
    network = SqueezeNet(ceil_mode=False)
    assert sum(p.numel() for p in network.parameters()) == 722_496  # 1.235 M less the classifier
    found = network(torch.zeros(1, 3, 227, 227))
    assert {k: tuple(v.shape[1:]) for k, v in found.items()} | {"x": ()} == {
        "conv1": (64, 113, 113),
        "fire2": (128, 56, 56),
        "fire3": (128, 56, 56),
        "fire4": (256, 27, 27),
        "fire5": (256, 27, 27),
        "fire6": (384, 13, 13),
        "fire7": (384, 13, 13),
        "fire8": (512, 13, 13),
        "fire9": (512, 13, 13),
        "x": (),
    }


def test_features_are_pooled_mean_and_deviation_of_length_one(weights: Path) -> None:
    features = SqueezeNetFeatures(weights)
    found = features(images())
    assert found.shape == (3, 1024)
    assert np.allclose(np.linalg.norm(found, axis=1), 1)
    network = SqueezeNet(ceil_mode=False)
    with np.load(weights / "squeezenet_v1_1_imagenet_notop.npz") as arrays:
        network.load_state_dict({k: torch.from_numpy(arrays[k]) for k in arrays.files})
    bgr = images()[1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    with torch.no_grad():
        fire9 = network(torch.from_numpy(bgr.transpose(2, 0, 1)[None].copy()))["fire9"][0].numpy()
    pooled = np.concatenate([fire9.mean(axis=(1, 2)), fire9.std(axis=(1, 2))])
    assert np.allclose(found[1], pooled / np.linalg.norm(pooled), atol=1e-6)


def test_lpips_is_zero_for_equal_images_and_the_papers_sum_otherwise(weights: Path) -> None:
    lpips = Lpips(weights)
    first = images()[0]
    second = 255 - first
    assert lpips(first, first) == 0
    state = torch.load(weights / "lpips_v0.1_squeeze_lin.pth", weights_only=True)
    expected = 0.0
    taps = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
    with torch.no_grad():
        a, b = (lpips._features(i) for i in (first, second))
    for place, tap in enumerate(taps):
        x, y = a[tap][0].double().numpy(), b[tap][0].double().numpy()
        x, y = (v / (np.sqrt((v**2).sum(axis=0)) + 1e-10) for v in (x, y))
        head = state[f"lin{place}.model.1.weight"][0].numpy()
        expected += ((x - y) ** 2 * head).sum(axis=0).mean()
    assert lpips(first, second) == pytest.approx(expected, rel=1e-4)
    assert lpips(first, second) == pytest.approx(lpips(second, first), rel=1e-6)


def test_inception_gives_the_features_of_torch_fidelity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its resize too; with random weights under the published names."""
    fidelity = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="pip install torch-fidelity"
    )
    reference = fidelity.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:  # no weights, no download
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(reference, "load_state_dict", lambda *_: None)
        network = reference("reference", ["2048"])
    for parameter in network.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    torch.save(network.state_dict(), tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    (features,) = open_features(tmp_path)
    assert features.key == "inception"
    found = features(images())
    for row, image in zip(found, images(), strict=True):
        rgb = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy())[None]
        assert np.allclose(row, network(rgb)[0][0].numpy(), atol=1e-4)


def test_the_segmenter_labels_every_pixel(weights: Path) -> None:
    labels = CityscapesSegmenter(weights)(images()[0])
    assert labels.shape == (512, 1024)
    assert 0 <= labels.min() <= labels.max() < 20


def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"squeezenet_v1_1\S+ is not in .*--weights DIR or DAYSHIFT_WEIGHTS"
    ):
        open_features(tmp_path)
    with pytest.raises(WeightsError, match="was looked for nowhere"):
        find_weights("nanodet_m_coco.onnx", None)


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("pt_inception-2015-12-05-6726825d.pth", "releases of GitHub: mseitzer/pytorch-fid"),
        ("squeezenet1_1-b8a52dc0.pth", r"torchvision's file, which its models\.squeezenet1_1"),
        ("lpips_v0.1_squeeze_lin.pth", "squeeze.pth of GitHub: richzhang/PerceptualSimilarity"),
    ],
)
def test_missing_weights_of_the_papers_metrics_say_where_they_are_from(
    name: WeightsName, origin: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=rf"{name} is not in .*It is for .*{origin}"):
        find_weights(name, tmp_path)


def test_the_environment_names_the_folder_unless_one_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DAYSHIFT_WEIGHTS", raising=False)
    assert weights_folder() is None
    monkeypatch.setenv("DAYSHIFT_WEIGHTS", "/there")
    assert weights_folder() == Path("/there")
    assert weights_folder(Path("here")) == Path("here")


def test_weights_that_were_cut_short_or_of_another_network_are_named(
    weights: Path, tmp_path: Path
) -> None:
    name = "espnet_p2_q8_cityscapes_decoder.pth"
    (tmp_path / name).write_bytes((weights / name).read_bytes()[:1000])
    with pytest.raises(WeightsError, match=rf"cannot read the weights .*{name}"):
        CityscapesSegmenter(tmp_path)
    shutil.copy(weights / "squeezenet1_1-b8a52dc0.pth", tmp_path / name)
    with pytest.raises(WeightsError, match="another network than ESPNet"):
        CityscapesSegmenter(tmp_path)
