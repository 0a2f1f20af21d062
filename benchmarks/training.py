"""How much the training loop costs: CycleGAN steps of ours and of a bare PyTorch loop, in turns.

    python -m dayshift.benchmarks.training [--steps N] [--size PX] [--threads N]

Both train ResNet-9 and 70x70 PatchGANs of the same weights at batch 1. Ours reads, crops and
augments images, switches rates, seeds each step, checks losses and averages nothing; the bare loop
is given tensors. One step of each in turn, so that whatever else the machine does meets both; the
ratio is of the medians.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dayshift.train.loop.build import make_job
from dayshift.train.loop.devices import Devices, open_fabric
from dayshift.train.loop.session import Session
from dayshift.train.methods.image_pool import ImagePool
from dayshift.train.networks.presets import build_network
from dayshift.train.recipe import Recipe


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    with tempfile.TemporaryDirectory() as folder:
        step_ours = _ours(Path(folder), words.size)
        step_bare = _bare(words.size)
        waits: list[float] = []
        for step in (step_ours, step_bare):  # warm-up: memory, kernels
            step()
        times: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(words.steps):
            for name, step in (("ours", step_ours), ("bare", step_bare)):
                began_at = time.perf_counter()
                wait_s = step()
                times[name].append(time.perf_counter() - began_at)
                if name == "ours":
                    waits.append(wait_s)
    ours, bare = (statistics.median(times[name]) for name in ("ours", "bare"))
    print(f"CycleGAN, resnet_9blocks, {words.size}x{words.size}, batch 1, CPU, fp32")
    print(f"{words.steps} steps each in turns, {words.threads} threads, torch {torch.__version__}")
    print(f"ours  {ours:8.3f} s/step  ({1 / ours:.3f} images/s)")
    print(f"bare  {bare:8.3f} s/step  ({1 / bare:.3f} images/s)")
    print(f"ours / bare rate: {bare / ours:.3f}")
    print(f"waiting for data: {sum(waits) / sum(times['ours']):.2%} of our time")


def _ours(folder: Path, size: int) -> Callable[[], float]:
    rng = np.random.default_rng(0)
    for domain in ("a", "b"):
        (folder / domain).mkdir()
        for index in range(8):
            image = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (640, 360))
            cv2.imwrite(str(folder / domain / f"{index}.jpg"), image)
    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "summary": "CycleGAN as published.",
            "method": "cyclegan",
            "data": {
                "layout": "unpaired",
                "a": "a",
                "b": "b",
                "preprocess": {"load_size": size * 286 // 256, "crop_size": size},
            },
            "run": {"workers": 1},
        }
    )
    torch.manual_seed(0)
    session = Session(make_job(recipe, folder), open_fabric(Devices("cpu"), "fp32"))
    batches = session.job.source.batches(0, 0, 1)

    def step() -> float:
        asked_at = time.perf_counter()
        batch = next(batches)
        wait_s = time.perf_counter() - asked_at
        terms = session.train_step([batch], 8)
        assert all(value.isfinite() for value in terms.values())
        return wait_s

    return step


def _bare(size: int) -> Callable[[], float]:
    torch.manual_seed(0)
    g_ab, g_ba = build_network("resnet_9blocks"), build_network("resnet_9blocks")
    d_a, d_b = build_network("patchgan_70"), build_network("patchgan_70")
    g_weights = [*g_ab.parameters(), *g_ba.parameters()]
    d_weights = [*d_a.parameters(), *d_b.parameters()]
    g_adam = torch.optim.Adam(g_weights, lr=2e-4, betas=(0.5, 0.999))
    d_adam = torch.optim.Adam(d_weights, lr=2e-4, betas=(0.5, 0.999))
    pools = ImagePool(50), ImagePool(50)
    real = [(torch.rand(1, 3, size, size) * 2 - 1, torch.rand(1, 3, size, size) * 2 - 1)] * 2
    numbers = itertools.cycle(range(len(real)))
    l1 = functional.l1_loss

    def lsgan(scores: Tensor, target: float) -> Tensor:
        return functional.mse_loss(scores, torch.full_like(scores, target))

    def step() -> float:
        a, b = real[next(numbers)]
        for weight in d_weights:
            weight.requires_grad_(False)
        fake_b, fake_a = g_ab(a), g_ba(b)
        loss = lsgan(d_b(fake_b), 1.0) + lsgan(d_a(fake_a), 1.0)
        loss = loss + 10 * l1(g_ba(fake_b), a) + 10 * l1(g_ab(fake_a), b)
        loss = loss + 5 * l1(g_ba(a), a) + 5 * l1(g_ab(b), b)
        g_adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        g_adam.step()
        for weight in d_weights:
            weight.requires_grad_(True)
        old_a, old_b = pools[0].exchange(fake_a), pools[1].exchange(fake_b)
        loss = 0.5 * (lsgan(d_a(a), 1.0) + lsgan(d_a(old_a), 0.0))
        loss = loss + 0.5 * (lsgan(d_b(b), 1.0) + lsgan(d_b(old_b), 0.0))
        d_adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        d_adam.step()
        return 0.0

    return step


if __name__ == "__main__":
    main()
