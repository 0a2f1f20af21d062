"""A sink that keeps nothing: for measuring everything else."""

from __future__ import annotations

from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink


class NullSink(Sink):
    """Takes images and drops them."""

    name = "null"

    def write(self, image: Pixels, frame: Frame) -> None:
        """Do nothing."""

    def close(self) -> None:
        """There is nothing to complete."""

    def abort(self) -> None:
        """There is nothing to remove."""
