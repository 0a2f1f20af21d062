"""What a network does at test time: which statistics normalise, and whether dropout draws.

Pix2Pix tests with batch statistics and dropout on (Isola et al. 2017, section 3.3), and so do its
authors' scripts by default; an exporter that calls `eval()` alone changes the picture.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dayshift.train.networks.spectral import SpectralConv2d


def set_inference(
    module: nn.Module, *, norm: Literal["running", "batch"] = "running", dropout: bool = False
) -> None:
    """Make a network ready to translate one image at a time; changed in place, not trainable after.

    Spectral normalisation is folded into the weights. State-dict keys change where it is: load
    before, not after.

    Args:
        module: in any mode; in eval mode afterwards.
        norm: "running" uses batch norm's stored statistics; "batch" those of the image itself,
            which at batch size 1 is instance norm with batch norm's weights, and becomes that.
        dropout: keep drawing, so that results differ from call to call.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SpectralConv2d):
                setattr(parent, name, child.folded())
            elif isinstance(child, nn.BatchNorm2d) and norm == "batch":
                setattr(parent, name, _instance_norm(child))
            elif isinstance(child, nn.Dropout) and dropout:
                setattr(parent, name, _Drawing(child.p))
    module.eval().requires_grad_(False)


class _Drawing(nn.Dropout):
    """Dropout that draws in eval mode too."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with a share p of it zero and the rest scaled up."""
        return functional.dropout(x, self.p, training=True)


def _instance_norm(batch_norm: nn.BatchNorm2d) -> nn.InstanceNorm2d:
    instance_norm = nn.InstanceNorm2d(
        batch_norm.num_features, eps=batch_norm.eps, affine=batch_norm.affine
    )
    if batch_norm.affine:
        with torch.no_grad():
            instance_norm.weight.copy_(batch_norm.weight)
            instance_norm.bias.copy_(batch_norm.bias)
    return instance_norm
