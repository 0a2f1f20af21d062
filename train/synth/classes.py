"""Class numbers of the ground truth: the ids of Cityscapes."""

from __future__ import annotations

STATIC, DYNAMIC, GROUND, ROAD, SIDEWALK, PARKING = 4, 5, 6, 7, 8, 9
BUILDING, WALL, FENCE, GUARD_RAIL, BRIDGE, TUNNEL = 11, 12, 13, 14, 15, 16
POLE, SIGNAL, SIGN, VEGETATION, TERRAIN, SKY = 17, 19, 20, 21, 22, 23
PERSON, RIDER, CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE = 24, 25, 26, 27, 28, 32, 33
