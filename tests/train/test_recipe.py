from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.train.methods.relight_data import RelightDataSection
from dayshift.train.recipe import RecipeError, find_recipe, load_recipe


def test_the_bundled_recipe_is_found_by_name_and_ships_tier_a_only() -> None:
    recipe = load_recipe(find_recipe("day2night"))
    assert recipe.name == "day2night"
    assert isinstance(recipe.data, RelightDataSection)
    assert recipe.data.tiers == ("A",)
    assert recipe.data.photos == "A_*"


def test_an_override_changes_one_field() -> None:
    recipe = load_recipe(find_recipe("day2night"), ["relight.steps=7", "relight.network.blocks=2"])
    assert recipe.relight is not None
    assert recipe.relight.steps == 7
    assert recipe.relight.network.blocks == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "expected section.key=value"),
        ("relight.stepz=3", "relight.stepz"),
        ("relight.steps=-3", "relight.steps"),
        ("relight.steps=many", "relight.steps"),
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
