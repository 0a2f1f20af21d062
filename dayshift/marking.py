"""How the verbs mark what they save: tags and manifest in the file, a label in the picture."""

from __future__ import annotations

from dataclasses import dataclass

from dayshift.runtime.model import Model
from dayshift.runtime.pipeline import Compose
from dayshift.runtime.provenance.mark import Mark, mark_of


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

    def compose(self) -> Compose | None:
        """Return what draws the label; None where none is wanted."""
        if not self.has_label:
            return None
        from dayshift.runtime.provenance.label import VisibleLabel

        return VisibleLabel()


DEFAULT_MARKING = Marking()
