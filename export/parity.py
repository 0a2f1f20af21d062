"""Parity: is the picture of the exported graph still the one PyTorch makes, on real frames?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dayshift.export.difference import (
    Difference,
    Limits,
    check_difference,
    measure_difference,
)
from dayshift.runtime.image import Pixels
from dayshift.runtime.model import load
from dayshift.runtime.spec import ModelSpec

Translate = Callable[[Pixels], Pixels]

# A whole image may differ where a level rounds the other way. A form that shrinks rounds twice, and
# maps of 8 bits are enlarged: there it must be invisible.
EXACT = Limits(psnr_db=48.0, ssim=0.99, max_abs=1)
INVISIBLE = Limits(psnr_db=48.0, ssim=0.99)

_REMEDY = "an exporter or engine changed the picture; report it with the network's name"


@dataclass(frozen=True)
class ParityRow:
    """The fp32 graph of one form on one engine against PyTorch float32, over all frames."""

    backend: str
    form: str
    sizes: str
    difference: Difference

    def as_json(self) -> dict[str, object]:
        """Return the fields by name, those of the difference among them."""
        where = {"backend": self.backend, "form": self.form, "sizes": self.sizes}
        return where | {"precision": "fp32"} | asdict(self.difference)


def measure_parity(
    folder: Path, spec: ModelSpec, frames: Sequence[Pixels], reference: Translate
) -> list[ParityRow]:
    """Compare the fp32 graphs of a model folder with PyTorch, and refuse what changed the picture.

    Args:
        folder: A model folder whose `model.json` is written.
        spec: What it says.
        frames: Real frames, BGR (H, W, 3), or label maps (H, W), in sizes that the model takes.
        reference: What PyTorch makes of them.

    Raises:
        GateError: An image differs by more than a level, or visibly.
    """
    expected = [reference(frame) for frame in frames]
    combinations = [("onnxruntime", "full"), ("openvino", "full")]
    if spec.forms.maps is not None:
        combinations.append(("openvino", "maps"))
    sizes = ", ".join(dict.fromkeys(f"{f.shape[1]}x{f.shape[0]}" for f in frames))
    rows = []
    for backend, form in combinations:
        with load(
            folder, backend=backend, form=form, precision="fp32", size=frames[0].shape[:2]
        ) as model:
            difference = measure_difference([model(frame) for frame in frames], expected)
        limits = EXACT if spec.forms.full.short_side is None else INVISIBLE
        check_difference(difference, limits, f"{form} fp32 on {backend} against PyTorch", _REMEDY)
        rows.append(ParityRow(backend, form, sizes, difference))
    return rows
