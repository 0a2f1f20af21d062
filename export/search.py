"""The search for an int8 graph: which calibration, which layers stay float, whose bias is mended.

Every trial is a graph on the engine, judged by its images on frames that calibration did not see
and by its time beside fp32. Of the trials that keep to the limits, the fastest sets the pace, and
the best picture among those nearly as fast is taken: a layer stays float only where that is free or
needed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from dayshift.export.calibrate import METHODS, Method
from dayshift.export.difference import Difference, Limits, shortfall

# What a better picture may cost, of the fastest trial's time: about what timing tells apart.
_NEARLY = 1.04


@dataclass(frozen=True)
class Recipe:
    """How an int8 graph is made.

    Attributes:
        method: What sets the activations' thresholds.
        keep_float: Names of the convolutions that stay float.
        mend_bias: Take the mean error of rounding back in each bias.
    """

    method: Method
    keep_float: frozenset[str] = field(default_factory=frozenset)
    mend_bias: bool = False

    def __str__(self) -> str:
        kept = f", {len(self.keep_float)} layers float" if self.keep_float else ""
        return f"{self.method}{', bias mended' if self.mend_bias else ''}{kept}"


@dataclass(frozen=True)
class Trial:
    """A recipe, and what came of it; `ratio` is its time over that of fp32."""

    recipe: Recipe
    difference: Difference
    ratio: float

    @property
    def psnr_db(self) -> float:
        """Of all frames; infinite where they are identical."""
        psnr = self.difference.psnr_db
        return float("inf") if psnr is None else psnr


Try = Callable[[Recipe], Trial]
OnTrial = Callable[[int, int, Trial], None]


def search(
    attempt: Try,
    layers: Callable[[Recipe], list[str]],
    *,
    ends: tuple[str, str],
    budget_s: float,
    on_trial: OnTrial | None = None,
) -> list[Trial]:
    """Try recipes until all are tried or the time is up; at least one is.

    Args:
        attempt: Makes the graph of a recipe and measures it.
        layers: The convolutions by the noise that rounding them adds, worst first.
        ends: The first and the last convolution.
        budget_s: No trial begins after this many seconds.
        on_trial: Called after each with how many are done, how many there will be, and the trial.
    """
    trials: list[Trial] = []
    end = time.monotonic() + budget_s
    count = len(METHODS) + 6
    for recipe in _recipes(trials, layers, ends):
        if trials and time.monotonic() > end:
            break
        if any(trial.recipe == recipe for trial in trials):
            continue
        trials.append(attempt(recipe))
        if on_trial is not None:
            on_trial(len(trials), count, trials[-1])
    return trials


def choose(trials: list[Trial], limits: Limits) -> Trial:
    """Return the trial to take: see the module. Without one that keeps to the limits, the best."""
    good = [trial for trial in trials if shortfall(trial.difference, limits) is None]
    if not good:
        return max(trials, key=lambda trial: trial.psnr_db)
    ratios = _ratios(trials)
    fastest = min(ratios[trial.recipe.keep_float] for trial in good)
    near = [t for t in good if ratios[t.recipe.keep_float] <= fastest * _NEARLY]
    best = max(near, key=lambda trial: trial.psnr_db)
    return replace(best, ratio=ratios[best.recipe.keep_float])


def _ratios(trials: list[Trial]) -> dict[frozenset[str], float]:
    """Return the time of each set of float layers: graphs that differ in numbers alone are one.

    A layer more in float is never taken to be faster than all in int8: that is noise.
    """
    times: dict[frozenset[str], list[float]] = {}
    for trial in trials:
        times.setdefault(trial.recipe.keep_float, []).append(trial.ratio)
    medians = {kept: statistics.median(ratios) for kept, ratios in times.items()}
    least = medians.get(frozenset(), 0.0)
    return {kept: max(ratio, least) for kept, ratio in medians.items()}


def _recipes(
    trials: list[Trial], layers: Callable[[Recipe], list[str]], ends: tuple[str, str]
) -> Iterator[Recipe]:
    """Yield recipes, later ones on top of the best picture so far; `trials` grows meanwhile."""

    def best() -> Recipe:
        return max(trials, key=lambda trial: trial.psnr_db).recipe

    # Least squares first: it won on every network measured, should time allow for one trial only.
    for method in sorted(METHODS, key=lambda method: method != "mse"):
        yield Recipe(method)
    yield replace(best(), mend_bias=True)
    base = best()
    first, last = ends
    for kept in ({last}, {first}, {first, last}):
        yield replace(base, keep_float=frozenset(kept))
    noisy = layers(base)
    for share in (1, max(2, len(noisy) // 8)):
        yield replace(base, keep_float=best().keep_float | frozenset(noisy[:share]))
