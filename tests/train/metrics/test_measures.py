from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from dayshift.runtime import quality
from dayshift.train.metrics.flicker import measure_flicker
from dayshift.train.metrics.measures import likeness
from dayshift.train.metrics.probe import DomainProbe
from dayshift.train.metrics.structure import SegmentationAgreement, edge_correlation


def scene(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def test_psnr_and_ssim_agree_with_torchmetrics() -> None:
    a = scene()
    noise = np.random.default_rng(1).normal(0, 12, a.shape)
    b = np.clip(a + noise, 0, 255).astype(np.uint8)
    x, y = (torch.from_numpy(i.transpose(2, 0, 1)[None].astype(np.float64)) for i in (a, b))
    expected = float(peak_signal_noise_ratio(x, y, data_range=255.0))
    assert quality.psnr(a, b) == pytest.approx(expected, abs=1e-4)
    found = structural_similarity_index_measure(x, y, data_range=255.0, return_full_image=True)
    assert isinstance(found, tuple)
    # torchmetrics lets the window hang over the border, and mirrors what is not there.
    inside = found[1][..., 5:-5, 5:-5].mean()
    assert quality.ssim(a, b) == pytest.approx(float(inside), abs=1e-4)


def test_equal_images_have_a_psnr_that_json_can_hold() -> None:
    found = likeness(255 - scene(), scene(), scene())
    assert found["psnr_db"] == 100
    assert found["ssim"] == pytest.approx(1)
    assert found["psnr_db_source"] < 10


def test_edges_that_are_weaker_but_in_place_correlate_fully() -> None:
    image = scene()
    assert edge_correlation(image, image) == pytest.approx(1)
    assert edge_correlation(image, image // 2) > 0.99
    assert abs(edge_correlation(image, scene(seed=1))) < 0.3
    assert edge_correlation(image, np.full_like(image, 7)) == 0


def test_agreement_is_the_mean_iou_of_the_classes_that_count() -> None:
    before = np.zeros((10, 100), np.int64)
    before[5:] = 1
    before[0, 0] = 2  # too few pixels to count
    before[9, 50:] = 3  # is ignored
    after = before.copy()
    after[5, :50] = 0
    agreement = SegmentationAgreement(
        lambda image: np.asarray(image[..., 0], np.int64), classes=4, ignore=3, least_share=0.01
    )
    agreement.add_maps(before, after)
    # Class 0: 499 of 499 + 50; class 1: 400 of 450.
    assert agreement.value() == pytest.approx((499 / 549 + 400 / 450) / 2)


def test_agreement_of_nothing_is_nothing() -> None:
    assert SegmentationAgreement(lambda _: np.zeros((2, 2), np.int64), classes=2).value() is None


def test_the_probe_tells_two_domains_apart_and_is_deterministic() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(200, 10)), rng.normal(size=(60, 10)) + 1.5
    probe = DomainProbe(source[:100], target[:30])
    assert probe.share_of_target(target[30:]) > 0.9
    assert probe.share_of_target(source[100:]) < 0.1
    again = DomainProbe(source[:100], target[:30])
    between = (source[:60] + target) / 2
    assert again.share_of_target(between) == probe.share_of_target(between)


def panning(count: int = 6) -> Iterator[np.ndarray]:
    wide = scene(96, 200)
    for place in range(count):
        yield np.ascontiguousarray(wide[:, 3 * place : 3 * place + 128])


def test_darkening_every_frame_alike_flickers_no_more_than_the_source() -> None:
    found = measure_flicker(panning(), lambda frame: frame // 2)
    assert found is not None
    assert found.pairs == 5
    assert found.warping_ratio == pytest.approx(1, abs=0.15)
    assert found.change_ratio == pytest.approx(0.5, abs=0.05)
    # What moved is followed: the warped difference is far below the plain one.
    assert found.source_warping_error * 10 < found.source_change


def test_changing_brightness_is_flicker() -> None:
    gains = iter((0.5, 0.7) * 3)

    def unsteady(frame: np.ndarray) -> np.ndarray:
        return (frame * next(gains)).astype(np.uint8)

    found = measure_flicker(panning(), unsteady)
    assert found is not None
    assert found.warping_ratio > 5


def test_one_frame_has_no_flicker() -> None:
    assert measure_flicker(panning(1), lambda frame: frame) is None
