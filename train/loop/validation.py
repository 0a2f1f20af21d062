"""Figures by which the best checkpoint of a run is chosen, on its validation images.

| name | of | better |
|---|---|---|
| l1 | mean absolute difference to the true image, in [-1, 1] | lower |
| psnr | of the translation against the true image, in dB | higher |
| ssim | likewise | higher |
| kid | kernel distance between translations and images of the target domain | lower |

The first three need pairs, or labels with their photos; kid needs none, and the weights of a
feature network (see `metrics.weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from dayshift.runtime import quality
from dayshift.runtime.image import Pixels
from dayshift.train.data import Dataset, Sample
from dayshift.train.data.images import to_image
from dayshift.train.loop.job import Metric, Translators
from dayshift.train.loop.preview import translate_sample
from dayshift.train.loop.settings import MetricName

_SAMPLES = 64  # spread over all: more make a validation as long as an epoch


def make_metric(name: MetricName, dataset: Dataset) -> Metric:
    """Return a metric of the first direction that a method translates in.

    Raises:
        WeightsError: kid is wanted and there are no weights for it.
    """
    match name:
        case "l1":
            return Metric(name, "lower", _mean(dataset, _l1))
        case "psnr":
            return Metric(name, "higher", _mean(dataset, _of_images(quality.psnr)))
        case "ssim":
            return Metric(name, "higher", _mean(dataset, _of_images(quality.ssim)))
        case "kid":
            return Metric(name, "lower", _kernel_distance(dataset))


def _mean(
    dataset: Dataset, difference: Callable[[Tensor, Tensor], float]
) -> Callable[[Translators], float]:
    def measure(translators: Translators) -> float:
        direction, network = next(iter(translators.items()))
        target = direction[-1]
        values = [
            difference(translate_sample(network, direction, sample), sample[target])
            for sample in _spread(dataset)
        ]
        return float(np.mean(values))

    return measure


def _kernel_distance(dataset: Dataset) -> Callable[[Translators], float]:
    from dayshift.train.metrics.distances import kernel_distance
    from dayshift.train.metrics.features import open_features
    from dayshift.train.metrics.weights import weights_folder

    features = open_features(weights_folder())[0]

    def measure(translators: Translators) -> float:
        direction, network = next(iter(translators.items()))
        fakes = [
            to_image(translate_sample(network, direction, sample)) for sample in _spread(dataset)
        ]
        reals = [to_image(sample[direction[-1]]) for sample in _spread(dataset)]
        return kernel_distance(features(fakes), features(reals))

    return measure


def _l1(fake: Tensor, real: Tensor) -> float:
    return float((fake - real).abs().mean())


def _of_images(measure: Callable[[Pixels, Pixels], float]) -> Callable[[Tensor, Tensor], float]:
    return lambda fake, real: measure(to_image(fake), to_image(real))


def _spread(dataset: Dataset) -> Iterator[Sample]:
    count = min(_SAMPLES, len(dataset))
    return (dataset.sample(index * len(dataset) // count, 0) for index in range(count))
