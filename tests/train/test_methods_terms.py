"""Each method's loss terms against the recipe's formulas, some with networks done by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train import losses
from dayshift.train.methods.cut import Cut, CutConfig, pixels_at
from dayshift.train.methods.cyclegan import CycleGan, CycleGanConfig
from dayshift.train.methods.pix2pix import Pix2Pix, Pix2PixConfig
from dayshift.train.methods.spade import Spade, SpadeConfig
from dayshift.train.methods.unit import Unit, UnitConfig
from dayshift.train.networks.presets import describe_network
from dayshift.train.networks.vgg import Vgg, VggError

RESNET = {"name": "resnet_6blocks", "settings": {"width": 2, "blocks": 1}}
PATCH = {"name": "patchgan_16", "settings": {"width": 2}}
SCALES = {"name": "unit_discriminator", "settings": {"width": 2, "layers": 2, "scales": 2}}
SPADE_D = {"name": "spade_discriminator", "settings": {"width": 2}}


class Scale(nn.Module):
    """A network that multiplies: its terms can be done by hand."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class MeanScore(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3)) * self.factor


def no_update(optimizer: str, loss: Tensor) -> None:
    """Keep the networks as they are, so that all terms are of the same ones."""
    assert optimizer
    assert loss.requires_grad


def flat(level: float, channels: int = 3) -> Tensor:
    return torch.full((1, channels, 8, 8), level)


def test_pix2pix_by_hand() -> None:
    method = Pix2Pix(Pix2PixConfig.model_validate({"generator": RESNET}))
    method.generator, method.discriminator = Scale(0.5), MeanScore(4.0)
    terms = method.training_step({"a": flat(0.4), "b": flat(-0.3)}, 0, no_update)
    # fake 0.2; scores: fake pair 4 * (0.4 + 0.2) / 2 = 1.2, real pair 4 * (0.4 - 0.3) / 2 = 0.2
    expected = {
        "d": 0.5
        * (functional.softplus(torch.tensor(-0.2)) + functional.softplus(torch.tensor(1.2))),
        "g_gan": functional.softplus(torch.tensor(-1.2)),
        "g_l1": torch.tensor(100 * 0.5),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.isclose(terms[name], value, atol=1e-5), name


@pytest.mark.parametrize("identity", [0.5, 0.0])
def test_cyclegan_by_hand(identity: float) -> None:
    config = {"generator": RESNET, "discriminator": PATCH, "identity": identity}
    method = CycleGan(CycleGanConfig.model_validate(config))
    method.g_ab, method.g_ba = Scale(0.5), Scale(3.0)
    method.d_a, method.d_b = MeanScore(1.0), MeanScore(2.0)
    terms = method.training_step({"a": flat(0.4), "b": flat(0.2)}, 0, no_update)
    # fake_b 0.2, fake_a 0.6, rec_a 0.6, rec_b 0.3; g_ba(a) 1.2, g_ab(b) 0.1
    expected = {
        "g_gan_ab": (2 * 0.2 - 1) ** 2,
        "g_gan_ba": (0.6 - 1) ** 2,
        "cycle_a": 10 * 0.2,
        "cycle_b": 10 * 0.1,
        "identity_a": 5 * 0.8,
        "identity_b": 5 * 0.1,
        "d_a": 0.5 * ((0.4 - 1) ** 2 + 0.6**2),
        "d_b": 0.5 * ((0.4 - 1) ** 2 + 0.4**2),
    }
    if not identity:
        del expected["identity_a"], expected["identity_b"]
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert abs(float(terms[name]) - value) < 1e-5, name


class TestCut:
    def build(self, **fields: Any) -> Cut:
        torch.manual_seed(0)
        config = {"generator": RESNET, "discriminator": PATCH, "layers": [0, 4, 8], **fields}
        return Cut(CutConfig.model_validate(config))

    def test_cut_averages_its_two_contrastive_terms(self) -> None:
        method, batch = self.build(), {"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)}
        torch.manual_seed(1)
        terms = method.training_step(batch, 0, no_update)
        torch.manual_seed(1)
        both = method.generator(torch.cat([batch["a"], batch["b"]]))
        assert torch.isclose(terms["nce"], 0.5 * method._nce(batch["a"], both[:1]), atol=1e-5)
        expected = 0.5 * method._nce(batch["b"], both[1:])
        assert torch.isclose(terms["nce_identity"], expected, atol=1e-5)

    def test_fastcut_has_one_of_weight_ten(self) -> None:
        method = self.build(variant="fastcut", flip=False)
        batch = {"a": torch.rand(1, 3, 16, 16), "b": torch.rand(1, 3, 16, 16)}
        torch.manual_seed(1)
        terms = method.training_step(batch, 0, no_update)
        torch.manual_seed(1)
        expected = 10 * method._nce(batch["a"], method.generator(batch["a"]))
        assert terms.keys() == {"d", "g_gan", "nce"}
        assert torch.isclose(terms["nce"], expected, atol=1e-4)

    def test_a_mirrored_source_finds_its_patches_mirrored_back(self) -> None:
        method = self.build(layers=[0])  # the padded image, which mirrors exactly
        source = torch.rand(1, 3, 16, 16)
        found = []
        for translation, flipped in ((source, False), (source.flip(-1), True)):
            torch.manual_seed(2)
            found.append(method._nce(source, translation, flipped=flipped))
        assert torch.equal(*found)
        assert method._nce(source, source.flip(-1)) > 1.001 * found[0]

    def test_patches_are_pixels_of_all_channels(self) -> None:
        features = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
        found = pixels_at(features, torch.tensor([7, 0]))
        assert torch.equal(found[1, 0], features[1, :, 1, 2])
        assert torch.equal(found[0, 1], features[0, :, 0, 0])

    def test_the_discriminator_is_halved_least_squares(self) -> None:
        method = self.build(nce_identity=False)
        method.discriminator = MeanScore(1.0)
        batch = {"a": torch.rand(1, 3, 16, 16), "b": flat(0.25)}
        terms = method.training_step(batch, 0, no_update)
        fake = method.generator(batch["a"]).mean()
        expected = 0.5 * ((0.25 - 1) ** 2 + fake**2)
        assert torch.isclose(terms["d"], expected, atol=1e-5)
        assert torch.isclose(terms["g_gan"], (fake - 1) ** 2, atol=1e-5)


class TestUnit:
    def build(self, **fields: Any) -> Unit:
        torch.manual_seed(0)
        size = {"width": 2, "blocks": 1}
        name = "unit_2017" if fields.get("version") == "2017" else "unit"
        if name == "unit_2017":
            size["dropout"] = 0
        config = {"generator": {"name": name, "settings": size}, "discriminator": SCALES, **fields}
        return Unit(UnitConfig.model_validate(config))

    @pytest.mark.parametrize("version", ["current", "2017"])
    def test_terms_are_the_recipes(self, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
        # Without noise the whole step is a function of the images.
        monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
        method = self.build(version=version)
        a, b = torch.rand(1, 3, 16, 16) * 2 - 1, torch.rand(1, 3, 16, 16) * 2 - 1
        terms = method.training_step({"a": a, "b": b}, 0, no_update)
        ab, ba = method.a_to_b, method.b_to_a
        weights = (
            dict(gan=10, recon=100, kl=0.1) if version == "2017" else dict(gan=1, recon=10, kl=0.01)
        )
        kind: Any = "vanilla" if version == "2017" else "lsgan"
        fake_b = ab.decode(ab.encode(a))
        l1 = functional.l1_loss
        expected = {
            "recon_a": weights["recon"] * l1(ba.decode(ab.encode(a)), a),
            "cycle_a": weights["recon"] * l1(ba.decode(ba.encode(fake_b)), a),
            "kl_a": weights["kl"] * (ab.encode(a) ** 2).mean(),
            "kl_cycle_a": weights["kl"] * (ba.encode(fake_b) ** 2).mean(),
            "g_gan_b": weights["gan"]
            * sum(losses.generator_gan(kind, s) for s in method.d_b(fake_b)),
            "d_b": weights["gan"]
            * sum(
                losses.discriminator_gan(kind, r, f)
                for r, f in zip(method.d_b(b), method.d_b(fake_b), strict=True)
            ),
        }
        assert len(terms) == 12
        for name, value in expected.items():
            assert torch.isclose(terms[name], torch.as_tensor(value), rtol=1e-4), name

    def test_noise_is_of_variance_one_and_drawn_for_training_alone(self) -> None:
        method = self.build()
        x = torch.rand(1, 3, 16, 16)
        assert torch.equal(method.a_to_b(x), method.a_to_b(x))
        first = method.training_step({"a": x, "b": x}, 0, no_update)
        second = method.training_step({"a": x, "b": x}, 0, no_update)
        assert first["recon_a"] != second["recon_a"]
        assert first["kl_a"] == second["kl_a"]

    def test_the_vgg_term_is_read_when_it_is_needed(self, tmp_path: Path) -> None:
        path = tmp_path / "vgg16.pth"
        method = self.build(vgg_weights=str(path))
        batch = {"a": torch.rand(1, 3, 32, 32), "b": torch.rand(1, 3, 32, 32)}
        with pytest.raises(VggError, match=r"no vgg16 weights at .*vgg16\.pth"):
            method.training_step(batch, 0, no_update)
        torch.save(Vgg("vgg16").state_dict(), path)
        terms = method.training_step(batch, 0, no_update)
        assert terms["vgg_a"] > 0
        assert not any("vgg" in name for name in method.modules)


class TestSpade:
    def build(self, **fields: Any) -> Spade:
        torch.manual_seed(0)
        generator = {"name": "spade", "settings": {"width": 1, "upsampling": "normal"}}
        config = {"labels": 3, "generator": generator, "discriminator": SPADE_D, **fields}
        return Spade(SpadeConfig.model_validate(config))

    def batch(self) -> dict[str, Tensor]:
        labels = torch.arange(2 * 32 * 32).reshape(2, 32, 32) // 300 % 3
        return {"labels": labels, "instances": labels, "b": torch.rand(2, 3, 32, 32) * 2 - 1}

    def test_terms_are_the_recipes(self) -> None:
        method, batch = self.build(), self.batch()
        judged: list[tuple[list[list[Tensor]], list[list[Tensor]]]] = []
        judge = method._judge

        def remember(planes: Tensor, real: Tensor, fake: Tensor) -> Any:
            judged.append(judge(planes, real, fake))
            return judged[-1]

        method._judge = remember  # type: ignore[method-assign]
        terms = method.training_step(batch, 0, no_update)
        (real, fake), (real_d, fake_d) = judged
        assert terms.keys() == {"g_gan", "features", "d"}
        assert torch.isclose(terms["g_gan"], -(fake[0][-1].mean() + fake[1][-1].mean()) / 2)
        pairs = [
            (r, f)
            for scale in (0, 1)
            for r, f in zip(real[scale][:4], fake[scale][:4], strict=True)
        ]
        expected = 10 * sum((r - f).abs().mean() for r, f in pairs) / 2
        assert torch.isclose(terms["features"], torch.as_tensor(expected), rtol=1e-5)
        hinge = sum(
            (1 - real_d[s][-1]).clamp_min(0).mean() + (1 + fake_d[s][-1]).clamp_min(0).mean()
            for s in (0, 1)
        )
        assert torch.isclose(terms["d"], torch.as_tensor(hinge) / 2, rtol=1e-5)

    def test_the_discriminator_sees_labels_edges_and_image(self) -> None:
        described, settings = describe_network(self.build().discriminator)
        assert (described, settings["in_channels"]) == ("spade_discriminator", 3 + 1 + 3)
        wide = self.build(dont_care=True, instances=False)
        assert wide.generator.config.label_planes == 4

    def test_the_style_is_drawn_from_the_photo_and_its_divergence_counts(self) -> None:
        encoder = {"name": "spade_encoder", "settings": {"width": 2}}
        method = self.build(vae=True, latent=4, size=[32, 32], encoder=encoder)
        terms = method.training_step(self.batch(), 0, no_update)
        assert method.encoder is not None
        expected = 0.05 * losses.kl_normal(*method.encoder.eval()(self.batch()["b"]))
        assert torch.isclose(terms["kl"], expected, rtol=0.2, atol=1e-6)  # power iterations go on

    def test_the_vgg_term_needs_a_file(self, tmp_path: Path) -> None:
        torch.save(Vgg("vgg19").state_dict(), tmp_path / "vgg19.pth")
        method = self.build(vgg_weights=str(tmp_path / "vgg19.pth"))
        assert method.training_step(self.batch(), 0, no_update)["vgg"] > 0
