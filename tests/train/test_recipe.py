from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.runtime.errors import UsageError
from dayshift.train.checkpoint import load_checkpoint
from dayshift.train.loop.build import make_job
from dayshift.train.loop.devices import Devices
from dayshift.train.loop.fit import fit
from dayshift.train.methods.cut import CutConfig
from dayshift.train.methods.relight_data import RelightDataSection
from dayshift.train.methods.spade import SpadeConfig
from dayshift.train.methods.unit import UnitConfig
from dayshift.train.recipe import (
    BUNDLED,
    Recipe,
    RecipeError,
    check_same_recipe,
    describe_origin,
    find_recipe,
    load_card,
    load_recipe,
)


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
        ("relight.stepz=3", r"relight\.stepz: there is no such field"),
        ("relight.steps=-3", "relight.steps"),
        ("relight.steps=many", "relight.steps"),
        ("name.x=1", "name"),
    ],
)
def test_a_wrong_override_names_the_field(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(find_recipe("day2night"), [override])


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(RecipeError, match="one of cut, cyclegan, day2night"):
        find_recipe("nowhere")


def test_broken_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("name = \n")
    with pytest.raises(RecipeError, match=r"r\.toml is not TOML.*line 1"):
        load_recipe(path)


def test_what_is_no_text_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot read \S+ \(Is a directory\): expected a TOML"):
        load_card(tmp_path)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(RecipeError, match=r"a\.png is not TOML"):
        load_recipe(picture)


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_bundled_recipe_is_valid_and_named_after_its_file(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    # What a checkpoint keeps of it makes the same recipe again.
    assert Recipe.model_validate(recipe.as_json()) == recipe


def test_presets_have_the_published_length_and_rates() -> None:
    cut, fastcut, unit, old, spade = (
        load_recipe(find_recipe(name)).settings
        for name in ("cut", "fastcut", "unit", "unit-2017", "spade-cityscapes")
    )
    assert isinstance(cut, CutConfig)
    assert isinstance(fastcut, CutConfig)
    assert (cut.schedule.total_steps(1), fastcut.schedule.total_steps(1)) == (400, 200)
    assert isinstance(unit, UnitConfig)
    assert isinstance(old, UnitConfig)
    assert (unit.steps, old.steps) == (1_000_000, 500_000)
    assert isinstance(spade, SpadeConfig)
    assert spade.planes == 36
    assert (spade.g_optimizer.lr, spade.d_optimizer.lr) == (1e-4, 4e-4)
    assert spade.schedule.total_steps(1) == 200


def test_a_section_of_another_method_or_a_layout_it_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"section \[unit\] in a recipe of the method cut"):
        load_recipe(find_recipe("cut"), ["unit.kl=1"])
    labels = ["method=spade", "cut=1"]
    with pytest.raises(RecipeError):
        load_recipe(find_recipe("cut"), labels)
    with pytest.raises(RecipeError, match="spade takes the layouts labels, got unpaired"):
        load_recipe(find_recipe("cyclegan"), ["method=spade"])


def test_labels_of_data_and_network_must_agree(domains: Path) -> None:
    recipe = load_recipe(
        find_recipe("labels2street-camvid"),
        ["data.labels=labels", "data.photos=b", "data.classes=3"],
    )
    with pytest.raises(UsageError, match=r"spade\.labels = 11, but \[data\] says 3"):
        make_job(recipe, domains)


def test_a_size_that_the_network_cannot_take_names_the_next_one(domains: Path) -> None:
    recipe = load_recipe(
        find_recipe("pix2pix"), ["data.a=a", "data.b=b", "data.preprocess.crop_size=200"]
    )
    with pytest.raises(UsageError, match=r"multiples of 256, got 200x200.*256x256"):
        make_job(recipe, domains)


def test_labels2street_trains_on_a_set_of_rendered_scenes(tmp_path: Path) -> None:
    """With a smaller network and smaller crops; the sample set has no test split of its own."""
    overrides = [
        'spade.generator.settings={width=4, upsampling="normal"}',
        'spade.discriminator={name="spade_discriminator", settings={width=4}}',
        "spade.schedule={constant_epochs=1, decay_epochs=0}",
        "data.validation_labels=labels/train",
        "data.validation_photos=day/train",
        "data.preprocess.load_size=114",
        "data.preprocess.crop_size=[64, 96]",
        "run.batch_size=1",
        "run.workers=0",
        "run.loggers=[]",
    ]
    recipe = load_recipe(find_recipe("labels2street"), overrides)
    scenes = Path(__file__).parents[1] / "data" / "synth"
    trained = load_checkpoint(fit(recipe, scenes, tmp_path, devices=Devices("cpu")))
    assert trained.step == 3
    assert trained.facts["data"] == {"samples": 3}
    assert trained.record().settings["label_planes"] == 34
    assert list((tmp_path / "samples").glob("*.png"))


def test_a_card_is_read_alone_or_out_of_a_recipe(tmp_path: Path) -> None:
    recipe = find_recipe("day2night")
    assert load_card(recipe) == load_recipe(recipe).card
    alone = tmp_path / "card.toml"
    alone.write_text('[card]\nlimits = "many"\n')
    assert load_card(alone).limits == "many"
    alone.write_text("name = 'x'\n")
    with pytest.raises(RecipeError, match=r"no section \[card\]: expected uses, misuse, limits"):
        load_card(alone)
    alone.write_text("[card]\nlimit = 'x'\n")
    with pytest.raises(RecipeError, match="limit"):
        load_card(alone)


def test_a_card_may_change_while_a_run_goes_on(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("day2night")).as_json()
    check_same_recipe(tmp_path, recipe | {"card": None}, recipe | {"card": {"limits": "new"}})
    check_same_recipe(tmp_path, {k: v for k, v in recipe.items() if k != "card"}, recipe)


def test_an_origin_is_a_file_only_where_the_recipe_is_that_files() -> None:
    bundled = load_recipe(find_recipe("cyclegan"), ["cyclegan.pool_size=7"]).as_json()
    assert describe_origin(bundled) == "train/recipes/cyclegan.toml"
    own = "a recipe of one's own, "
    assert describe_origin({**bundled, "name": "mine"}) == f"{own}mine"
    assert describe_origin({**bundled, "name": "cut"}) == f"{own}cut"
    by_api = {**bundled, "summary": "CycleGAN on images of your own."}
    assert describe_origin(by_api) == f"{own}cyclegan"
