from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.errors import UsageError
from dayshift.runtime.image import (
    MapApplier,
    Shrinker,
    apply_maps,
    check_labels,
    check_pixels,
    crop,
    pad_frame,
    padded_size,
    shrink,
    shrink_factor,
)

Pixels = npt.NDArray[np.uint8]
Street = Callable[[int, int], Pixels]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (720, 1280, 4),
        (1280, 720, 4),
        (1080, 1920, 6),
        (2160, 3840, 12),
        (359, 641, 2),
        (270, 480, 2),  # 1.5 rounds up
        (269, 480, 1),
        (90, 90, 1),  # never enlarged
        (16, 16, 1),
    ],
)
def test_the_shrink_factor_brings_the_short_side_nearest_to_180(
    height: int, width: int, expected: int
) -> None:
    assert shrink_factor(height, width, 180) == expected


@pytest.mark.parametrize("multiple", [1, 8])
def test_a_padded_size_is_the_smallest_that_a_graph_of_this_short_side_takes(multiple: int) -> None:
    short_side = 32  # small, so that many factors are met

    def is_legal(height: int, width: int) -> bool:
        step = multiple * shrink_factor(height, width, short_side)
        return height % step == 0 and width % step == 0

    for height in range(16, 260):
        for width in range(height, height + 30, 7):
            padded = padded_size(height, width, multiple=multiple, short_side=short_side)
            assert is_legal(*padded)
            assert padded[0] >= height
            assert padded[1] >= width
            assert padded_size(*padded, multiple=multiple, short_side=short_side) == padded
            smaller_squares = range(height, padded[0])
            assert not any(is_legal(side, side) for side in smaller_squares)
            turned = padded_size(width, height, multiple=multiple, short_side=short_side)
            assert turned == padded[::-1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((720, 1280), (720, 1280)), ((1280, 720), (1280, 720)), ((359, 641), (360, 642))],
)
def test_only_sizes_that_do_not_divide_are_padded(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert padded_size(*size, short_side=180) == expected


def test_without_a_short_side_both_sides_become_multiples() -> None:
    assert padded_size(359, 641, multiple=8) == (360, 648)
    assert padded_size(359, 641) == (359, 641)


def test_padding_repeats_the_last_row_and_column_and_cropping_undoes_it(street: Street) -> None:
    frame = street(21, 30)
    padded = pad_frame(frame, 24, 32)
    assert padded.shape == (24, 32, 3)
    assert np.array_equal(padded[21:, :30], np.repeat(frame[-1:], 3, axis=0))
    assert np.array_equal(padded[:21, 30:], np.repeat(frame[:, -1:], 2, axis=1))
    assert np.array_equal(crop(padded, 21, 30), frame)


def test_a_frame_that_needs_no_padding_is_not_copied(street: Street) -> None:
    frame = street(24, 32)
    assert pad_frame(frame, 24, 32) is frame


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6, 12])
def test_shrinking_averages_blocks_to_within_a_level(factor: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (48, 72, 3), np.uint8)
    blocks = frame.reshape(48 // factor, factor, 72 // factor, factor, 3)
    small = shrink(frame, factor)
    assert small.dtype == np.uint8
    assert np.abs(small - blocks.mean(axis=(1, 3))).max() < 1


def test_shrinking_refuses_sides_that_do_not_divide(street: Street) -> None:
    with pytest.raises(ValueError, match="multiples of 4, got 30x24"):
        shrink(street(24, 30), 4)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_gain_255_and_no_light_return_every_level_unchanged(factor: int) -> None:
    frame = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    gain = np.full((16 // factor, 16 // factor, 3), 255, np.uint8)
    assert np.array_equal(apply_maps(frame, gain, np.zeros_like(gain)), frame)


@pytest.mark.parametrize("opencv", ["as it is here", "truncates"])
def test_maps_of_the_frames_size_are_applied_as_the_formula_says(
    opencv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if opencv == "truncates":
        monkeypatch.setattr("dayshift.runtime.image._truncates", lambda: True)
    levels = np.arange(256, dtype=np.uint8)
    frame, gain = (np.repeat(side[..., None], 3, axis=2) for side in np.meshgrid(levels, levels))
    light = np.random.default_rng(1).integers(0, 256, frame.shape, np.uint8)
    dimmed = np.rint(frame * (gain / 255.0))  # never a half: 255 is odd
    expected = np.minimum(dimmed + light, 255)
    assert (expected == 255).any()  # saturation is part of the test
    assert np.array_equal(apply_maps(frame, gain, light), expected)


def test_small_maps_are_enlarged_bilinearly_between_pixel_centres() -> None:
    frame = np.full((16, 16, 3), 255, np.uint8)
    gain = np.zeros((4, 4, 3), np.uint8)
    gain[:, 2:] = 200
    row = apply_maps(frame, gain, np.zeros_like(gain))[8, :, 0]
    # Centres of the small pixels lie at 5.5 (value 0) and 9.5 (value 200).
    assert row.tolist() == [0] * 6 + [25, 75, 125, 175] + [200] * 6


def test_maps_of_a_padded_frame_apply_to_the_frame_as_if_it_were_padded(street: Street) -> None:
    frame = street(61, 83)
    padded = pad_frame(frame, 64, 84)
    rng = np.random.default_rng(2)
    gain, light = (rng.integers(0, 256, (16, 21, 3), np.uint8) for _ in range(2))
    image = MapApplier(61, 83, 4)(frame, gain, light)
    assert image.shape == frame.shape
    assert image.flags.c_contiguous
    assert np.array_equal(image, crop(apply_maps(padded, gain, light), 61, 83))


def test_a_result_is_not_overwritten_by_the_next(street: Street) -> None:
    frame, applier = street(64, 84), MapApplier(64, 84, 4)
    gain = np.full((16, 21, 3), 100, np.uint8)
    first = applier(frame, gain, np.zeros_like(gain))
    kept = first.copy()
    applier(frame, gain // 2, gain)
    assert np.array_equal(first, kept)


def test_a_result_can_be_put_in_place(street: Street) -> None:
    frame = street(64, 84)
    gain = np.full((16, 21, 3), 100, np.uint8)
    expected = apply_maps(frame, gain, gain)
    out = frame.copy()
    assert apply_maps(out, gain, gain, out=out) is out
    assert np.array_equal(out, expected)


def test_an_unfit_place_for_the_result_is_refused(street: Street) -> None:
    gain = np.full((16, 21, 3), 100, np.uint8)
    with pytest.raises(ValueError, match=r"expected out as uint8 \(64, 84, 3\), got uint8 \(64"):
        apply_maps(street(64, 84), gain, gain, out=np.empty((64, 80, 3), np.uint8))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((32, 32, 3), np.float32), r"got float32 \(32, 32, 3\)"),
        (np.zeros((32, 32), np.uint8), r"got uint8 \(32, 32\)"),
        (np.zeros((32, 32, 4), np.uint8), r"got uint8 \(32, 32, 4\)"),
        (np.zeros((15, 32, 3), np.uint8), "at least 16x16, got 32x15"),
        (None, "got NoneType"),
        ([[1, 2, 3]], "got list"),
    ],
)
def test_what_is_not_a_frame_is_refused_with_what_was_expected(wrong: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_pixels(wrong)


def test_a_strided_frame_is_made_contiguous_and_a_contiguous_one_is_not_copied(
    street: Street,
) -> None:
    frame = street(32, 48)
    assert check_pixels(frame) is frame
    mirrored = check_pixels(frame[:, ::-1])
    assert mirrored.flags.c_contiguous
    assert np.array_equal(mirrored, frame[:, ::-1])


def test_a_label_map_may_be_grey_and_may_not_be_a_picture() -> None:
    labels = np.random.default_rng(0).integers(0, 5, (20, 30), np.uint8)
    labels[3, 4] = 255
    grey = np.repeat(labels[..., None], 3, axis=2)
    np.testing.assert_array_equal(check_labels(grey, 5), labels)
    assert check_labels(labels, 5).flags.c_contiguous
    grey[0, 0, 0] = 9
    for unfit, message in (
        (grey, "got a colour image"),
        (labels.astype(np.int64), r"label numbers, got int64 \(20, 30\)"),
        ("map", "label numbers, got str"),
        (labels[:8], "at least 16x16, got 30x8"),
        (labels + np.uint8(1), "got label 5, expected 0 to 4, or 255"),
    ):
        with pytest.raises(UsageError, match=message):
            check_labels(unfit, 5)


@pytest.mark.parametrize(("size", "factor"), [((72, 130), 6), ((54, 100), 9), ((40, 63), 5)])
def test_a_shrinker_that_is_kept_gives_what_a_new_one_does(
    size: tuple[int, int], factor: int
) -> None:
    rng = np.random.default_rng(0)
    padded = (-(-size[0] // factor) * factor, -(-size[1] // factor) * factor)
    keep = Shrinker()
    for _ in range(3):
        frame = rng.integers(0, 256, (*size, 3), np.uint8)
        np.testing.assert_array_equal(
            keep(frame, padded, factor), shrink(pad_frame(frame, *padded), factor)
        )
