"""The loop's side of `methods.base.Update`: accumulate, average over processes, clip, step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed
from torch.optim import Optimizer


class FabricUpdate:
    """One optimizer step, in the precision and over the processes of a Fabric.

    Gradients are averaged here and not by DistributedDataParallel: that allows one forward pass of
    a module for each backward pass, and only through `forward`. GANs run a discriminator twice,
    and call `encode` and `features`.

    Attributes:
        part: which of the accumulated batches is at work, from 0; set by the loop.
    """

    def __init__(
        self,
        fabric: Fabric,
        optimizers: Mapping[str, Optimizer],
        *,
        accumulate: int = 1,
        clip_norm: float = 0.0,
    ) -> None:
        self.part = 0
        self._fabric = fabric
        # With one argument it returns one optimizer, which its type does not say.
        self._optimizers: dict[str, Any] = {
            name: fabric.setup_optimizers(optimizer) for name, optimizer in optimizers.items()
        }
        self._accumulate = accumulate
        self._clip_norm = clip_norm

    def __call__(self, optimizer: str, loss: Tensor) -> None:
        """Go backward from `loss`; after the last accumulated batch also step."""
        wrapped = self._optimizers[optimizer]
        if self.part == 0:
            wrapped.zero_grad(set_to_none=True)
        # Autocast is for the way forward; the way back takes each operation's own type.
        with torch.autocast(self._fabric.device.type, enabled=False):
            self._fabric.backward(loss / self._accumulate if self._accumulate > 1 else loss)
        if self.part + 1 < self._accumulate:
            return
        if self._fabric.world_size > 1:
            _average_gradients(wrapped, self._fabric.world_size)
        if self._clip_norm:
            # What is no number is for the scaler of fp16, which leaves the step out, or else for
            # the loop, which says which term it was: clipping would end the run without a word.
            self._fabric.strategy.clip_gradients_norm(
                torch.nn.Module(), wrapped.optimizer, self._clip_norm, error_if_nonfinite=False
            )
        wrapped.step()
        # Autocast keeps half-precision copies of weights, which are old from here on.
        torch.clear_autocast_cache()


def _average_gradients(optimizer: Optimizer, world_size: int) -> None:
    """Replace each gradient by its mean over all processes: one message for all of them."""
    gradients = [
        p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
    ]
    if not gradients:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= world_size
    means = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))
