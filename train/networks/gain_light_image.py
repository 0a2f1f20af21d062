"""GainLight as an image generator: what Pix2Pix, CycleGAN and CUT train, at full strength.

State-dict keys are GainLight's own: a generator trained here is exported, and takes a strength,
like one trained by relight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from dayshift.train.networks.gain_light import (
    GainLight,
    GainLightConfig,
    apply_gain_light,
    extend,
)


@dataclass(frozen=True)
class GainLightImageConfig(GainLightConfig):
    """GainLight's, and by what factor the branch sees a training image shrunk."""

    shrink: float = 2.0

    def __post_init__(self) -> None:
        if self.shrink < 1:
            raise ValueError(f"got shrink {self.shrink}, expected 1 or more")


class GainLightImage(GainLight):
    """Translate whole images of any size at strength 1."""

    multiple = 1
    patch_layers = (0, 1, 2, 4)

    def __init__(self, config: GainLightImageConfig | None = None) -> None:
        self.shrink = (config or GainLightImageConfig()).shrink
        super().__init__(config or GainLightImageConfig())

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # an image generator's call
        """Return images of the size of `x`, (N, 3, H, W) RGB in [-1, 1]."""
        frame = (x + 1) / 2
        maps = self.maps(self._small(frame), x.new_ones(x.shape[0]))
        return apply_gain_light(frame, *maps) * 2 - 1

    def features(self, x: Tensor, layers: Iterable[int]) -> list[Tensor]:
        """Return features of the three levels, fine (0) to coarse (2), then those of the blocks.

        Args:
            x: (N, 3, H, W) RGB in [-1, 1].
            layers: which of them, in rising order.
        """
        full = x.new_ones(x.shape[0])
        extended = extend(self._small((x + 1) / 2), self.config.stride)
        blocks = functional.pixel_unshuffle(extended, self.config.fold)
        stages = list(self.encode(blocks, full, full))
        for block in self.body:
            stages.append(block(stages[-1]))
        return [stages[layer] for layer in layers]

    def _small(self, frame: Tensor) -> Tensor:
        size = [max(1, round(side / self.shrink)) for side in frame.shape[-2:]]
        return functional.interpolate(frame, size=size, mode="area")
