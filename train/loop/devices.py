"""Where a run computes: one device, many, or many machines, by Lightning Fabric.

One process per device. Processes are started by Fabric (`--devices`), by torchrun or by SLURM's
srun; each of these is recognised by its environment variables.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only

from dayshift.runtime.errors import DayshiftError, UsageError
from dayshift.train.loop.settings import Precision

Device = Literal["auto", "cpu", "gpu"]

_PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


class DeviceError(DayshiftError):
    """The device, number of devices or precision that was asked for cannot be had."""


@dataclass(frozen=True)
class Devices:
    """What a run may use: kind, number per machine, number of machines."""

    kind: Device = "auto"
    count: int = 1
    nodes: int = 1

    def process_grid(self) -> tuple[int, int]:
        """Return processes per machine and machines; torchrun or srun has already decided both.

        Raises:
            DeviceError: srun started several tasks, but was not told how many per machine.
        """
        if "TORCHELASTIC_RUN_ID" in os.environ:
            local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
            return local, world // local
        if SLURMEnvironment.detect() and (world := int(os.environ["SLURM_NTASKS"])) > 1:
            # Else each task would be a run of its own, all in one folder.
            told = os.environ.get("SLURM_NTASKS_PER_NODE")
            if told is None or world % int(told):
                raise DeviceError(
                    f"got {world} tasks from SLURM and SLURM_NTASKS_PER_NODE {told}: ask for as "
                    "many on each machine, with --nodes and --ntasks-per-node"
                )
            return int(told), world // int(told)
        return self.count, self.nodes


def parse_devices(kind: str, count: int, nodes: int) -> Devices:
    """Return the devices that the words of a command line name.

    Raises:
        UsageError: There is no such kind.
    """
    match kind:
        case "auto" | "cpu" | "gpu":
            return Devices(kind, count, nodes)
    raise UsageError(f"got --device {kind!r}, expected auto, cpu or gpu")


def restart_may_hang() -> bool:
    """Whether torchrun restarts processes in a store that still has the addresses of the killed.

    See pytorch#135712: a process that comes back may read them before they are replaced.
    """
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return shared and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"


def is_first_process() -> bool:
    """Whether this is the one of a run's processes that speaks; known before the run opens, too."""
    return getattr(rank_zero_only, "rank", 0) == 0


def open_fabric(devices: Devices, precision: Precision) -> Fabric:
    """Start this run's processes, or join those that were started, and return the way to them.

    Raises:
        DeviceError: There is no such device, or not so many, or they cannot compute in `precision`.
    """
    has_gpu = torch.cuda.is_available()
    if devices.kind == "gpu" and not has_gpu:
        raise DeviceError(
            f"got --device gpu, but PyTorch {torch.__version__} sees none: install a PyTorch with "
            "CUDA and check nvidia-smi, or take --device cpu"
        )
    on_gpu = has_gpu and devices.kind != "cpu"
    if precision == "fp16" and not on_gpu:
        raise DeviceError("got precision fp16, which needs a GPU: take bf16 or fp32 on the CPU")
    count, nodes = devices.process_grid()
    if on_gpu and count > torch.cuda.device_count():
        raise DeviceError(
            f"got --devices {count}, but there are {torch.cuda.device_count()} GPUs here"
        )
    with _quiet():
        fabric = Fabric(
            accelerator="cuda" if on_gpu else "cpu",
            # Modules are never wrapped, since a method calls them as its paper does; see `update`.
            strategy="ddp" if count * nodes > 1 else "auto",
            devices=count,
            num_nodes=nodes,
            precision=_PRECISIONS[precision],
        )
        fabric.launch()
    return fabric


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what Lightning logs of choices that were ours, and torch of its processes."""
    log = logging.getLogger("lightning_fabric")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="torch.distributed")
            yield
    finally:
        log.setLevel(before)
