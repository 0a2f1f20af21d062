"""Checkpoints: ONE safetensors file that holds a run, or networks alone, and runs no code.

Tensors are flat, named "part/key": the state of each network ("generator/model.1.weight"), of its
average ("ema.generator/…"), of the optimizers and whatever else a run carries. The header's entry
"dayshift" is JSON: format, method, networks, recipe, step, facts and the scalars of the state.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dayshift.runtime.errors import DayshiftError, UsageError
from dayshift.runtime.sinks.base import PartialFile
from dayshift.train.networks.inference import set_inference
from dayshift.train.networks.presets import build_network

FORMAT_VERSION = 2
SUFFIX = ".safetensors"
_HEADER = "dayshift"


class CheckpointError(DayshiftError):
    """A checkpoint cannot be read; the message says what was expected."""


@dataclass(frozen=True)
class NetworkRecord:
    """A network for inference: how it is built, whose weights it takes, how it behaves.

    Attributes:
        name: preset of `networks.presets.build_network`.
        part: part of the tensors that holds its weights, such as "ema.generator_a".
        settings: fields of the preset's config.
        norm: "batch" where batch norm uses the statistics of the image itself, as the authors of
            Pix2Pix test; "running" where it uses those of the training.
        dropout: Dropout stays on, Pix2Pix's only source of noise.
    """

    name: str
    part: str
    settings: dict[str, Any] = field(default_factory=dict)
    norm: Literal["running", "batch"] = "running"
    dropout: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """Networks by direction ("a_to_b", …), with all that a run needs to go on where there was one.

    Attributes:
        method: what trained it: "cyclegan", "relight", ….
        networks: by direction; the first is what is taken where none is named.
        tensors: by "part/key".
        recipe: of the run; None for networks that came from elsewhere.
        step: updates done.
        facts: seconds trained, data, versions; the origin of what was imported.
        state: JSON half of the run's state; see `train.loop.state`.
    """

    method: str
    networks: dict[str, NetworkRecord]
    tensors: dict[str, Tensor]
    recipe: dict[str, Any] | None = None
    step: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def record(self, direction: str | None = None) -> NetworkRecord:
        """Return the record of a direction, the first by default.

        Raises:
            UsageError: There is no such direction.
        """
        wanted = direction or next(iter(self.networks))
        if wanted not in self.networks:
            raise UsageError(
                f"no direction {wanted!r} in this checkpoint: "
                f"take one of {', '.join(self.networks)}"
            )
        return self.networks[wanted]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the state dict of a part."""
        start = f"{name}/"
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}

    def network(self, direction: str | None = None) -> nn.Module:
        """Build the network of a direction with its weights, in eval mode, on the CPU.

        Raises:
            UsageError: There is no such direction.
            CheckpointError: The weights do not fit the network.
        """
        record = self.record(direction)
        network = build_network(record.name, **record.settings)
        load_weights(network, self.part(record.part), f"{record.part!r}, network {record.name!r}")
        set_inference(network, norm=record.norm, dropout=record.dropout)
        return network


def load_weights(network: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Give a network its weights.

    Raises:
        CheckpointError: They do not fit; `what` names them.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights of {what} do not fit "
            f"({' '.join(str(error).split())[:200]}): the checkpoint is of another version"
        ) from error


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one step: an interrupted save leaves the old one whole.

    Raises:
        SinkError: The folder cannot be written to, or the disk is full; the old file is untouched.
    """
    header = {
        "format_version": FORMAT_VERSION,
        "method": checkpoint.method,
        "networks": {name: asdict(record) for name, record in checkpoint.networks.items()},
        "recipe": checkpoint.recipe,
        "step": checkpoint.step,
        "facts": checkpoint.facts,
        "state": checkpoint.state,
    }
    file = PartialFile(path)
    mode = file.part.stat().st_mode
    try:
        save_file(_own_memory(checkpoint.tensors), file.part, {_HEADER: json.dumps(header)})
        file.part.chmod(mode)  # safetensors makes files that only their owner reads
        with file.part.open("rb") as written:
            os.fsync(written.fileno())  # a rename may reach the disk before the content does
        file.commit()
    except (OSError, SafetensorError) as error:
        raise file.failed(error) from error
    finally:
        file.discard()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Runs no code from the file.

    Raises:
        CheckpointError: The file is missing, damaged, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = _read_header(path, (file.metadata() or {}).get(_HEADER))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint {path}: train one with dayshift train") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_why_unreadable(path, error)) from error
    return Checkpoint(
        header["method"],
        {name: NetworkRecord(**record) for name, record in header["networks"].items()},
        tensors,
        header["recipe"],
        header["step"],
        header["facts"],
        header["state"],
    )


def _read_header(path: Path, text: str | None) -> dict[str, Any]:
    if text is None:
        raise CheckpointError(
            f"{path} holds tensors but is no dayshift checkpoint: dayshift import reads those of "
            "the authors' repositories"
        )
    header = json.loads(text)
    version = header.get("format_version") if isinstance(header, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {version}, this dayshift reads {FORMAT_VERSION}: "
            "read it with the version that wrote it, or train again"
        )
    assert isinstance(header, dict)
    return header


def _why_unreadable(path: Path, error: Exception) -> str:
    if path.is_dir():
        return f"{path} is a folder: name the checkpoint in it"
    with path.open("rb") as file:
        start = file.read(2)
    if start in (b"PK", b"\x80\x02"):
        return (
            f"{path} is a PyTorch pickle, expected {SUFFIX}: dayshift import converts those of the "
            "authors' repositories"
        )
    return (
        f"cannot read {path} as a checkpoint ({error}): it is cut off or damaged, "
        "train again or fetch it anew"
    )


def _own_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU that share no memory, as the format asks.

    Layers shared between networks are written once for each.
    """
    seen: set[int] = set()
    alone: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous()
        storage = flat.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != flat.nbytes:
            flat = flat.clone()
        seen.add(flat.untyped_storage().data_ptr())
        alone[name] = flat
    return alone
