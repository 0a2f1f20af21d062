"""The image pool: a discriminator is shown translations of some steps ago too.

Shrivastava et al. 2017, section 2.3, as CycleGAN uses it (Zhu et al. 2017, section 4).
"""

from __future__ import annotations

import torch
from torch import Tensor


class ImagePool:
    """Up to `size` images of the past; 0 keeps none and returns what it is given."""

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self._images: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._images)

    def exchange(self, images: Tensor) -> Tensor:
        """Return as many images as given, detached: each one itself, or one of the past.

        Until the pool is full every image is kept and returned. Then each is, by the toss of a
        coin, returned, or put in the place of a random one that is returned.

        Args:
            images: (N, C, H, W).
        """
        shown = []
        for image in images.detach():
            if len(self._images) < self.size:
                self._images.append(image.clone())
            elif self.size and float(torch.rand(())) > 0.5:
                place = int(torch.randint(self.size, ()))
                past = self._images[place]
                self._images[place] = image.clone()
                image = past.to(image)  # from a checkpoint it comes on the CPU
            shown.append(image)
        return torch.stack(shown)

    def state(self) -> list[Tensor]:
        """Return the images, each (C, H, W)."""
        return list(self._images)

    def load(self, images: list[Tensor]) -> None:
        """Invert `state`."""
        self._images = list(images)
