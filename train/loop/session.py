"""A run in memory: the method on its device, its averages, and all of it as a checkpoint."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from dayshift.train.checkpoint import Checkpoint, CheckpointError, NetworkRecord
from dayshift.train.loop.average import WeightAverage
from dayshift.train.loop.job import Job, Translators
from dayshift.train.loop.state import pack, unpack
from dayshift.train.loop.update import FabricUpdate
from dayshift.train.methods.base import Batch
from dayshift.train.networks.presets import describe_network

AVERAGE = "ema."  # starts the name of the part that holds a module's averaged weights


class Session:
    """Method, optimizers and averages on their device.

    Attributes:
        step: updates done.
        facts: what a checkpoint tells about the run.
    """

    def __init__(self, job: Job, fabric: Fabric) -> None:
        self.job, self.fabric, self.step = job, fabric, 0
        self.facts: dict[str, Any] = {
            **job.facts,
            "torch": str(torch.__version__),
            "machine": platform.processor() or platform.machine(),
        }
        method, settings = job.method, job.settings
        for module in method.modules.values():
            module.to(fabric.device)
            if settings.channels_last:
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub
        if fabric.world_size > 1:
            _share_weights(method.modules)
        used = sorted(set(method.translators.values()))
        self._average = (
            WeightAverage({name: method.modules[name] for name in used}, settings.ema)
            if settings.ema
            else None
        )
        self._update = FabricUpdate(
            fabric,
            method.optimizers,
            accumulate=settings.accumulate,
            clip_norm=settings.clip_norm,
        )
        self._rates = {
            name: [float(group["lr"]) for group in optimizer.param_groups]
            for name, optimizer in method.optimizers.items()
        }
        if settings.compile:
            for module in method.modules.values():
                module.compile()

    def train_step(self, batches: list[Batch], steps_per_epoch: int) -> dict[str, Tensor]:
        """Update every network once from accumulated batches; return the terms' means."""
        method = self.job.method
        self._set_rates(method.learning_rate_factor(self.step, steps_per_epoch))
        # Chance is a function of the step, too: nothing to save, and no preview can shift it.
        torch.manual_seed(_step_seed(self.job.settings.seed, self.fabric.global_rank, self.step))
        sums: dict[str, Tensor] = {}
        for part, batch in enumerate(batches):
            self._update.part = part
            with self.fabric.autocast():
                terms = method.training_step(self._on_device(batch), self.step, self._update)
            for name, value in terms.items():
                sums[name] = sums[name] + value if name in sums else value
        if self._average:
            self._average.update(self.step)
        self.step += 1
        return {name: value / len(batches) for name, value in sums.items()}

    def translators(self) -> Translators:
        """Return copies of the networks that translate, by direction, just as they are exported."""
        checkpoint = self.inference_checkpoint()
        return {
            direction: checkpoint.network(direction).to(self.fabric.device)
            for direction in checkpoint.networks
        }

    def records(self) -> dict[str, NetworkRecord]:
        """Return the records of the networks that translate, each with its part."""
        method, start = self.job.method, AVERAGE if self._average else ""
        records = {}
        for direction, part in method.translators.items():
            name, settings = describe_network(method.modules[part])
            records[direction] = NetworkRecord(name, start + part, settings, self.job.norm)
        return records

    def inference_checkpoint(self) -> Checkpoint:
        """Return what is needed to translate, and no more."""
        tensors: dict[str, Tensor] = {}
        modules = self._average.modules if self._average else self.job.method.modules
        for direction, record in self.records().items():
            network = modules[self.job.method.translators[direction]]
            tensors |= pack(record.part, network.state_dict())[0]
        return Checkpoint(
            self.job.method_name,
            self.records(),
            tensors,
            self.job.recipe,
            self.step,
            dict(self.facts),
        )

    def checkpoint(self) -> Checkpoint:
        """Return the whole run. Every process must call this; that of rank 0 is complete."""
        method = self.job.method
        parts: dict[str, Any] = {name: m.state_dict() for name, m in method.modules.items()}
        if self._average:
            parts |= {AVERAGE + name: m.state_dict() for name, m in self._average.modules.items()}
        tensors: dict[str, Tensor] = {}
        for name, content in parts.items():
            tensors |= pack(name, content)[0]
        state: dict[str, Any] = {
            "seed": self.job.settings.seed,
            "processes": self.fabric.world_size,
            "scaler": self.fabric.strategy.precision.state_dict(),
        }
        carried = {
            "optimizers": {name: o.state_dict() for name, o in method.optimizers.items()},
            "extra": _gather(method.extra_state(), self.fabric),
        }
        for name, content in carried.items():
            found, state[name] = pack(name, content)
            tensors |= found
        return replace(self.inference_checkpoint(), tensors=tensors, state=state)

    def restore(self, saved: Checkpoint) -> None:
        """Take over a run as `checkpoint` returned it.

        Raises:
            CheckpointError: It holds networks only, or those of another method.
        """
        if "optimizers" not in saved.state:
            raise CheckpointError(
                "this checkpoint holds networks without their training: give another --out"
            )
        method, state = self.job.method, saved.state
        modules = dict(method.modules)
        if self._average:
            modules |= {AVERAGE + name: m for name, m in self._average.modules.items()}
        try:
            for name, module in modules.items():
                module.load_state_dict(saved.part(name))
            for name, optimizer in method.optimizers.items():
                optimizer.load_state_dict(unpack(state["optimizers"][name], saved.tensors))
                _match_memory(optimizer)
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint does not fit the method {self.job.method_name!r} ({error}): "
                "it was written by another version, give another --out"
            ) from error
        extra = state["extra"][self.fabric.global_rank % len(state["extra"])]
        method.load_extra_state(unpack(extra, saved.tensors))
        if state["scaler"]:
            self.fabric.strategy.precision.load_state_dict(state["scaler"])
        self.step = saved.step
        self.facts = {**saved.facts, **self.facts}

    def _set_rates(self, factor: float) -> None:
        for name, optimizer in self.job.method.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * factor

    def _on_device(self, batch: Batch) -> dict[str, Tensor]:
        order = torch.channels_last if self.job.settings.channels_last else None
        moved = {}
        for name, value in batch.items():
            tensor = value.to(self.fabric.device, non_blocking=True)
            moved[name] = tensor.to(memory_format=order) if order and tensor.ndim == 4 else tensor
        return moved


def _step_seed(seed: int, rank: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, rank, step)).generate_state(1, np.uint64)[0])


def _match_memory(optimizer: Optimizer) -> None:
    """Lay the optimizer's tensors out like their weights: other sums would differ in last bits."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)


def _share_weights(modules: dict[str, nn.Module]) -> None:
    """Give every process the weights of the first: another machine may have drawn others."""
    for module in modules.values():
        for value in module.state_dict().values():
            distributed.broadcast(value, 0)


def _gather(state: Any, fabric: Fabric) -> list[Any]:
    if fabric.world_size == 1:
        return [state]
    states: list[Any] = [None] * fabric.world_size
    distributed.all_gather_object(states, state)
    return states
