"""`dayshift evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayshift.cli.options import Backend, JsonTo, Lamps, Precision, Strength

if TYPE_CHECKING:
    from dayshift.runtime.image import Pixels


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|CHECKPOINT", help="A bundled model, a model folder, or a checkpoint."
        ),
    ],
    source: Annotated[
        Path, typer.Option("--source", metavar="DIR", help="Images to translate, unseen ones.")
    ],
    target: Annotated[
        Path | None,
        typer.Option("--target", metavar="DIR", help="Images of the target domain: KID and FID."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="DIR",
            help="True translations, named as their sources: PSNR, SSIM, LPIPS.",
        ),
    ] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option("--clip", metavar="FILE", help="A video without cuts: flicker. Repeatable."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="DIR", help="Measuring networks; default $DAYSHIFT_WEIGHTS."
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option("--direction", metavar="D", help="Of a checkpoint: a_to_b or b_to_a."),
    ] = None,
    backend: Backend = "auto",
    precision: Precision = "auto",
    strength: Strength = None,
    lamps: Lamps = None,
    json_to: JsonTo = None,
) -> None:
    """Measure what a model makes of a folder of images.

    Models run as they are deployed, checkpoints in PyTorch. Where leaving the images as they are
    has a figure too, it stands beside the model's as ..._source.
    """
    from dayshift.cli.extras import needs

    with needs("torch and torchmetrics", extra="train"):
        from dayshift.train.evaluate import evaluate as measure
        from dayshift.train.metrics.weights import weights_folder
    from dayshift.cli.output import check_json_target, emit, note
    from dayshift.cli.progress import frame_progress

    check_json_target(json_to)
    with (
        _subject(model, direction, backend, precision, strength, lamps) as subject,
        frame_progress("evaluate") as show,
    ):
        found = measure(
            subject.translate,
            source,
            target=target,
            pairs=pairs,
            clips=clips or (),
            open_stream=subject.open_stream,
            weights=weights_folder(weights),
            on_progress=show,
        )
    emit(
        {"model": subject.name, **found.as_json()},
        [(key, f"{value:.4g}") for key, value in found.metrics.items()]
        + [("images", f"{found.n_source} translated, {found.n_target} of the target domain")],
        title=f"dayshift evaluate {subject.name}",
        json_to=json_to,
    )
    for key, description in found.feature_networks.items():
        note(f"{key}: {description}")
    for key, reason in found.not_measured.items():
        note(f"not measured: {key}: {reason}")
    if found.skipped:
        note(f"skipped {len(found.skipped)}: {'; '.join(found.skipped[:5])}")


@dataclass(frozen=True)
class _Subject:
    """What is measured: of one image, and of a clip's frames in order."""

    name: str
    translate: Callable[[Pixels], Pixels]
    open_stream: Callable[[], Callable[[Pixels], Pixels]] | None = None


@contextmanager
def _subject(
    model: str,
    direction: str | None,
    backend: str,
    precision: str,
    strength: float | None,
    lamps: float | None,
) -> Iterator[_Subject]:
    """Open a model for the runtime, or a checkpoint for PyTorch."""
    from dayshift.runtime.errors import UsageError
    from dayshift.runtime.model import load
    from dayshift.train.checkpoint import SUFFIX, load_checkpoint
    from dayshift.train.translator import TorchTranslator

    path = Path(model)
    if path.suffix != SUFFIX:
        if direction is not None:
            raise UsageError("--direction is for checkpoints: a model folder has one direction")
        with load(
            model, backend=backend, precision=precision, strength=strength, lamps=lamps
        ) as loaded:
            yield _Subject(f"{loaded.name} {loaded.precision}", loaded, loaded.open_stream)
        return
    if backend != "auto" or precision != "auto" or lamps is not None:
        raise UsageError(
            "--backend, --precision and --lamps are for model folders: PyTorch runs checkpoints"
        )
    translator = TorchTranslator(load_checkpoint(path).network(direction))
    at = 1.0 if strength is None else strength
    yield _Subject(path.name, lambda frame: translator(frame, at))
