"""How the verbs mark what they save: tags and manifest in the file, a label in the picture."""

from __future__ import annotations

from dataclasses import dataclass

from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.model import Model
from dayshift.runtime.provenance.mark import Mark, mark_of
from dayshift.runtime.streaming.pipeline import Compose


@dataclass(frozen=True)
class Marking:
    """What was asked for.

    Attributes:
        has_provenance: Mark files in their metadata.
        has_label: Write the label into every image.
    """

    has_provenance: bool = True
    has_label: bool = False

    def mark(self, model: Model) -> Mark | None:
        """Return the mark of what the model makes as it is set now; None where none is wanted."""
        return mark_of(model.spec.name, model) if self.has_provenance else None

    def compose(self, *, is_stabilised: bool = False) -> Compose | None:
        """Return what makes the image of one stream or video to be saved or shown; None: nothing.

        Args:
            is_stabilised: Take the flicker out before the label goes on.
        """
        steps: list[Compose] = []
        if is_stabilised:
            from dayshift.runtime.stabiliser import Stabiliser

            steps.append(Stabiliser())
        if self.has_label:
            from dayshift.runtime.provenance.label import VisibleLabel

            steps.append(VisibleLabel())
        return None if not steps else _Chain(tuple(steps))


@dataclass(frozen=True)
class _Chain:
    steps: tuple[Compose, ...]

    def __call__(self, frame: Frame, image: Pixels) -> Pixels:
        for step in self.steps:
            image = step(frame, image)
        return image


DEFAULT_MARKING = Marking()
