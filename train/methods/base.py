"""What a method is to the loop: networks, optimizers, and the update rule of one paper.

A method never sees devices, processes, precision or files: the loop moves, saves and restores its
modules, and does the updates it asks for. What the loop may rely on, and must allow for:

* Randomness (latent noise, pools, patch positions) comes from torch's global generators alone.
* A module's methods besides `forward` are called too (`encode`, `features`), some modules run twice
  before one backward pass, and two modules may share a part (UNIT of 2017). Processes therefore
  average the gradients inside `Update`, and a save clones what it writes.
* While a loss is built for one network, the others are frozen (`frozen`), so that accumulated
  gradients never mix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveFloat
from torch import Tensor, nn
from torch.optim import Optimizer

from dayshift.train.networks.presets import build_network

Batch = Mapping[str, Tensor]
"""What the data gives: "a", "b": float32 (N, 3, H, W) RGB in [-1, 1]; "labels", "instances": int64
(N, H, W)."""

State = dict[str, Tensor | int | float | list[int] | list[float]]


class Update(Protocol):
    """One optimizer step: zero gradients, go backward (scaled, accumulated), clip, step."""

    def __call__(self, optimizer: str, loss: Tensor) -> None:
        """Lower `loss`, a scalar, by what `optimizer`, a key of `Method.optimizers`, owns."""
        ...


class Method(Protocol):
    """Networks, optimizers and the update rule. Implementations need not inherit from this."""

    modules: dict[str, nn.Module]
    """Everything with weights, by name."""
    optimizers: dict[str, Optimizer]
    """With the recipe's rates and betas."""
    translators: dict[str, str]
    """Direction ("a_to_b") to the module that translates that way."""

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return how many steps the recipe trains for."""
        ...

    def learning_rate_factor(self, step: int, steps_per_epoch: int) -> float:
        """Return what every optimizer's rate is multiplied by at `step`, counted from 0."""
        ...

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update every network once, in the paper's order; return detached scalar terms by name."""
        ...

    def extra_state(self) -> State:
        """Return what a run needs to go on exactly besides weights and optimizers."""
        ...

    def load_extra_state(self, state: State) -> None:
        """Invert `extra_state`."""
        ...


class Section(BaseModel):
    """Part of a recipe: frozen, JSON values only, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkChoice(Section):
    """A network by its preset's name, and what differs from the preset; see `build_network`."""

    name: str
    settings: dict[str, JsonValue] = {}

    def build(self, **defaults: JsonValue) -> nn.Module:
        """Return the network with fresh weights; `defaults` give way to `settings`.

        Raises:
            UsageError: There is no such preset or setting.
        """
        return build_network(self.name, **{**defaults, **self.settings})


class Adam(Section):
    """Adam (Kingma & Ba 2015); the defaults are those of Pix2Pix, CycleGAN and CUT."""

    lr: PositiveFloat = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)

    def build(self, *modules: nn.Module) -> torch.optim.Adam:
        """Return the optimizer of these modules' parameters; what they share is taken once."""
        parameters = dict.fromkeys(p for module in modules for p in module.parameters())
        return torch.optim.Adam(
            parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay
        )


class Stateless:
    """A method that keeps nothing between steps besides weights and optimizers."""

    def extra_state(self) -> State:
        """Return nothing."""
        return {}

    def load_extra_state(self, state: State) -> None:
        """Load nothing."""


class LinearDecay(Section):
    """Full rate for some epochs, then a straight line to zero (CycleGAN, Pix2Pix, CUT, SPADE)."""

    constant_epochs: int = Field(default=100, ge=0)
    decay_epochs: int = Field(default=100, ge=0)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the steps of all epochs."""
        return (self.constant_epochs + self.decay_epochs) * steps_per_epoch

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """Return the rate's factor, which changes once per epoch as in the authors' code.

        1 - max(0, epoch + 1 - constant_epochs) / (decay_epochs + 1), epochs counted from 0.
        """
        epoch = step // steps_per_epoch
        past = max(0, epoch + 1 - self.constant_epochs)
        return max(0.0, 1 - past / (self.decay_epochs + 1))


class Scheduled:
    """A method whose learning rates and end are those of its schedule.

    Attributes:
        schedule: From its settings.
    """

    schedule: LinearDecay

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the steps of all epochs."""
        return self.schedule.total_steps(steps_per_epoch)

    def learning_rate_factor(self, step: int, steps_per_epoch: int) -> float:
        """Return 1, then a straight line to 0."""
        return self.schedule.factor(step, steps_per_epoch)


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Take these modules' parameters out of the graphs that are built inside."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
