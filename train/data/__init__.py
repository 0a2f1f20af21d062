"""Data for training: image files in, batches of tensors out."""

from __future__ import annotations

from dayshift.train.data.augment import ColorJitter
from dayshift.train.data.datasets import (
    Dataset,
    PairedImages,
    Sample,
    SketchedImages,
    UnpairedImages,
)
from dayshift.train.data.edges import EdgeFilter, draw_sketch
from dayshift.train.data.images import DataError, OddImage
from dayshift.train.data.labelled import LabelledImages
from dayshift.train.data.loader import Batch, Loader, make_loader, steps_per_epoch
from dayshift.train.data.preprocess import Preprocess, check_size
from dayshift.train.data.shelf import Skipped, skip_report

__all__ = [
    "Batch",
    "ColorJitter",
    "DataError",
    "Dataset",
    "EdgeFilter",
    "LabelledImages",
    "Loader",
    "OddImage",
    "PairedImages",
    "Preprocess",
    "Sample",
    "SketchedImages",
    "Skipped",
    "UnpairedImages",
    "check_size",
    "draw_sketch",
    "make_loader",
    "skip_report",
    "steps_per_epoch",
]
