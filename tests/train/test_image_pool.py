from __future__ import annotations

import torch
from torch import Tensor

from dayshift.train.methods.image_pool import ImagePool


def numbered(number: int) -> Tensor:
    return torch.full((1, 1, 1, 1), float(number))


def test_until_it_is_full_a_pool_returns_what_it_is_given() -> None:
    pool = ImagePool(5)
    for number in range(5):
        assert pool.exchange(numbered(number)).item() == number
    assert len(pool) == 5


def test_a_pool_of_none_keeps_none() -> None:
    pool = ImagePool(0)
    assert [pool.exchange(numbered(n)).item() for n in range(9)] == list(range(9))
    assert len(pool) == 0


def test_half_of_the_images_are_of_the_past_and_each_place_is_as_likely() -> None:
    torch.manual_seed(0)
    size, count = 10, 8000
    pool = ImagePool(size)
    for number in range(size):
        pool.exchange(numbered(number))
    ages = []
    for number in range(size, size + count):
        ages.append(number - int(pool.exchange(numbered(number)).item()))
    past = [age for age in ages if age]
    assert abs(len(past) / count - 0.5) < 0.02
    # An image leaves with probability 1 / (2 * size) per step: its mean age is 2 * size steps.
    mean_age = sum(past[len(past) // 10 :]) / len(past[len(past) // 10 :])
    assert abs(mean_age / (2 * size) - 1) < 0.1
    # … and the ages are geometric: a share (1 - 1 / (2 * size)) ** k is older than k.
    older = sum(age > 2 * size for age in past) / len(past)
    assert abs(older - (1 - 1 / (2 * size)) ** (2 * size)) < 0.04


def test_nothing_is_lost_or_returned_twice() -> None:
    torch.manual_seed(1)
    pool = ImagePool(4)
    given = list(range(200))
    returned = [int(pool.exchange(numbered(n)).item()) for n in given]
    swapped = [n for n in returned[4:]]
    kept = [int(image.item()) for image in pool.state()]
    # The first four were returned when they came, and kept.
    assert sorted(swapped + kept) == given
    assert returned[:4] == given[:4]


def test_a_pool_returns_copies_without_gradients() -> None:
    pool = ImagePool(2)
    image = torch.ones(2, 1, 1, 1, requires_grad=True)
    shown = pool.exchange(image * 2)
    assert not shown.requires_grad
    shown.zero_()
    assert all(float(kept) == 2 for kept in pool.state())


def test_a_pool_goes_on_as_if_it_had_not_been_saved() -> None:
    torch.manual_seed(2)
    pool, other = ImagePool(3), ImagePool(3)
    for number in range(7):
        pool.exchange(numbered(number))
    other.load(pool.state())
    random = torch.get_rng_state()
    first = [pool.exchange(numbered(n)).item() for n in range(20)]
    torch.set_rng_state(random)
    assert [other.exchange(numbered(n)).item() for n in range(20)] == first
