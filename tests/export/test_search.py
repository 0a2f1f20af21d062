"""The search tries in order, stops in time, and takes the best picture nearly as fast as any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dayshift.export.calibrate import METHODS
from dayshift.export.difference import Difference, Limits
from dayshift.export.search import Recipe, Trial, choose, search

LIMITS = Limits(psnr_db=38, ssim=0.97)


def trial(psnr_db: float, ratio: float, *kept: str, method: str = "mse") -> Trial:
    difference = Difference(psnr_db, psnr_db, psnr_db, 0.99, 0.0, 9, 4)
    recipe = Recipe(method, frozenset(kept))  # type: ignore[arg-type]
    return Trial(recipe, difference, ratio)


def judge(recipe: Recipe) -> Trial:
    """The last layer matters, min-max is best, and mending the bias helps."""
    psnr = 36 + 3 * (recipe.method == "minmax") + recipe.mend_bias + 2 * ("z" in recipe.keep_float)
    made = trial(psnr, 0.3 + 0.1 * len(recipe.keep_float))
    return replace(made, recipe=recipe)


def test_later_recipes_build_on_the_best_so_far() -> None:
    told: list[tuple[int, int]] = []
    trials = search(
        judge,
        lambda recipe: ["m", "z", "a"],
        ends=("a", "z"),
        budget_s=60,
        on_trial=lambda done, expected, _: told.append((done, expected)),
    )
    assert [t.recipe.method for t in trials[:4]] == ["mse", "minmax", "percentile", "entropy"]
    assert {t.recipe.method for t in trials[4:]} == {"minmax"}
    assert all(t.recipe.mend_bias for t in trials[4:])
    assert frozenset("z") in {t.recipe.keep_float for t in trials}
    assert len({t.recipe for t in trials}) == len(trials)
    assert [done for done, _ in told] == list(range(1, len(trials) + 1))
    assert told[-1][0] <= told[-1][1] == len(METHODS) + 6


def test_without_time_one_recipe_is_tried() -> None:
    trials = search(judge, lambda recipe: [], ends=("a", "z"), budget_s=0)
    assert [t.recipe for t in trials] == [Recipe("mse")]


def test_the_best_picture_among_the_nearly_fastest_is_taken() -> None:
    plain, free, dear = trial(40, 0.30), trial(44, 0.31, "a"), trial(50, 0.40, "a", "b")
    assert choose([plain, free, dear], LIMITS) == free


def test_a_layer_stays_float_where_the_floor_demands_it() -> None:
    plain, needed = trial(33, 0.30), trial(39, 0.50, "a")
    assert choose([plain, needed], LIMITS) == needed
    assert choose([plain], LIMITS) == plain


def test_noise_in_the_times_of_equal_graphs_decides_nothing() -> None:
    """Graphs that differ in scales alone run equally fast, whatever one measurement says."""
    lucky, better = trial(40, 0.20, method="percentile"), trial(45, 0.30)
    kept = trial(44, 0.21, "a")
    best = choose([lucky, better, kept], LIMITS)
    assert best.recipe == better.recipe
    assert best.ratio == pytest.approx(0.25)
