"""From an image file to a training sample: scaled, cropped, mirrored; the authors' presets.

| authors | settings |
|---|---|
| Pix2Pix, CycleGAN, CUT | resize_and_crop, load_size 286, crop_size 256 |
| CycleGAN on driving scenes | scale_width_and_crop, load_size 1024, crop_size 512 |
| SPADE on COCO-Stuff, ADE20K | resize_and_crop, load_size 286, crop_size 256 |
| SPADE on Cityscapes | fixed, crop_size (256, 512) |
| UNIT | scale_shortside_and_crop, load_size 256, crop_size 256 |

Sizes are (height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import Pixels
from dayshift.train.data.images import Labels, OddImage, resize, resize_labels

Size = tuple[int, int]
Side = Annotated[int, Field(ge=16)]


@dataclass(frozen=True)
class Geometry:
    """One draw of scale, crop and mirroring, to be applied to all images of a sample."""

    scaled: Size
    top: int
    left: int
    size: Size
    mirrored: bool

    def image(self, image: Pixels) -> Pixels:
        """Return a BGR image (H, W, 3) scaled, cropped and mirrored."""
        return np.ascontiguousarray(self._cut(resize(image, self.scaled)), dtype=np.uint8)

    def labels(self, labels: Labels) -> Labels:
        """Return a label map (H, W) likewise; every value stays one that was there."""
        return np.ascontiguousarray(self._cut(resize_labels(labels, self.scaled)), dtype=np.int32)

    def _cut(self, x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        part = x[self.top : self.top + self.size[0], self.left : self.left + self.size[1]]
        return part[:, ::-1] if self.mirrored else part


class Preprocess(BaseModel):
    """How images become samples; the modes are those of the authors' `--preprocess`.

    | mode | scale to | then |
    |---|---|---|
    | resize_and_crop | load_size x load_size, whatever the aspect | crop |
    | crop | | crop |
    | scale_width, scale_width_and_crop | a width of load_size | or crop |
    | scale_shortside, scale_shortside_and_crop | a short side of load_size | or crop |
    | fixed | crop_size, whatever the aspect | |
    | none | | |

    Modes that neither crop nor fix a size bring both sides to the nearest multiple of `multiple`,
    as the authors do for `none`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal[
        "resize_and_crop",
        "crop",
        "scale_width",
        "scale_width_and_crop",
        "scale_shortside",
        "scale_shortside_and_crop",
        "fixed",
        "none",
    ] = "resize_and_crop"
    load_size: Side = 286
    crop_size: Side | tuple[Side, Side] = 256  # of both sides, or (height, width)
    flip: bool = True  # mirror half of the samples
    multiple: Annotated[int, Field(gt=0)] = 4
    random: bool = True  # False, for validation: centred crops, nothing mirrored

    @model_validator(mode="after")
    def _crop_fits(self) -> Preprocess:
        if self.mode == "resize_and_crop" and self.load_size < max(self.crop):
            raise ValueError(f"load_size {self.load_size} is less than crop_size {self.crop_size}")
        return self

    @property
    def crop(self) -> Size:
        """The crop's height and width."""
        return self.crop_size if isinstance(self.crop_size, tuple) else (self.crop_size,) * 2

    @property
    def sample_size(self) -> Size | None:
        """The size of every sample; None where it follows from each image."""
        return self.crop if self._crops or self.mode == "fixed" else None

    @property
    def takes_any_aspect(self) -> bool:
        """Whether images of any size and aspect become samples of one size."""
        return self.mode in ("resize_and_crop", "fixed")

    def for_validation(self) -> Preprocess:
        """Return the same without chance: what the authors resize to a larger square fits whole."""
        mode = "fixed" if self.mode == "resize_and_crop" else self.mode
        return self.model_copy(update={"mode": mode, "random": False, "flip": False})

    def check_network(self, network: str, multiple: int) -> None:
        """Raise a UsageError unless a network that halves its input often can take every sample.

        Args:
            network: its name, for the message.
            multiple: what both sides must be multiples of, such as 256 for U-Net-256.
        """
        if self.sample_size is not None:
            check_size(self.sample_size, network, multiple)
        elif self.multiple % multiple:
            raise UsageError(
                f"{network} needs sides that are multiples of {multiple}, and {self.mode!r} gives "
                f"multiples of {self.multiple}: set preprocess.multiple to {multiple}"
            )

    def check_image(self, size: Size) -> None:
        """Raise an OddImage if a crop does not fit into an image of that size."""
        height, width = self._scaled(size)
        if self._crops and (height < self.crop[0] or width < self.crop[1]):
            raise OddImage(
                f"{width}x{height} is too small for a crop of {self.crop[1]}x{self.crop[0]}"
            )

    def draw(self, size: Size, rng: np.random.Generator) -> Geometry:
        """Return the geometry of one sample from images of `size`.

        Always the same number of draws, so that one setting does not shift the others' chances.
        """
        scaled = self._scaled(size)
        across, down, mirror = rng.random(3)
        cut = self.crop if self._crops else scaled
        free = scaled[0] - cut[0], scaled[1] - cut[1]
        if self.random:
            top, left = int(down * (free[0] + 1)), int(across * (free[1] + 1))
        else:
            top, left = free[0] // 2, free[1] // 2
        return Geometry(scaled, top, left, cut, self.flip and self.random and mirror < 0.5)

    @property
    def _crops(self) -> bool:
        return self.mode.endswith("crop")

    def _scaled(self, size: Size) -> Size:
        height, width = size
        if self.mode == "resize_and_crop":
            return self.load_size, self.load_size
        if self.mode == "fixed":
            return self.crop
        if self.mode.startswith("scale_width"):
            height, width = self.load_size * height // width, self.load_size
            # The authors stretch what would be too low for the crop.
            height = max(height, self.crop[0]) if self._crops else height
        elif self.mode.startswith("scale_shortside"):
            short = min(height, width)
            height, width = self.load_size * height // short, self.load_size * width // short
        return (height, width) if self._crops else self._rounded((height, width))

    def _rounded(self, size: Size) -> Size:
        step = self.multiple
        return max(step, round(size[0] / step) * step), max(step, round(size[1] / step) * step)


def check_size(size: Size, network: str, multiple: int) -> None:
    """Raise a UsageError unless both sides are multiples of `multiple`; it says the next that are.

    Args:
        size: height and width of what the network is given.
        network: its name, for the message.
        multiple: 2 to the number of its halvings.
    """
    height, width = size
    if height % multiple or width % multiple:
        up = -(-height // multiple) * multiple, -(-width // multiple) * multiple
        raise UsageError(
            f"{network} needs sides that are multiples of {multiple}, got {width}x{height}: "
            f"the next valid size is {up[1]}x{up[0]}"
        )
