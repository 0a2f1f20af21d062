"""A student beside its teacher: what each costs on this machine, and how alike their images are."""

from __future__ import annotations

import copy
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
from dayshift.train.networks.presets import build_network, describe_network
from dayshift.train.recipe import Recipe
from dayshift.train.teacher import Teacher

_IMAGES = 32  # of the validation set, spread over it
_ROUNDS, _BUDGET_S = 9, 20.0  # three rounds are taken in any case
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


@dataclass(frozen=True)
class Comparison:
    """Costs, and the likeness of the student's images to its teacher's.

    Attributes:
        images: how many were compared.
        held_out: none of them was trained on: the recipe names a folder for validation.
        psnr_db: mean over images; 100 where equal.
        ssim: likewise.
    """

    costs: Costs
    images: int
    held_out: bool
    psnr_db: float
    ssim: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def compare(
    recipe: Recipe,
    data_root: Path,
    teacher: Teacher,
    student: nn.Module,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Translate the recipe's validation images with both, and time them, on a GPU if there is one.

    A recipe without such images has those it trains on.

    Args:
        recipe: that the student was trained by.
        data_root: where its data start.
        teacher: whose images are the truth.
        student: in eval mode.
        on_progress: called after each image with how many are done and how many there are.
    """
    assert not isinstance(recipe.data, RelightDataSection)  # `Recipe` sees to it
    dataset = recipe.data.open_validation(data_root)
    count, device, source = min(_IMAGES, len(dataset)), _device(), teacher.direction[0]
    held_out = any(getattr(recipe.data, f"validation{end}", None) for end in ("", f"_{source}"))
    networks = [network.to(device) for network in (student, teacher.network)]
    psnr_db, ssim = [], []
    for index in range(count):
        sample = dataset.sample(index * len(dataset) // count, 0)
        pair = [to_image(translate_sample(n, teacher.direction, sample)) for n in networks]
        psnr_db.append(min(quality.psnr(*pair), _EQUAL_PSNR_DB))
        ssim.append(quality.ssim(*pair))
        if on_progress is not None:
            on_progress(index + 1, count)
    costs = measure_costs(teacher, student, sample[source])
    return Comparison(costs, count, held_out, statistics.fmean(psnr_db), statistics.fmean(ssim))


def costs_if_larger(recipe: Recipe, teacher: Teacher) -> Costs | None:
    """Return what both take where the student that a recipe names is no smaller than its teacher.

    Only then is anything timed: it is asked before each run.
    """
    settings = recipe.settings
    assert isinstance(settings, DistillConfig)
    assert not isinstance(recipe.data, RelightDataSection)
    name, deployed = describe_network(settings.student.build())
    student = build_network(name, **deployed).eval()
    image = torch.zeros(3, *(recipe.data.preprocess.sample_size or _ANY_SIZE))
    teachers, students = (_count(network, image) for network in (teacher.network, student))
    if all(mine < theirs for mine, theirs in zip(students, teachers, strict=True)):
        return None
    return measure_costs(teacher, student, image)


@torch.no_grad()
def measure_costs(teacher: Teacher, student: nn.Module, image: Tensor) -> Costs:
    """Count and time both on one image, (3, H, W) RGB in [-1, 1]; they take turns."""
    device = _device()
    networks = [network.to(device) for network in (teacher.network, student)]
    x = image[None].to(device)
    for network in networks:
        _time_ms(network, x)  # the first run makes what later ones find ready
    rounds: list[tuple[float, float]] = []
    began_at = time.perf_counter()
    while len(rounds) < 3 or (len(rounds) < _ROUNDS and time.perf_counter() - began_at < _BUDGET_S):
        rounds.append((_time_ms(networks[0], x), _time_ms(networks[1], x)))
    costs = [
        Cost(*_count(network, image), statistics.median(times))
        for network, times in zip(networks, zip(*rounds, strict=True), strict=True)
    ]
    ratio = statistics.median(slow / fast for slow, fast in rounds)
    return Costs((x.shape[-1], x.shape[-2]), device, costs[0], costs[1], ratio)


def _count(network: nn.Module, image: Tensor) -> tuple[int, int]:
    """Return parameters and multiply-adds; nothing is computed for that."""
    twin = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _translate(twin, image[None].to("meta"))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _translate(network: nn.Module, x: Tensor) -> Tensor:
    if isinstance(network, GainLight):
        return relight(network, x)
    made: Tensor = network(x)
    return made


def _time_ms(network: nn.Module, x: Tensor) -> float:
    began_at = time.perf_counter()
    _translate(network, x)
    if x.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - began_at) * 1000
