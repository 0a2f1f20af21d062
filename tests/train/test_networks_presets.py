from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dayshift.runtime.errors import UsageError
from dayshift.train.networks import spade, unit_2017
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.gain_light_image import GainLightImage, GainLightImageConfig
from dayshift.train.networks.inference import set_inference
from dayshift.train.networks.initialize import initialize
from dayshift.train.networks.layers import LayerNorm, NetworkInputError
from dayshift.train.networks.multiscale import SpadeDiscriminator, UnitDiscriminator
from dayshift.train.networks.presets import NETWORK_NAMES, build_network, describe_network
from dayshift.train.networks.resnet import ResnetGenerator
from dayshift.train.networks.spectral import SpectralConv2d
from dayshift.train.networks.vgg import Vgg, VggError, load_vgg

TINY = {"width": 2}
IMAGE_GENERATORS: dict[str, dict[str, Any]] = {
    "resnet_9blocks": TINY,
    "resnet_6blocks": TINY,
    "resnet_edge": TINY,
    "cut_resnet_9blocks": TINY,
    "cut_resnet_6blocks": TINY,
    "unet_256": TINY,
    "unet_128": TINY,
    "unit": TINY,
    "unit_2017": TINY,
    "gain_light_image": {"channels": [2, 2, 4], "blocks": 2},
}


@pytest.mark.parametrize("name", IMAGE_GENERATORS)
def test_an_image_generator_keeps_the_size_and_its_output_is_an_image(name: str) -> None:
    generator = build_network(name, **IMAGE_GENERATORS[name]).eval()
    multiple = generator.multiple
    assert isinstance(multiple, int)
    x = torch.rand(1, 3, 2 * max(multiple, 10), max(multiple, 12)) * 2 - 1
    with torch.no_grad():
        y = generator(x)
    assert y.shape == x.shape
    assert y.abs().max() <= 1
    assert not torch.equal(x, y)


@pytest.mark.parametrize(
    "settings",
    [
        {"upsampling": "nearest"},
        {"upsampling": "pixelshuffle"},
        {"padding": "zero", "norm": "none"},
        {"padding": "replicate", "norm": "batch", "dropout": True},
        {"stem": "space_to_depth"},
    ],
)
def test_a_resnet_of_any_parts_keeps_the_size(settings: dict[str, Any]) -> None:
    generator = build_network("resnet_6blocks", width=2, **settings)
    assert generator(torch.zeros(1, 3, 20, 28)).shape == (1, 3, 20, 28)


def test_a_unet_without_transposed_convolutions_leaves_no_checkerboard() -> None:
    """What is even inside, comes out even; a transposed convolution's taps differ by the pixel."""
    even = {}
    for upsampling in ("nearest", "deconv"):
        generator = build_network(
            "unet_128", width=2, downsamplings=5, upsampling=upsampling
        ).eval()  # its borders do not reach the middle
        with torch.no_grad():
            image = generator(torch.full((1, 3, 384, 384), 0.5))[..., 184:200, 184:200]
        even[upsampling] = bool((image.amax((2, 3)) - image.amin((2, 3)) < 1e-5).all())
        kinds = {type(module) for module in generator.modules()}
        assert (nn.ConvTranspose2d in kinds) == (upsampling == "deconv")
    assert even == {"nearest": True, "deconv": False}


@pytest.mark.parametrize("stem", ["full", "space_to_depth"])
@pytest.mark.parametrize("head", ["residual", "affine", "pyramid"])
def test_a_head_that_changes_its_input_starts_from_it(head: str, stem: str) -> None:
    generator = build_network("resnet_6blocks", width=2, head=head, stem=stem)
    for parameter in generator.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.allclose(generator(x), x, atol=1e-6)


@pytest.mark.parametrize("stem", ["full", "space_to_depth"])
def test_a_pyramid_changes_the_small_image_and_its_bands_each_by_itself(stem: str) -> None:
    """Written out for an image whose bands are known: flat blocks of 4x4, and one bright pixel."""
    generator: Any = build_network("resnet_6blocks", width=2, head="pyramid", stem=stem)
    convolution = generator.model[-2]
    for parameter in generator.parameters():
        nn.init.zeros_(parameter)
    flat = torch.full((1, 3, 16, 16), -0.4)
    lit = flat.clone()
    lit[..., 6, 6] = 0.6
    with torch.no_grad():
        convolution.bias[:3] = torch.tensor(0.2).atanh()  # the image at a quarter of the size
        assert torch.allclose(generator(flat), flat + 0.2, atol=1e-6)
        convolution.bias[:3] = 0
        # Bands: gains come first, then biases. Without its finer bands an image is a smooth one.
        convolution.bias[3:15] = convolution.bias[27:75] = -20.0
        assert torch.allclose(generator(flat), flat, atol=1e-6)
        smooth = generator(lit)
        assert -0.4 < float(smooth[0, 0, 6, 6]) < -0.2
        assert torch.allclose(smooth.mean(), lit.mean(), atol=1e-3)
        convolution.bias.zero_()
        convolution.bias[75:] = torch.tensor(0.1).atanh()  # added to every pixel of the finest band
        assert torch.allclose(generator(flat), flat + 0.1, atol=1e-6)


def test_a_pyramid_convolves_nothing_above_a_quarter_of_the_size() -> None:
    generator = build_network("resnet_edge", width=2, head="pyramid")
    sides = set()
    for module in generator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, y: sides.add(y.shape[-1]))
    generator(torch.zeros(1, 3, 32, 32))
    assert sides == {8}


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_what_describes_a_network_builds_one_with_its_keys(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name)
        described, settings = describe_network(network)
        again = build_network(described, **json.loads(json.dumps(settings)))
    assert described == {"gain_light_image": "gain_light"}.get(name, name)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in network.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet_10blocks", {}, "no network 'resnet_10blocks': expected one of resnet_9blocks"),
        ("unet_256", {"depth": 3}, "unet_256 has no setting 'depth': expected one of in_channels"),
        ("unet_256", {"downsamplings": 3}, "got downsamplings 3, expected 5 or more"),
        ("resnet_9blocks", {"norm": "layer"}, "norm: Input should be 'instance', 'batch' or"),
        ("resnet_9blocks", {"width": 0}, "width: Input should be greater than 0"),
        ("gain_light_image", {"shrink": 0.5}, "got shrink 0.5, expected 1 or more"),
    ],
)
def test_a_wrong_name_or_setting_says_what_is_right(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build_network(name, **settings)


def test_only_networks_of_ours_can_be_described() -> None:
    with pytest.raises(UsageError, match="got a Linear, expected a network made by build_network"):
        describe_network(nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("unet_256", (360, 640), "640x360, but takes multiples of 256: .* is 768x512"),
        ("unet_128", (128, 129), "129x128, but takes multiples of 128: .* is 256x128"),
        ("resnet_9blocks", (358, 640), "640x358, but takes multiples of 4: .* is 640x360"),
        ("resnet_9blocks", (4, 4), "4x4, but .* is 8x8"),
        ("unit", (30, 32), "32x30, but .* is 32x32"),
        ("unit_2017", (30, 32), "32x30, but .* is 32x32"),
    ],
)
def test_a_size_that_does_not_fit_names_the_next_that_does(
    name: str, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(NetworkInputError, match=message):
        build_network(name, width=1)(torch.zeros(1, 3, *size))


def test_layers_for_patches_are_found_without_running_what_follows() -> None:
    generator = build_network("cut_resnet_6blocks", width=2)
    assert isinstance(generator, ResnetGenerator)
    found = generator.features(torch.zeros(1, 3, 32, 32), (0, 4, 8, 12, 16))
    assert [tuple(f.shape) for f in found] == [
        (1, 3, 38, 38),
        (1, 4, 32, 32),
        (1, 8, 16, 16),
        (1, 8, 8, 8),
        (1, 8, 8, 8),
    ]


def test_layer_norm_is_over_the_whole_sample_with_eps_on_the_unbiased_deviation() -> None:
    norm = LayerNorm(2, eps=0.5)
    nn.init.constant_(norm.gamma, 2.0)
    nn.init.constant_(norm.beta, 1.0)
    x = torch.tensor([0.0, 2.0, 4.0, 6.0]).reshape(1, 2, 1, 2)
    # mean 3, unbiased deviation sqrt(20 / 3) = 2.582
    expected = (x - 3) / (2.5820 + 0.5) * 2 + 1
    assert torch.allclose(norm(torch.cat([x, 10 * x]))[:1], expected, atol=1e-4)


class TestSpectralNorm:
    def test_agrees_with_torch(self) -> None:
        ours, theirs = SpectralConv2d(3, 5, 3), nn.Conv2d(3, 5, 3)
        theirs = nn.utils.spectral_norm(theirs)
        theirs.load_state_dict(ours.state_dict())
        x = torch.rand(2, 3, 8, 8)
        for _ in range(3):
            assert torch.allclose(ours(x), theirs(x), atol=1e-6)
        weights = [dict(conv.named_parameters())["weight_orig"] for conv in (ours, theirs)]
        mine, torchs = (
            torch.autograd.grad(conv(x).square().sum(), weight)[0]
            for conv, weight in zip((ours, theirs), weights, strict=True)
        )
        assert torch.allclose(mine, torchs, atol=1e-4)
        assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-6)

    def test_brings_the_largest_singular_value_to_one(self) -> None:
        torch.manual_seed(0)
        conv = SpectralConv2d(4, 6, 3)
        for _ in range(400):
            conv(torch.zeros(1, 4, 3, 3))
        singular = torch.linalg.svdvals(conv.normalized_weight().flatten(1))
        assert abs(float(singular.detach()[0]) - 1) < 1e-3

    def test_is_estimated_in_full_precision_under_autocast(self) -> None:
        torch.manual_seed(0)
        conv = SpectralConv2d(4, 6, 3)
        twin = copy.deepcopy(conv)
        x = torch.rand(1, 4, 5, 5)
        with torch.autocast("cpu", torch.bfloat16):
            assert conv(x).dtype == torch.bfloat16
        twin(x)
        assert torch.equal(conv.weight_u, twin.weight_u)
        assert torch.equal(conv.normalized_weight(), twin.normalized_weight())

    def test_copies_after_a_step_as_an_average_of_weights_needs(self) -> None:
        conv = SpectralConv2d(2, 2, 3)
        conv(torch.rand(1, 2, 4, 4)).sum().backward()
        twin = copy.deepcopy(conv)
        assert torch.equal(twin.weight_orig, conv.weight_orig)

    def test_runs_twice_before_going_backward(self) -> None:
        conv = SpectralConv2d(2, 2, 3)
        x = torch.rand(1, 2, 4, 4)
        (conv(x) - conv(2 * x)).square().sum().backward()
        assert conv.weight_orig.grad is not None


class TestInference:
    def test_batch_statistics_of_one_image_are_those_of_training_mode(self) -> None:
        torch.manual_seed(0)
        generator = build_network("unet_128", width=2, dropout=False)
        initialize(generator, "normal")
        x = torch.rand(1, 3, 128, 128) * 2 - 1
        with torch.no_grad():
            in_training = generator(x)
            running = copy.deepcopy(generator)
            set_inference(running)
            set_inference(generator, norm="batch")
            assert torch.allclose(generator(x), in_training, atol=1e-5)
            assert not torch.allclose(running(x), in_training, atol=1e-3)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in generator.modules())

    @pytest.mark.parametrize("dropout", [False, True])
    def test_dropout_draws_only_where_it_is_asked_for(self, dropout: bool) -> None:
        generator = build_network("unet_256", width=2)
        set_inference(generator, norm="batch", dropout=dropout)
        generator.eval()
        x = torch.rand(1, 3, 256, 256)
        assert torch.equal(generator(x), generator(x)) is not dropout

    def test_spectral_norm_is_folded_without_changing_the_image(self) -> None:
        generator = build_network("spade", width=2, label_planes=3, upsampling="normal")
        labels = torch.zeros(1, 3, 32, 64)
        labels[:, 1] = 1
        generator(labels)
        with torch.no_grad():
            before = generator.eval()(labels)
            set_inference(generator)
            assert torch.allclose(generator(labels), before, atol=1e-5)
        assert not any(key.endswith("weight_u") for key in generator.state_dict())
        assert not any(p.requires_grad for p in generator.parameters())


class TestSpade:
    def test_normalization_follows_equation_1(self) -> None:
        torch.manual_seed(0)
        norm = spade.Spade(4, spade.SpadeConfig(label_planes=2))
        x, labels = torch.randn(2, 4, 6, 8), torch.rand(2, 2, 12, 16)
        small = labels[:, :, ::2, ::2]  # nearest
        shared = norm.mlp_shared(small)
        mean = x.mean((0, 2, 3), keepdim=True)
        deviation = (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
        expected = (x - mean) / deviation * (1 + norm.mlp_gamma(shared)) + norm.mlp_beta(shared)
        assert torch.allclose(norm(x, labels), expected, atol=1e-5)

    @pytest.mark.parametrize(("upsampling", "steps"), [("normal", 5), ("more", 6), ("most", 7)])
    def test_it_paints_any_multiple_of_its_steps(self, upsampling: Any, steps: int) -> None:
        config = spade.SpadeConfig(label_planes=3, width=2, upsampling=upsampling)
        generator = spade.SpadeGenerator(config).eval()
        h, w = 2**steps, 2 ** (steps + 1)
        assert generator(torch.zeros(1, 3, h, w)).shape == (1, 3, h, w)
        with pytest.raises(NetworkInputError, match=f"takes multiples of {h}"):
            generator(torch.zeros(1, 3, h, w + 8))

    def test_no_layer_is_wider_than_the_widest(self) -> None:
        config = spade.SpadeConfig(label_planes=3, width=2, widest=3, modulation=5)
        generator = spade.SpadeGenerator(config).eval()
        blocks = [part for part in generator.children() if isinstance(part, spade.SpadeBlock)]
        widths = [block.conv_0.in_channels for block in blocks]
        assert widths == [6, 6, 6, 6, 6, 6, 4]
        assert generator.up_3.norm_0.mlp_gamma.in_channels == 5
        assert generator(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)

    def test_a_style_changes_the_image_and_fixes_the_size(self) -> None:
        config = spade.SpadeConfig(
            label_planes=3, width=2, upsampling="normal", latent=5, size=(32, 64)
        )
        generator = spade.SpadeGenerator(config).eval()
        labels = torch.zeros(1, 3, 32, 64)
        assert not torch.equal(generator(labels, torch.ones(1, 5)), generator(labels))
        with pytest.raises(NetworkInputError, match="takes only the size it was made for, 64x32"):
            generator(torch.zeros(1, 3, 64, 64))

    def test_wrong_planes_are_named(self) -> None:
        generator = build_network("spade", width=1, label_planes=3)
        with pytest.raises(NetworkInputError, match="got 4 label planes, expected 3"):
            generator(torch.zeros(1, 4, 64, 64))

    def test_the_encoder_gives_a_style_for_any_size(self) -> None:
        encoder = spade.SpadeEncoder(spade.SpadeEncoderConfig(width=2, latent=7))
        mean, log_variance = encoder(torch.rand(2, 3, 40, 60))
        assert mean.shape == log_variance.shape == (2, 7)

    def test_labels_become_planes_and_instances_their_edges(self) -> None:
        labels = torch.tensor([[[0, 1], [2, 2]]])
        instances = torch.tensor([[[5, 5], [5, 7]]])
        planes = spade.label_planes(labels, 4, instances)
        assert planes[0, :3].argmax(0).tolist() == [[0, 1], [2, 2]]
        assert planes[0, :3].sum(0).tolist() == [[1, 1], [1, 1]]
        assert planes[0, 3].tolist() == [[0, 1], [1, 1]]

    @pytest.mark.parametrize("label", [3, -1])
    def test_a_label_out_of_range_is_named(self, label: int) -> None:
        labels = torch.full((1, 2, 2), label)
        with pytest.raises(NetworkInputError, match=f"got label {label}, expected 0 to 2"):
            spade.label_planes(labels, 3)


class TestUnit2017:
    def test_shared_layers_are_one_set_of_weights(self) -> None:
        config = unit_2017.SharedVaeConfig(width=2)
        a_to_b, b_to_a = unit_2017.SharedVae(config), unit_2017.SharedVae(config)
        b_to_a.share_with(a_to_b)
        unique = {id(p) for network in (a_to_b, b_to_a) for p in network.parameters()}
        shared = sum(1 for _ in a_to_b.enc_shared.parameters()) * 2
        assert len(unique) == 2 * sum(1 for _ in a_to_b.parameters()) - shared


class TestGainLightImage:
    def test_its_weights_are_those_of_a_gain_light(self) -> None:
        image = build_network("gain_light_image", channels=[2, 2, 4], blocks=1)
        assert isinstance(image, GainLightImage)
        name, settings = describe_network(image)
        network = build_network(name, **settings)
        assert type(network) is GainLight
        network.load_state_dict(image.state_dict())

    def test_features_are_those_of_its_forward_pass(self) -> None:
        torch.manual_seed(0)
        network = GainLightImage(GainLightImageConfig((2, 4, 6), 2))
        x = torch.rand(2, 3, 40, 56)
        seen: list[torch.Tensor] = []
        network.body[1].register_forward_hook(lambda _m, _i, output: seen.append(output))
        network(x)
        half, _, _, last = network.features(x, (0, 1, 2, 4))
        assert torch.equal(last, seen[0])
        assert half.shape[1] == 2


class TestDiscriminators:
    @pytest.mark.parametrize(("name", "pixels"), [("patchgan_70", 70), ("patchgan_16", 16)])
    def test_a_patch_has_the_size_in_the_name(self, name: str, pixels: int) -> None:
        discriminator = build_network(name, width=2, norm="spectral")
        image = torch.rand(1, 3, 128, 128, requires_grad=True)
        scores = discriminator(image)
        middle = scores.shape[-1] // 2
        (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], image)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        assert int(rows[-1] - rows[0]) + 1 == pixels

    def test_the_pixel_gan_judges_each_pixel(self) -> None:
        assert build_network("pixelgan", width=2)(torch.rand(1, 3, 9, 7)).shape == (1, 1, 9, 7)

    @pytest.mark.parametrize("name", ["patchgan_70", "cut_patchgan_70"])
    def test_there_are_30_by_30_patches_in_256_by_256_pixels(self, name: str) -> None:
        assert build_network(name, width=2)(torch.zeros(1, 3, 256, 256)).shape[-2:] == (30, 30)

    @pytest.mark.parametrize("name", ["unit_discriminator", "unit_2017_discriminator"])
    def test_units_judges_three_sizes(self, name: str) -> None:
        discriminator = build_network(name, width=2)
        assert isinstance(discriminator, UnitDiscriminator)
        scores = discriminator(torch.rand(1, 3, 128, 128))
        assert [s.shape[-1] for s in scores] == [8, 4, 2]

    def test_spades_tells_the_features_of_two_sizes(self) -> None:
        discriminator = build_network("spade_discriminator", width=2, in_channels=5)
        assert isinstance(discriminator, SpadeDiscriminator)
        seen = discriminator(torch.rand(1, 5, 64, 64))
        assert [len(features) for features in seen] == [5, 5]
        assert [f.shape[1] for f in seen[0]] == [2, 4, 8, 16, 1]
        # 4x4 padded by 2: 64 -> 33 -> 17 -> 9, then 10 and 11 at stride 1
        assert [f.shape[-1] for f in seen[0]] == [33, 17, 9, 10, 11]
        spectral = [m for m in discriminator.modules() if isinstance(m, SpectralConv2d)]
        assert len(spectral) == 2 * 3  # neither the first nor the last of each size


@pytest.mark.parametrize(
    ("kind", "deviation"),
    # Glorot: 0.02 * sqrt(2 / (fan_in + fan_out)); He: sqrt(2 / fan_in)
    [("normal", 0.02), ("xavier", 0.02 * (2 / 1152) ** 0.5), ("kaiming", (2 / 576) ** 0.5)],
)
def test_first_weights_have_the_published_spread(kind: Any, deviation: float) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(SpectralConv2d(64, 64, 3), nn.BatchNorm2d(64))
    initialize(layers, kind)
    state = layers.state_dict()
    assert abs(float(state["0.weight_orig"].std()) / deviation - 1) < 0.03
    assert state["0.bias"].abs().max() == 0
    assert abs(float(state["1.weight"].mean()) - 1) < 0.01


class TestVgg:
    @pytest.mark.parametrize(
        ("kind", "channels"), [("vgg16", [512]), ("vgg19", [64, 128, 256, 512, 512])]
    )
    def test_torchvisions_file_is_read(
        self, kind: Any, channels: list[int], tmp_path: Path
    ) -> None:
        state = {k: v.half() for k, v in Vgg(kind).state_dict().items()}
        torch.save({**state, "classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
        features = load_vgg(kind, tmp_path / "vgg.pth")(torch.rand(1, 3, 32, 32))
        assert [f.shape[1] for f in features] == channels
        assert [f.shape[-1] for f in features] == [32, 16, 8, 4, 2][-len(channels) :]

    def test_a_file_that_is_no_vgg_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(VggError, match=r"no vgg19 weights at .*absent\.pth"):
            load_vgg("vgg19", tmp_path / "absent.pth")
        (tmp_path / "broken.pth").write_text("no weights")
        with pytest.raises(VggError, match=r"cannot read .*broken\.pth"):
            load_vgg("vgg19", tmp_path / "broken.pth")
        torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
        with pytest.raises(VggError, match=r"other\.pth does not hold torchvision's vgg19"):
            load_vgg("vgg19", tmp_path / "other.pth")
