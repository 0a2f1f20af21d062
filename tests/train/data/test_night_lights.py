"""Lights that photos' nights get: those of vehicles and of windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dayshift.runtime.image import Pixels
from dayshift.train.data.relit import DIM_LAMPS, relight_photo
from dayshift.train.data.vehicle_lights import Detect, vehicle_lights
from dayshift.train.data.window_lights import Segment, window_lights
from dayshift.train.metrics.detection import Detections

_CAR, _PERSON, _BUILDING, _SKY = 2, 0, 2, 10
_BOX = (60, 80, 100, 110)  # left, top, right, bottom
_SIZE = (160, 240)


def _street() -> Pixels:
    day = np.full((*_SIZE, 3), 120, np.uint8)
    left, top, right, bottom = _BOX
    day[top:bottom, left:right] = 70
    return day


def _found(*boxes: tuple[int, int, int, int], kind: int = _CAR) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), kind))


def _in_whole_picture(found: Detections) -> Detect:
    nothing = _found()
    return lambda part: found if part.shape[:2] == _SIZE else nothing


def test_a_car_gets_two_white_lamps_and_lights_the_road() -> None:
    light = vehicle_lights(_street(), _in_whole_picture(_found(_BOX)))
    row = light[80 + round(0.66 * 30)]
    assert (row[[68, 92]].min(axis=1) > 0.6).all(), "no lamp at either side"
    assert row[80].max() < 0.3, "no gap between the lamps"
    assert light[115, 80].min() > 0.02, "the road before it is dark"
    assert light[20].max() == 0


def test_a_rear_with_red_lamps_stays_red() -> None:
    day = _street()
    day[98:102, 62:66] = day[98:102, 94:98] = (40, 40, 200)
    light = vehicle_lights(day, _in_whole_picture(_found(_BOX)))
    lamp = light[99, 68]
    assert lamp[2] > 5 * lamp[:2].max()
    assert light[115, 80].max() < 0.02, "tail lights do not light the road"


def test_what_is_seen_in_a_tile_too_is_lit_once() -> None:
    def detect(part: Pixels) -> Detections:
        # Where the car stands, told by its colour: in the whole picture and in every tile.
        rows, columns = np.nonzero((part == 70).all(axis=2))
        if not rows.size:
            return _found()
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        return _found((int(left), int(top), int(right), int(bottom)))

    once = vehicle_lights(_street(), _in_whole_picture(_found(_BOX)))
    assert np.array_equal(vehicle_lights(_street(), detect), once)


def test_people_and_what_fills_the_picture_get_no_lamps() -> None:
    wide = _found((0, 0, 230, 150))
    person = _found(_BOX, kind=_PERSON)
    for found in (wide, person, _found()):
        assert not vehicle_lights(_street(), _in_whole_picture(found)).any()


def test_lamps_at_the_edge_of_the_picture_are_cut_off() -> None:
    corner = (-10, 140, 12, 170)
    light = vehicle_lights(_street(), _in_whole_picture(_found(corner)))
    assert light.shape == (*_SIZE, 3)
    assert np.isfinite(light).all()


def _segments(kind: int) -> Segment:
    def segment(_image: Pixels) -> npt.NDArray[np.int64]:
        return np.full((512, 1024), kind, np.int64)

    return segment


def _facade() -> Pixels:
    day = np.full((200, 300, 3), 170, np.uint8)
    day[40:52, 40:50] = 30
    day[40:52, 80:90] = 90
    return day


def test_the_less_dark_windows_of_a_facade_are_lit_warmly() -> None:
    light = window_lights(_facade(), _segments(_BUILDING))
    blue, green, red = light[46, 85]
    assert red > green > blue > 0.1
    assert light[46, 45, 2] < 0.6 * light[46, 85, 2]
    assert light[150].max() == 0


def test_only_facades_have_windows() -> None:
    assert not window_lights(_facade(), _segments(_SKY)).any()


def test_nothing_is_lit_in_leaves() -> None:
    day = _facade()
    day[..., 1] += 30
    assert not window_lights(day, _segments(_BUILDING)).any()


def test_lights_burn_by_night_less_at_dusk_and_by_their_share() -> None:
    day = _street()
    lights = np.zeros((*_SIZE, 3), np.float32)
    lights[90, 70] = 0.5
    plain, lit = relight_photo(day), relight_photo(day, lights)

    def linear(image: Pixels) -> float:
        return float((image[90, 70].astype(np.float32) / 255).mean() ** 2.2)

    assert linear(lit.night) - linear(plain.night) > 0.4
    assert abs(linear(lit.dim) - linear(plain.dim) - 0.5 * DIM_LAMPS) < 0.02
    assert 0.2 < linear(lit.dusk) - linear(plain.dusk) < 0.4
    assert np.array_equal(np.delete(lit.night, 90, axis=0), np.delete(plain.night, 90, axis=0))
