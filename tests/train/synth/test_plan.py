from __future__ import annotations

from itertools import pairwise

import pytest

from dayshift.runtime.errors import UsageError
from dayshift.train.synth.light import (
    TIMES,
    Hour,
    illumination,
    lamps_at,
    parse_times,
    sky_name,
    sun_elevation_deg,
)
from dayshift.train.synth.plan import KINDS, draw_plan


def test_a_plan_depends_on_its_seed_alone() -> None:
    assert draw_plan(7) == draw_plan(7)
    assert draw_plan(7) != draw_plan(8)
    # The same in every version of Python: a set that was begun can be finished anywhere.
    assert (draw_plan(4).kind, draw_plan(4).camera.mount) == ("square", "cctv")
    assert draw_plan(4).dice("cars").random() == draw_plan(4).dice("cars").random()


def test_the_parts_of_a_scene_draw_from_dice_of_their_own() -> None:
    plan = draw_plan(5)
    first = plan.dice("trees").random()
    plan.dice("cars").random()
    assert plan.dice("trees").random() == first
    assert plan.dice("cars").random() != first


def test_every_kind_of_place_weather_and_camera_turns_up() -> None:
    plans = [draw_plan(seed) for seed in range(400)]
    assert {plan.kind for plan in plans} == set(KINDS)
    assert {plan.weather.sky for plan in plans} == {"clear", "overcast"}
    assert {plan.weather.ground for plan in plans} == {"dry", "wet", "snow"}
    assert len({plan.camera.mount for plan in plans}) == 5
    assert all(plan.camera.position[2] > 1 for plan in plans)


def test_the_sun_sets_and_the_lamps_come_on_without_a_jump() -> None:
    plan = draw_plan(3)
    hours = [i / 100 for i in range(101)]
    suns = [sun_elevation_deg(plan, t) for t in hours]
    assert suns[0] == plan.weather.sun_elevation_deg
    assert suns[-1] == -18
    assert all(a > b for a, b in pairwise(suns))
    lamps = [lamps_at(t) for t in hours]
    assert (lamps[0], lamps[-1]) == (0, 1)
    assert all(0 <= b - a < 0.05 for a, b in pairwise(lamps))


@pytest.mark.parametrize("seed", [2, 3])  # an overcast day and a clear one
def test_the_light_of_the_sky_changes_without_a_jump_while_its_rendering_stays(seed: int) -> None:
    plan = draw_plan(seed)
    hours = [i / 200 for i in range(201)]
    for a, b in pairwise(hours):
        if (sky_name(plan, a) == "dome") != (sky_name(plan, b) == "dome"):
            continue
        for x, y in zip(illumination(plan, a).sky, illumination(plan, b).sky, strict=True):
            assert 0.9 < x / y < 1.1


def test_the_artificial_light_is_a_parameter_of_its_own() -> None:
    plan = draw_plan(3)
    assert illumination(plan, 1.0, lamps=0.25).lamps == 0.25
    assert illumination(plan, 1.0, lamps=0.25).sky == illumination(plan, 1.0).sky


def test_hours_are_names_or_numbers() -> None:
    assert parse_times("day, night") == {"day": Hour(0.0), "night": Hour(1.0)}
    assert parse_times("0.6,dusk") == {"t0600": Hour(0.6), "dusk": Hour(0.5)}
    assert parse_times(",".join(TIMES)) == {name: Hour(t) for name, t in TIMES.items()}


def test_a_share_of_the_lamps_may_follow_an_hour() -> None:
    assert parse_times("night@0.3,0.6@1") == {
        "night-lamps030": Hour(1.0, 0.3),
        "t0600-lamps100": Hour(0.6, 1.0),
    }


@pytest.mark.parametrize(
    "text", ["noon", "1.2", "-0.1", "nan", "", ",", "night@", "night@2", "@0.5"]
)
def test_other_hours_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        parse_times(text)
