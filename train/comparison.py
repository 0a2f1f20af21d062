"""A student beside its teacher: what each costs on this machine, and how alike their images are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dayshift.runtime import quality
from dayshift.train.data.images import to_image
from dayshift.train.loop.preview import relight, translate_sample
from dayshift.train.methods.distill import DistillConfig
from dayshift.train.methods.relight_data import RelightDataSection
from dayshift.train.networks.gain_light import GainLight
from dayshift.train.networks.presets import build_network, describe_network, is_image_generator
from dayshift.train.recipe import Recipe
from dayshift.train.teacher import Teacher

_IMAGES = 32  # of the validation set, spread over it
_ROUNDS = 9
_BUDGET_S = 20.0  # for all rounds; three are taken in any case
_ANY_SIZE = (256, 256)  # where a recipe takes images of any size
_EQUAL_PSNR_DB = 100.0  # in the place of infinity, which JSON has not


@dataclass(frozen=True)
class Cost:
    """What a network takes.

    Attributes:
        parameters: numbers that are learned.
        macs: multiply-adds of one image.
        latency_ms: median time of one image in PyTorch, single precision.
    """

    parameters: int
    macs: int
    latency_ms: float


@dataclass(frozen=True)
class Costs:
    """Both networks at one size, timed in turn.

    Attributes:
        size_wh: of the image.
        device: where they were timed, "cpu" or "cuda".
        latency_ratio: teacher to student, the median of the rounds' ratios.
    """

    size_wh: tuple[int, int]
    device: str
    teacher: Cost
    student: Cost
    latency_ratio: float

    @property
    def is_larger(self) -> bool:
        """Whether the student has more parameters or takes more multiply-adds than its teacher."""
        teacher, student = self.teacher, self.student
        return student.parameters > teacher.parameters or student.macs > teacher.macs


@dataclass(frozen=True)
class Comparison:
    """Costs, and the likeness of the student's images to its teacher's.

    Attributes:
        images: how many were compared, none of them trained on where the recipe holds some back.
        psnr_db: mean over images; 100 where equal.
        ssim: likewise.
    """

    costs: Costs
    images: int
    psnr_db: float
    ssim: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def compare(recipe: Recipe, data_root: Path, teacher: Teacher, student: nn.Module) -> Comparison:
    """Translate the recipe's validation images with both, and time them, on a GPU if there is one.

    Args:
        recipe: that the student was trained by.
        data_root: where its data start.
        teacher: whose images are the truth.
        student: in eval mode.
    """
    assert not isinstance(recipe.data, RelightDataSection)  # `Recipe` sees to it
    dataset = recipe.data.open_validation(data_root)
    count = min(_IMAGES, len(dataset))
    device = _device()
    student.to(device)
    teacher.network.to(device)
    likeness = []
    for index in range(count):
        sample = dataset.sample(index * len(dataset) // count, 0)
        mine, taught = (
            to_image(translate_sample(network, teacher.direction, sample))
            for network in (student, teacher.network)
        )
        likeness.append(
            (min(quality.psnr(mine, taught), _EQUAL_PSNR_DB), quality.ssim(mine, taught))
        )
    psnr_db, ssim = (statistics.fmean(values) for values in zip(*likeness, strict=True))
    costs = measure_costs(teacher, student, sample[teacher.direction[0]])
    return Comparison(costs, count, psnr_db, ssim)


def untrained_costs(recipe: Recipe, teacher: Teacher) -> Costs:
    """Measure what the student that a recipe names will take, before hours go into it."""
    settings = recipe.settings
    assert isinstance(settings, DistillConfig)
    assert not isinstance(recipe.data, RelightDataSection)
    size = recipe.data.preprocess.sample_size or _ANY_SIZE
    name, deployed = describe_network(settings.student.build())
    return measure_costs(teacher, build_network(name, **deployed).eval(), torch.zeros(3, *size))


@torch.no_grad()
def measure_costs(teacher: Teacher, student: nn.Module, image: Tensor) -> Costs:
    """Count and time both on one image, (3, H, W) RGB in [-1, 1]; they take turns."""
    device = _device()
    x = image[None].to(device)
    networks = [network.to(device) for network in (teacher.network, student)]
    runs = [_translation(network, x) for network in networks]
    macs = []
    for run in runs:  # these are the warm-up, too
        with FlopCounterMode(display=False) as counter:
            run()
        macs.append(counter.get_total_flops() // 2)
    rounds: list[tuple[float, float]] = []
    began_at = time.perf_counter()
    while len(rounds) < _ROUNDS and (len(rounds) < 3 or time.perf_counter() - began_at < _BUDGET_S):
        rounds.append((_time_ms(runs[0], device), _time_ms(runs[1], device)))
    parameters = [sum(p.numel() for p in network.parameters()) for network in networks]
    costs = [
        Cost(count, work, statistics.median(times))
        for count, work, times in zip(parameters, macs, zip(*rounds, strict=True), strict=True)
    ]
    ratio = statistics.median(slow / fast for slow, fast in rounds)
    return Costs((x.shape[-1], x.shape[-2]), device, costs[0], costs[1], ratio)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _translation(network: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    if is_image_generator(network):
        return lambda: network(x)
    assert isinstance(network, GainLight)
    return lambda: relight(network, x)


def _time_ms(run: Callable[[], Tensor], device: str) -> float:
    began_at = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began_at) * 1000
