"""Distillation: what it lowers, whom it updates, and that a student gets nearer to its teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.runtime.errors import UsageError
from dayshift.train import losses
from dayshift.train.checkpoint import Checkpoint, CheckpointError, NetworkRecord, save_checkpoint
from dayshift.train.data.images import to_image, to_tensor
from dayshift.train.methods.distill import Distill, DistillConfig, TeacherChoice
from dayshift.train.networks.presets import build_network
from dayshift.train.networks.vgg import Vgg
from dayshift.train.recipe import Recipe
from dayshift.train.teacher import Judge, Teacher, load_teacher
from dayshift.train.translator import TorchTranslator

SMALL = {"name": "resnet_9blocks", "settings": {"width": 2, "blocks": 3}}
LARGE = {"width": 4, "blocks": 6}
PATCH = {"name": "patchgan_16", "settings": {"width": 4}}
OMGD: dict[str, Any] = {"variant": "omgd", "student": SMALL, "style": 0, "feature": 0}


def make_teacher(
    name: str = "resnet_9blocks",
    settings: dict[str, Any] | None = None,
    *,
    direction: str = "a_to_b",
    judge: Judge | None = None,
) -> Teacher:
    torch.manual_seed(1)
    network = build_network(name, **(LARGE if settings is None else settings))
    choice = TeacherChoice(checkpoint="t.safetensors", direction=direction, sha256="0" * 64)
    return Teacher(choice, network.eval().requires_grad_(False), judge)


def build(teacher: Teacher | None = None, **fields: Any) -> Distill:
    torch.manual_seed(0)
    content = {"student": SMALL, "discriminator": PATCH, **fields}
    return Distill(DistillConfig.model_validate(content), teacher or make_teacher())


def make_batch(n: int = 2, side: int = 32) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(n, 3, side, side, generator=rng) * 2 - 1 for _ in "ab")
    return {"a": a, "b": b}


class Steps:
    """The seam's update, with a record of what each changed."""

    def __init__(self, method: Distill) -> None:
        self.method = method
        self.touched: list[tuple[str, set[str]]] = []

    def __call__(self, optimizer: str, loss: Tensor) -> None:
        modules = {**self.method.modules, "teacher": self.method.teacher.network}
        before = {k: [p.clone() for p in m.parameters()] for k, m in modules.items()}
        self.method.optimizers[optimizer].zero_grad()
        torch.autograd.backward(loss)
        self.method.optimizers[optimizer].step()
        changed = {
            k for k, m in modules.items() if not all(map(torch.equal, m.parameters(), before[k]))
        }
        self.touched.append((optimizer, changed))


def no_update(optimizer: str, loss: Tensor) -> None:
    del optimizer, loss


class TestTerms:
    def test_gan_compression_is_its_formula(self) -> None:
        method, batch = build(gan="lsgan"), make_batch()
        assert method.discriminator is not None
        terms = method.training_step(batch, 0, no_update)
        assert terms.keys() == {"recon", "features", "g_gan", "d"}
        fake, taught = method.student(batch["a"]), method.teacher(batch["a"])
        assert torch.isclose(terms["recon"], 100 * (fake - taught).abs().mean())
        scores = method.discriminator(fake), method.discriminator(batch["b"])
        assert torch.isclose(terms["g_gan"], (scores[0] - 1).square().mean())
        d = (scores[1] - 1).square().mean() + scores[0].square().mean()
        assert torch.isclose(terms["d"], d / 2)

    def test_features_are_compared_at_four_stages_through_pointwise_convolutions(self) -> None:
        """Written out for ResNets of 3 and 6 blocks: input of the trunk, thirds of its blocks."""
        method, x = build(), make_batch()["a"]
        found = method.training_step(make_batch(), 0, no_update)["features"]

        def stages(network: Any, indices: tuple[int, ...]) -> list[Tensor]:
            outputs = [x]
            for layer in network.model:
                outputs.append(layer(outputs[-1]))
            return [outputs[index + 1] for index in indices]

        with torch.no_grad():
            mine = stages(method.student, (9, 10, 11, 12))
            theirs = stages(method.teacher.network, (9, 11, 13, 15))
            adapters = method.modules["features_adapters"].adapters
            expected = 0.0
            for m, t, a in zip(mine, theirs, adapters, strict=True):  # type: ignore[arg-type]
                expected += float((functional.conv2d(m, a.weight, a.bias) - t).square().mean())
        assert float(found) == pytest.approx(expected, rel=1e-4)

    def test_omgd_is_its_formula(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        torch.save(Vgg("vgg16", (22,)).state_dict(), tmp_path / "vgg16.pth")
        weights = str(tmp_path / "vgg16.pth")
        method = build(variant="omgd", vgg_weights=weights, discriminator=None)
        batch = make_batch()
        terms = method.training_step(batch, 0, no_update)
        assert terms.keys() == {"ssim", "style", "feature", "tv", "channels"}
        assert set(method.modules) == {"student", "channels_adapters"}
        assert set(method.optimizers) == {"student"}
        with torch.no_grad():
            fake, taught = method.student(batch["a"]), method.teacher(batch["a"])
        assert torch.isclose(terms["ssim"], 10 * losses.ssim_distance(fake, taught))
        vgg = Vgg("vgg16", (3, 8, 15, 22))
        vgg.load_state_dict(torch.load(weights, weights_only=True))
        made, seen = vgg((fake + 1) / 2), vgg((taught + 1) / 2)
        assert torch.isclose(terms["feature"], 10 * (made[1] - seen[1]).abs().mean())
        style = 0.0
        for mine, theirs in zip(made, seen, strict=True):
            _, c, h, w = mine.shape
            grams = (torch.einsum("nchw,ndhw->ncd", x, x) / (c * h * w) for x in (mine, theirs))
            style += float((next(grams) - next(grams)).abs().mean())
        assert float(terms["style"]) == pytest.approx(1e4 * style, rel=1e-3)
        across = (fake[..., 1:] - fake[..., :-1]).abs().sum()
        down = (fake[..., 1:, :] - fake[..., :-1, :]).abs().sum()
        assert torch.isclose(terms["tv"], 1e-5 * (across + down))

    def test_ssim_is_0_for_equal_images_and_the_definition_for_flat_ones(self) -> None:
        x = make_batch()["a"]
        assert abs(float(losses.ssim_distance(x, x))) < 1e-6
        light, dark = torch.full((1, 3, 16, 16), 0.6), torch.full((1, 3, 16, 16), -0.6)
        expected = 1 - (2 * 0.8 * 0.2 + 1e-4) / (0.8**2 + 0.2**2 + 1e-4)  # levels 0.8 and 0.2
        assert float(losses.ssim_distance(light, dark)) == pytest.approx(expected, rel=1e-3)

    def test_pairs_have_the_truth_as_target_and_a_judge_that_sees_the_source(self) -> None:
        method, batch = build(paired=True), make_batch()
        terms = method.training_step(batch, 0, no_update)
        fake = method.student(batch["a"])
        assert torch.isclose(terms["recon"], 100 * (fake - batch["b"]).abs().mean())
        assert method.discriminator.config.in_channels == 6  # type: ignore[union-attr]

    def test_a_direction_of_the_teacher_is_the_students(self) -> None:
        teacher = make_teacher(direction="b_to_a")
        method, batch = build(teacher, gan_weight=0, features=0), make_batch()
        terms = method.training_step(batch, 0, no_update)
        expected = 100 * (method.student(batch["b"]) - teacher(batch["b"])).abs().mean()
        assert torch.isclose(terms["recon"], expected)
        assert method.translators == {"b_to_a": "student"}

    @pytest.mark.parametrize("variant", ["gan_compression", "omgd"])
    def test_a_step_in_bfloat16_has_the_terms_of_one_in_single_precision(
        self, variant: str
    ) -> None:
        fields: dict[str, Any] = OMGD if variant == "omgd" else {}
        single = build(**fields).training_step(make_batch(), 0, no_update)
        method = build(**fields)
        with torch.autocast("cpu", torch.bfloat16):
            half = method.training_step(make_batch(), 0, no_update)
        for term, value in half.items():
            assert abs(float(value - single[term])) < 0.1 * float(single[term].abs()) + 0.05, term


class TestUpdates:
    def test_the_student_with_its_adapters_comes_first_and_the_teacher_never(self) -> None:
        method = build()
        steps = Steps(method)
        method.training_step(make_batch(), 0, steps)
        assert steps.touched == [
            ("student", {"student", "features_adapters"}),
            ("discriminator", {"discriminator"}),
        ]

    def test_the_discriminator_judges_what_was_made_before_the_students_step(self) -> None:
        """As in the authors' code, which takes both gradients before either step."""
        method, batch = build(gan="lsgan"), make_batch()
        assert method.discriminator is not None
        with torch.no_grad():
            fake, real = (
                method.discriminator(method.student(batch["a"])),
                method.discriminator(batch["b"]),
            )
        terms = method.training_step(batch, 0, Steps(method))
        expected = ((real - 1).square().mean() + fake.square().mean()) / 2
        assert torch.isclose(terms["d"], expected)

    def test_rates_and_length_are_the_published_ones(self) -> None:
        method = build()
        for optimizer in method.optimizers.values():
            (group,) = optimizer.param_groups
            assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
        assert method.total_steps(7) == 1400
        assert DistillConfig().student.settings["width"] == 16

    def test_the_teachers_discriminator_goes_on_with_its_own_loss(self) -> None:
        torch.manual_seed(5)
        choice = DistillConfig.model_validate({"discriminator": PATCH}).discriminator
        assert choice is not None
        weights = choice.build().state_dict()
        teacher = make_teacher(judge=Judge(choice, "lsgan", weights))
        method = build(teacher, discriminator=None)
        assert method.gan == "lsgan"
        assert method.discriminator is not None
        for key, value in method.discriminator.state_dict().items():
            assert torch.equal(value, weights[key]), key
        # One that sees no source cannot judge pairs.
        fresh = build(teacher, discriminator=None, paired=True)
        assert fresh.gan == "hinge"


def test_two_u_nets_are_compared_at_their_own_stages() -> None:
    teacher = make_teacher("unet_128", {"width": 4})
    student = {"name": "unet_128", "settings": {"width": 2}}
    method = build(teacher, student=student, channels=50, gan_weight=0)
    steps = Steps(method)
    terms = method.training_step(make_batch(side=128), 0, steps)
    assert terms.keys() == {"recon", "features", "channels"}
    ((_, changed),) = steps.touched
    assert changed == {"student", "features_adapters", "channels_adapters"}


def test_a_gain_light_teacher_is_seen_as_it_is_deployed() -> None:
    teacher = make_teacher("gain_light", {"channels": [2, 4, 6], "blocks": 1, "short_side": 32})
    for head in (teacher.network.dimming, teacher.network.lamps):
        nn.init.normal_(head.weight, std=0.5)  # type: ignore[union-attr, arg-type]
    frame = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    image = to_image(teacher(to_tensor(frame)[None])[0])
    deployed = TorchTranslator(teacher.network)(frame)
    assert np.abs(image.astype(int) - deployed).max() <= 2  # the deployed one shrinks in levels
    assert np.abs(image.astype(int) - frame).max() > 20


class TestErrors:
    def test_a_student_that_is_no_generator(self) -> None:
        with pytest.raises(UsageError, match="got the student patchgan_70, expected an image gen"):
            build(student={"name": "patchgan_70"})

    def test_stages_that_cannot_be_compared(self) -> None:
        unet = {"name": "unet_128", "settings": {"width": 2}}
        with pytest.raises(UsageError, match=r"UnetGenerator .* cannot be compared: set distill"):
            build(student=unet)
        build(student=unet, features=0)

    def test_omgd_without_vgg_says_what_to_do(self) -> None:
        with pytest.raises(UsageError, match=r"set distill\.vgg_weights"):
            build(variant="omgd")
        with pytest.raises(UsageError, match="nothing ties the student"):
            build(recon=0)

    def test_teachers_that_cannot_teach(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no teacher: name its checkpoint"):
            load_teacher(TeacherChoice())
        with pytest.raises(CheckpointError, match="no checkpoint"):
            load_teacher(TeacherChoice(checkpoint=str(tmp_path / "none.safetensors")))
        path = tmp_path / "t.safetensors"

        def save(direction: str, name: str, **settings: Any) -> TeacherChoice:
            tensors = {f"g/{k}": v for k, v in build_network(name, **settings).state_dict().items()}
            record = NetworkRecord(name, "g", settings)
            save_checkpoint(path, Checkpoint("cyclegan", {direction: record}, tensors))
            return TeacherChoice(checkpoint=str(path))

        choice = save("a_to_b", "resnet_9blocks", **LARGE)
        assert load_teacher(choice).choice.direction == "a_to_b"
        with pytest.raises(UsageError, match="no direction 'b_to_a' in this checkpoint"):
            load_teacher(choice.model_copy(update={"direction": "b_to_a"}))
        with pytest.raises(CheckpointError, match="the recipe names a teacher with ffff"):
            load_teacher(choice.model_copy(update={"sha256": "f" * 64}))
        with pytest.raises(UsageError, match=r"is a PatchGan .*expected a generator"):
            load_teacher(save("a_to_b", "patchgan_16", width=4))
        with pytest.raises(UsageError, match="is a SpadeGenerator"):
            load_teacher(save("labels_to_b", "spade", width=1, upsampling="normal"))
        with pytest.raises(UsageError, match="from RGB images to RGB"):
            load_teacher(save("a_to_b", "resnet_9blocks", in_channels=1, **LARGE))


def test_a_runs_own_discriminator_is_found(
    small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = small_recipe("cyclegan")
    assert recipe.cyclegan is not None
    parts: dict[str, nn.Module] = {
        "g_ab": recipe.cyclegan.generator.build(),
        "d_a": recipe.cyclegan.discriminator.build(),
        "d_b": recipe.cyclegan.discriminator.build(),
    }
    tensors = {f"{n}/{k}": v for n, m in parts.items() for k, v in m.state_dict().items()}
    record = NetworkRecord("resnet_6blocks", "g_ab", {"width": 4, "blocks": 1})
    path = tmp_path / "t.safetensors"
    networks = {"a_to_b": record}
    save_checkpoint(path, Checkpoint("cyclegan", networks, tensors, recipe.as_json()))
    judge = load_teacher(TeacherChoice(checkpoint=str(path))).judge
    assert judge is not None
    assert (judge.choice, judge.gan) == (recipe.cyclegan.discriminator, "lsgan")
    key = "model.0.weight"
    assert torch.equal(judge.weights[key], parts["d_b"].state_dict()[key])
