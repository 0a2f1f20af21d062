from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.train.recipe import RecipeError, find_recipe, load_recipe


def test_the_bundled_recipe_is_found_by_name_and_ships_tier_a_only() -> None:
    recipe = load_recipe(find_recipe("day2night"))
    assert recipe.name == "day2night"
    assert recipe.data.tiers == ("A",)
    assert recipe.data.photos == "A_*"


def test_an_override_changes_one_field() -> None:
    recipe = load_recipe(find_recipe("day2night"), ["optimizer.steps=7", "network.blocks=2"])
    assert recipe.optimizer.steps == 7
    assert recipe.network.blocks == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "expected section.key=value"),
        ("optimizer.stepz=3", "optimizer.stepz"),
        ("optimizer.steps=-3", "optimizer.steps"),
        ("optimizer.steps=many", "optimizer.steps"),
        ("name.x=1", "name"),
    ],
)
def test_a_wrong_override_names_the_field(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(find_recipe("day2night"), [override])


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(RecipeError, match="one of day2night"):
        find_recipe("night2day")


def test_broken_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("name = \n")
    with pytest.raises(RecipeError, match=r"r\.toml is not TOML.*line 1"):
        load_recipe(path)
