"""From a recipe to what the loop runs: the method, its data, its sample sheet."""

from __future__ import annotations

from pathlib import Path

from dayshift.train.job import Job
from dayshift.train.methods.relight import Relight, RelightConfig
from dayshift.train.methods.relight_data import RelightData, RelightDataSection
from dayshift.train.preview import RelightSheet
from dayshift.train.recipe import Recipe


def make_job(recipe: Recipe, data_root: Path) -> Job:
    """Build method and data of a recipe; weights are drawn from torch's generator.

    Raises:
        DataError: Images are missing.
        UsageError: The network cannot take what the data give.
    """
    assert isinstance(recipe.data, RelightDataSection)
    method = Relight(recipe.relight or RelightConfig())
    source = RelightData(recipe.data, data_root, recipe.run.seed)
    return Job(
        method_name=recipe.method,
        method=method,
        source=source,
        settings=recipe.run,
        recipe=recipe.as_json(),
        draw_samples=RelightSheet(source),
    )
