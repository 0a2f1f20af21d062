"""From a recipe to what the loop runs: the method, its data, its sample sheet and its metric."""

from __future__ import annotations

from pathlib import Path

from dayshift.runtime.errors import UsageError
from dayshift.train.data import Dataset
from dayshift.train.layouts import ImageData, ImageSource, LabelData
from dayshift.train.loop.job import Job
from dayshift.train.loop.preview import ImageSheet, RelightSheet
from dayshift.train.loop.validation import make_metric
from dayshift.train.methods.base import Method
from dayshift.train.methods.distill import Distill, DistillConfig
from dayshift.train.methods.relight import Relight
from dayshift.train.methods.relight_config import RelightConfig
from dayshift.train.methods.relight_data import RelightData, RelightDataSection
from dayshift.train.methods.select import build_method
from dayshift.train.methods.spade import SpadeConfig
from dayshift.train.recipe import Recipe
from dayshift.train.teacher import TaughtImages, Teacher, take_teacher


def make_job(recipe: Recipe, data_root: Path) -> Job:
    """Build method and data of a recipe; weights are drawn from torch's generator.

    Raises:
        DataError: Images are missing.
        UsageError: The network cannot take what the data give.
    """
    settings, data = recipe.settings, recipe.data
    if isinstance(data, RelightDataSection):
        assert isinstance(settings, RelightConfig)  # `Recipe` sees to it
        return _relight_job(recipe, settings, RelightData(data, data_root, recipe.run.seed))
    assert not isinstance(settings, RelightConfig)
    if isinstance(settings, DistillConfig):
        return _distill_job(*take_teacher(recipe), data, data_root)
    if isinstance(settings, SpadeConfig):
        _check_labels(settings, data)
    return _image_job(recipe, build_method(settings), data, data_root)


def _image_job(
    recipe: Recipe,
    method: Method,
    data: ImageData,
    data_root: Path,
    validation: Dataset | None = None,
) -> Job:
    _check_sizes(method, data)
    source = ImageSource(
        data.open(data_root, recipe.run.seed),
        batch_size=recipe.run.batch_size,
        seed=recipe.run.seed,
        workers=recipe.run.workers,
    )
    validation = validation or data.open_validation(data_root)
    return Job(
        method_name=recipe.method,
        method=method,
        source=source,
        settings=recipe.run,
        recipe=recipe.as_json(),
        # Its authors test Pix2Pix so, which at batch size 1 is instance norm. Not its dropout: that
        # changes little (section 3.3) and would flicker in a video.
        norm="batch" if recipe.method == "pix2pix" else "running",
        draw_samples=ImageSheet(validation),
        metric=make_metric(recipe.run.metric, validation) if recipe.run.validate_images else None,
    )


def _distill_job(recipe: Recipe, teacher: Teacher, data: ImageData, data_root: Path) -> Job:
    """Validation and sample sheets show the teacher's images in the place of the true ones."""
    settings = recipe.settings
    assert isinstance(settings, DistillConfig)
    name = f"the teacher's {type(teacher.network).__name__}"
    data.preprocess.check_network(name, teacher.multiple)
    validation = TaughtImages(data.open_validation(data_root), teacher)
    return _image_job(recipe, Distill(settings, teacher), data, data_root, validation)


def _relight_job(recipe: Recipe, settings: RelightConfig, source: RelightData) -> Job:
    return Job(
        method_name=recipe.method,
        method=Relight(settings),
        source=source,
        settings=recipe.run,
        recipe=recipe.as_json(),
        draw_samples=RelightSheet(source),
    )


def _check_sizes(method: Method, data: ImageData) -> None:
    for name in set(method.translators.values()):
        module = method.modules[name]
        data.preprocess.check_network(type(module).__name__, int(getattr(module, "multiple", 1)))


def _check_labels(settings: SpadeConfig, data: ImageData) -> None:
    assert isinstance(data, LabelData)  # `Recipe` sees to it
    wanted = {
        "labels": (settings.labels, data.classes),
        "dont_care": (settings.dont_care, data.ignore >= 0),
        "instances": (settings.instances, data.instances is not None),
    }
    for name, (has, needs) in wanted.items():
        if has != needs:
            raise UsageError(
                f"got spade.{name} = {has}, but [data] says {needs}: set spade.{name} to {needs}"
            )
