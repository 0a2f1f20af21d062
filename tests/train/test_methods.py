"""What holds for all five methods, tiny: they learn, keep their order, and can be taken apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dayshift.runtime.errors import UsageError
from dayshift.train.methods.base import Batch, LinearDecay, Method, frozen
from dayshift.train.methods.cut import CutConfig
from dayshift.train.methods.cyclegan import CycleGan, CycleGanConfig
from dayshift.train.methods.pix2pix import Pix2PixConfig
from dayshift.train.methods.select import MethodConfig, build_method
from dayshift.train.methods.spade import SpadeConfig
from dayshift.train.methods.unit import UnitConfig
from dayshift.train.networks.presets import build_network, describe_network
from dayshift.train.networks.spade import label_planes

RESNET = {"name": "resnet_6blocks", "settings": {"width": 4, "blocks": 1}}
FAST = {"name": "gain_light_image", "settings": {"channels": [4, 4, 8], "blocks": 1, "shrink": 1}}
PATCH = {"name": "patchgan_16", "settings": {"width": 4}}
PATCH_PAIR = {"name": "patchgan_16", "settings": {"width": 4, "in_channels": 6, "norm": "batch"}}
UNIT = {"name": "unit", "settings": {"width": 4, "blocks": 1}}
UNIT_2017 = {"name": "unit_2017", "settings": {"width": 4, "blocks": 1}}
SCALES = {"width": 4, "layers": 2, "scales": 2}
SPADE = {"name": "spade", "settings": {"width": 1, "upsampling": "normal"}}

TINY_CYCLEGAN = CycleGanConfig.model_validate({"generator": RESNET, "discriminator": PATCH})
TINY: dict[str, MethodConfig] = {
    "pix2pix": Pix2PixConfig.model_validate({"generator": RESNET, "discriminator": PATCH_PAIR}),
    "cyclegan": TINY_CYCLEGAN,
    "cut": CutConfig.model_validate(
        {"generator": RESNET, "discriminator": PATCH, "layers": [0, 4, 8], "patches": 32}
    ),
    "fastcut": CutConfig.model_validate(
        {"variant": "fastcut", "generator": RESNET, "discriminator": PATCH, "layers": [0, 4, 8]}
    ),
    "unit": UnitConfig.model_validate(
        {"generator": UNIT, "discriminator": {"name": "unit_discriminator", "settings": SCALES}}
    ),
    "unit_2017": UnitConfig.model_validate(
        {
            "version": "2017",
            "generator": UNIT_2017,
            "discriminator": {"name": "unit_2017_discriminator", "settings": SCALES},
        }
    ),
    "spade": SpadeConfig.model_validate(
        {
            "labels": 3,
            "generator": SPADE,
            "discriminator": {"name": "spade_discriminator", "settings": {"width": 4}},
        }
    ),
    "spade_vae": SpadeConfig.model_validate(
        {
            "labels": 3,
            "vae": True,
            "latent": 4,
            "size": [32, 32],
            "generator": SPADE,
            "discriminator": {"name": "spade_discriminator", "settings": {"width": 4}},
            "encoder": {"name": "spade_encoder", "settings": {"width": 2}},
        }
    ),
    "pix2pix_fast": Pix2PixConfig.model_validate({"generator": FAST, "discriminator": PATCH_PAIR}),
    "cyclegan_fast": CycleGanConfig.model_validate({"generator": FAST, "discriminator": PATCH}),
    "cut_fast": CutConfig.model_validate(
        {"generator": FAST, "discriminator": PATCH, "layers": [0, 1, 2, 3], "patches": 32}
    ),
}
# Networks with weights, by the optimizer that updates them, in the published order of updates.
ORDER: dict[str, list[tuple[str, set[str]]]] = {
    "pix2pix": [("discriminator", {"discriminator"}), ("generator", {"generator"})],
    "cyclegan": [("generators", {"g_ab", "g_ba"}), ("discriminators", {"d_a", "d_b"})],
    "cut": [("discriminator", {"discriminator"}), ("generator", {"generator", "patch_networks"})],
    "unit": [("discriminators", {"d_a", "d_b"}), ("generators", {"a_to_b", "b_to_a"})],
    "spade": [("generator", {"generator"}), ("discriminator", {"discriminator"})],
    "spade_vae": [("generator", {"generator", "encoder"}), ("discriminator", {"discriminator"})],
}
ORDER |= {"fastcut": ORDER["cut"], "unit_2017": ORDER["unit"]}
ORDER |= {f"{name}_fast": ORDER[name] for name in ("pix2pix", "cyclegan", "cut")}


def build(name: str) -> Method:
    torch.manual_seed(0)
    return build_method(TINY[name])


def make_batch(seed: int = 0, n: int = 2, side: int = 32) -> dict[str, Tensor]:
    """Domain b is domain a darker and bluer; labels and instances are bands of it."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=generator) * 2 - 1
    a = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    b = a * torch.tensor([0.3, 0.4, 0.6])[:, None, None] - 0.3
    labels = ((a.mean(1) + 1) * 1.499).long()
    return {"a": a, "b": b, "labels": labels, "instances": labels * 7}


class PlainUpdate:
    """The update as the seam has it, and a record of who was updated."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.calls: list[str] = []

    def __call__(self, optimizer: str, loss: Tensor) -> None:
        assert loss.shape == ()
        assert bool(loss.isfinite())
        self.calls.append(optimizer)
        self.method.optimizers[optimizer].zero_grad()
        torch.autograd.backward(loss)
        self.method.optimizers[optimizer].step()


def snapshot(method: Method) -> dict[str, list[Tensor]]:
    return {
        name: [p.detach().clone() for p in module.parameters()]
        for name, module in method.modules.items()
    }


def changed(method: Method, before: dict[str, list[Tensor]]) -> set[str]:
    return {
        name
        for name, module in method.modules.items()
        if not all(map(torch.equal, module.parameters(), before[name]))
    }


@pytest.mark.parametrize("name", TINY)
def test_a_step_updates_every_network_once_in_the_published_order(name: str) -> None:
    method = build(name)
    touched: list[tuple[str, set[str]]] = []
    plain = PlainUpdate(method)

    def update(optimizer: str, loss: Tensor) -> None:
        before = snapshot(method)
        plain(optimizer, loss)
        touched.append((optimizer, changed(method, before)))

    terms = method.training_step(make_batch(), 0, update)
    assert touched == ORDER[name]
    assert all(term.shape == () and not term.requires_grad for term in terms.values())


@pytest.mark.parametrize("name", TINY)
def test_a_loss_sends_gradients_to_its_own_networks_alone(name: str) -> None:
    """Otherwise accumulated gradients of one network would hold those of the other's loss."""
    method = build(name)
    owned = {
        optimizer: {id(p) for group in o.param_groups for p in group["params"]}
        for optimizer, o in method.optimizers.items()
    }

    def update(optimizer: str, loss: Tensor) -> None:
        for module in method.modules.values():
            module.zero_grad()
        torch.autograd.backward(loss)
        reached = {
            id(p) for m in method.modules.values() for p in m.parameters() if p.grad is not None
        }
        assert reached <= owned[optimizer], optimizer
        assert reached

    method.training_step(make_batch(), 0, update)


def set_rate(method: Method, lr: float, *, of: str = "gen") -> None:
    for name, optimizer in method.optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = lr if name.startswith(of) else group["lr"]


@pytest.mark.parametrize("name", [name for name in TINY if "spade" not in name])
def test_its_generators_learn_a_darker_bluer_world(name: str) -> None:
    method = build(name)
    set_rate(method, 2e-3)
    update = PlainUpdate(method)
    sums = []
    for step in range(24):
        terms = method.training_step(make_batch(step % 4), step, update)
        kept = ("l1", "cycle", "recon", "nce")
        sums.append(sum(float(v) for k, v in terms.items() if any(word in k for word in kept)))
    assert sum(sums[-4:]) < 0.95 * sum(sums[:4]), sums


@pytest.mark.parametrize("name", ["spade", "spade_vae"])
def test_spade_learns_to_paint_labels(name: str) -> None:
    """Its losses are relative to a discriminator that learns too: the image itself is measured."""
    method = build(name)
    set_rate(method, 1e-2)
    batch, update = make_batch(), PlainUpdate(method)
    planes = label_planes(batch["labels"], 4, batch["instances"])

    def distance() -> float:
        generator = method.modules["generator"].eval()
        with torch.no_grad():
            found = float((generator(planes) - batch["b"]).abs().mean())
        generator.train()
        return found

    before = distance()
    for step in range(8):
        method.training_step(batch, step, update)
    assert distance() < 0.7 * before


@pytest.mark.parametrize("name", TINY)
def test_a_step_repeats_exactly_from_the_same_state(name: str) -> None:
    results = []
    for _ in range(2):
        method = build(name)
        for step in range(2):
            method.training_step(make_batch(step), step, PlainUpdate(method))
        results.append(snapshot(method))
    for module, values in results[0].items():
        assert all(map(torch.equal, values, results[1][module])), module


@pytest.mark.parametrize("name", TINY)
def test_a_step_in_bfloat16_has_the_terms_of_one_in_single_precision(name: str) -> None:
    def terms() -> dict[str, Tensor]:
        torch.manual_seed(1)
        return method.training_step(make_batch(), 0, lambda optimizer, loss: None)

    method = build(name)
    single = terms()
    method = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        half = terms()
    assert half.keys() == single.keys()
    for term, value in half.items():
        assert abs(float(value - single[term])) < 0.1 * float(single[term].abs()) + 0.05, term


@pytest.mark.parametrize("name", TINY)
def test_a_translator_is_an_image_generator_that_its_description_rebuilds(name: str) -> None:
    method = build(name)
    for module_name in method.translators.values():
        module = method.modules[module_name].eval()
        described, settings = describe_network(module)
        again = build_network(described, **json.loads(json.dumps(settings))).eval()
        again.load_state_dict(module.state_dict())
        x = make_batch()["a"] if "spade" not in name else torch.zeros(1, 4, 32, 32)
        with torch.no_grad():
            y = module(x)
            assert y.shape[-2:] == x.shape[-2:]
            if described != "gain_light":
                assert torch.equal(again(x), y)


@pytest.mark.parametrize("name", TINY)
def test_a_config_is_json_and_comes_back(name: str) -> None:
    config = TINY[name]
    again = type(config).model_validate(json.loads(config.model_dump_json()))
    assert again == config


@pytest.mark.parametrize(
    ("config", "lr", "betas", "weight_decay"),
    [
        (Pix2PixConfig(), 2e-4, (0.5, 0.999), 0),
        (CycleGanConfig(), 2e-4, (0.5, 0.999), 0),
        (CutConfig(), 2e-4, (0.5, 0.999), 0),
        (CutConfig(variant="fastcut"), 2e-4, (0.5, 0.999), 0),
        (UnitConfig(), 1e-4, (0.5, 0.999), 1e-4),
        (UnitConfig(version="2017"), 1e-4, (0.5, 0.999), 1e-4),
    ],
)
def test_adam_has_the_published_rates(
    config: Any, lr: float, betas: tuple[float, float], weight_decay: float
) -> None:
    name = next(name for name, tiny in TINY.items() if type(tiny) is type(config))
    tiny = TINY[name].model_copy(update={"optimizer": config.optimizer})
    for optimizer in build_method(tiny).optimizers.values():
        assert isinstance(optimizer, torch.optim.Adam)
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (lr, betas, weight_decay)


def test_spade_has_two_time_scales() -> None:
    optimizers = build("spade").optimizers
    (generator,) = optimizers["generator"].param_groups
    (discriminator,) = optimizers["discriminator"].param_groups
    assert (generator["lr"], generator["betas"]) == (1e-4, (0.0, 0.9))
    assert (discriminator["lr"], discriminator["betas"]) == (4e-4, (0.0, 0.9))


class TestSchedule:
    def test_linear_decay_is_the_authors_formula(self) -> None:
        schedule = LinearDecay(constant_epochs=100, decay_epochs=100)
        epochs = {0: 1.0, 99: 1.0, 100: 100 / 101, 150: 50 / 101, 199: 1 / 101, 200: 0.0}
        for epoch, expected in epochs.items():
            assert schedule.factor(epoch * 7, 7) == schedule.factor(epoch * 7 + 6, 7)
            assert abs(schedule.factor(epoch * 7, 7) - expected) < 1e-12
        assert schedule.total_steps(7) == 1400

    @pytest.mark.parametrize(
        ("config", "epochs"),
        [
            (Pix2PixConfig(), (100, 100)),
            (CycleGanConfig(), (100, 100)),
            (CutConfig(), (200, 200)),
            (CutConfig(variant="fastcut"), (150, 50)),
            (SpadeConfig(), (50, 0)),
        ],
    )
    def test_epochs_are_the_published_ones(self, config: Any, epochs: tuple[int, int]) -> None:
        assert (config.schedule.constant_epochs, config.schedule.decay_epochs) == epochs

    def test_units_rate_is_halved_each_hundred_thousand_steps(self) -> None:
        method = build("unit")
        steps = (0, 99_999, 100_000, 999_999)
        factors = [method.learning_rate_factor(step, 5) for step in steps]
        assert factors == [1.0, 1.0, 0.5, 0.5**9]
        assert method.total_steps(5) == 1_000_000
        old = build("unit_2017")
        assert old.learning_rate_factor(400_000, 5) == 1.0
        assert old.total_steps(5) == 500_000


class TestDefaults:
    def test_a_given_field_stands_above_its_variant(self) -> None:
        config = CutConfig.model_validate({"variant": "fastcut", "nce": 3.0})
        assert (config.nce, config.flip, config.nce_identity) == (3.0, True, False)
        unit = UnitConfig.model_validate({"version": "2017", "kl": 0.5})
        assert (unit.kl, unit.recon, unit.generator.name) == (0.5, 100.0, "unit_2017")

    @pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "cut", "unit", "unit_2017", "spade"])
    def test_the_published_networks_are_built(self, name: str) -> None:
        expected = {
            "pix2pix": {"generator": 54_413_955, "discriminator": 2_768_705},
            "cyclegan": {"g_ab": 11_378_179, "d_a": 2_764_737},
            "cut": {"generator": 11_378_179, "discriminator": 2_764_737},
            "unit": {"a_to_b": 11_140_483},
            "unit_2017": {"a_to_b": 10_188_803},
            "spade": {"generator": 93_048_003},
        }[name]
        config = UnitConfig(version="2017") if name == "unit_2017" else type(TINY[name])()
        choices = {"g_ab": "generator", "d_a": "discriminator", "a_to_b": "generator"}
        for module, count in expected.items():
            choice = getattr(config, choices.get(module, module))
            with torch.device("meta"):
                network = choice.build()
            assert sum(p.numel() for p in network.parameters()) == count


class TestErrors:
    def test_cut_needs_features(self) -> None:
        unet = {"name": "unet_128", "settings": {"width": 1}}
        with pytest.raises(UsageError, match="CUT got the generator unet_128, expected one with"):
            build_method(CutConfig.model_validate({"generator": unet}))

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (UnitConfig, "UNIT got the generator resnet_6blocks, expected unit or unit_2017"),
            (SpadeConfig, "no setting 'label_planes'"),
        ],
    )
    def test_a_generator_of_another_kind_is_named(
        self, config: Callable[..., Any], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            build_method(config(generator=RESNET))

    def test_spade_without_instances_says_how_to_go_on(self) -> None:
        method = build("spade")
        batch: Batch = {k: v for k, v in make_batch().items() if k != "instances"}
        with pytest.raises(UsageError, match="set instances = false"):
            method.training_step(batch, 0, PlainUpdate(method))

    def test_an_unknown_field_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cycle_weight"):
            CycleGanConfig.model_validate({"cycle_weight": 1})


def test_frozen_modules_thaw_and_what_was_frozen_before_stays_so() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)

    def trainable() -> list[bool]:
        return [parameter.requires_grad for parameter in (layer.weight, layer.bias)]

    with frozen(layer):
        assert trainable() == [False, False]
    assert trainable() == [True, False]


def test_the_pools_of_cyclegan_come_back() -> None:
    method = CycleGan(TINY_CYCLEGAN)
    for step in range(3):
        method.training_step(make_batch(step), step, PlainUpdate(method))
    other = CycleGan(TINY_CYCLEGAN)
    other.load_extra_state(method.extra_state())
    assert len(method.pools["a"]) == 6
    assert other.extra_state().keys() == method.extra_state().keys()
    for key, image in method.extra_state().items():
        assert torch.equal(torch.as_tensor(other.extra_state()[key]), torch.as_tensor(image))


def test_asking_a_generator_for_its_sizes_leaves_its_statistics_alone() -> None:
    state = build("cut_fast").modules["generator"].state_dict()
    seen = [int(v) for name, v in state.items() if name.endswith("num_batches_tracked")]
    assert seen
    assert not any(seen)


def test_only_cyclegan_keeps_something_between_steps() -> None:
    kept = {}
    for name in TINY:
        method = build(name)
        method.training_step(make_batch(), 0, PlainUpdate(method))
        kept[name] = bool(method.extra_state())
    assert kept == {name: "cyclegan" in name for name in TINY}
