"""Who is in a scene: the traffic of its lanes, and the people of its kind of place."""

from __future__ import annotations

from dayshift.train.synth.blender import people, traffic
from dayshift.train.synth.blender.stage import Stage
from dayshift.train.synth.blender.wardrobe import Wardrobe


def add_traffic(stage: Stage, wardrobe: Wardrobe) -> None:
    """Fill the lanes, and park cars along the kerb."""
    plan, rng = stage.plan, stage.plan.dice("traffic")
    u = rng.uniform
    fast = {"highway": 24.0, "bridge": 14.0, "tunnel": 16.0, "parking": 4.0}.get(plan.kind, 9.0)
    for lane in range(plan.lanes):
        side = 1 if lane >= plan.lanes // 2 else -1
        index = lane % (plan.lanes // 2)
        x = side * (1.9 + index * 3.5)
        heading = 0.0 if side > 0 else 180.0
        # In the camera's own lane the view stays open; the other lanes begin beside it.
        own = plan.camera.mount == "dashcam" and side > 0 and abs(x - plan.camera.position[0]) < 2.4
        y = u(9, 26) if own else u(-6, 18)
        while y < 170:
            speed = max(0.0, u(0.5, 1.1) * fast) if rng.random() < 0.85 else u(0, 2)
            if rng.random() < 0.12:
                y += 5
                traffic.add_truck(stage, rng, wardrobe, (x + u(-0.2, 0.2), y, 0), heading, speed)
                y += 6
            else:
                traffic.add_car(
                    stage, rng, wardrobe, (x + u(-0.25, 0.25), y, 0), heading, speed=speed
                )
            y += 6.5 + rng.expovariate(plan.traffic / 9)
    if plan.kind in ("city", "suburb", "square") and rng.random() < 0.5:
        for side in (-1, 1):
            y = u(-4, 10)
            while y < 90:
                if rng.random() < 0.6:  # on the edge of the carriageway, two wheels on the kerb
                    at = (side * (plan.half_width + 0.55), y, 0.1)
                    traffic.add_car(
                        stage, rng, wardrobe, at, 0.0 if side > 0 else 180.0, parked=True
                    )
                y += u(6, 9)


def add_people(stage: Stage, wardrobe: Wardrobe) -> None:
    """Add people on the pavements and cyclists on the edge of the street."""
    plan, rng = stage.plan, stage.plan.dice("people")
    u, half = rng.uniform, plan.half_width
    if plan.kind in ("highway", "tunnel"):
        return
    most = {"square": 26, "city": 14}.get(plan.kind, 5)
    reach = 18.0 if plan.kind == "square" else 3.0
    for _ in range(rng.randint(most // 4, most)):
        at = (rng.choice((-1, 1)) * (half + 1.3 + abs(u(0, reach))), u(3, 70), 0.14)
        if plan.kind == "square":
            at = (half + 1.3 + u(0, reach), at[1], 0.14)
        people.add_person(stage, rng, wardrobe, at, rng.choice((0.0, u(0.8, 1.5), -u(0.8, 1.5))))
    for _ in range(rng.randint(0, 3)):
        side = rng.choice((-1, 1))
        at = (side * (half - 0.9), u(6, 60), 0.0)
        people.add_cyclist(stage, rng, wardrobe, at, 0.0 if side > 0 else 180.0, u(3, 6))
