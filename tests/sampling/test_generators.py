from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from pyg_hiersmooth.sampling.generators import generators_put_back, seed_generators

CPU = torch.device("cpu")


def numbers() -> tuple[float, float, float]:
    return float(torch.rand(1)), float(np.random.rand()), random.random()


def test_all_three_are_seeded() -> None:
    seed_generators(2**62 + 3, CPU)
    first = numbers()
    seed_generators(2**62 + 3, CPU)
    assert numbers() == first
    seed_generators(4, CPU)
    assert all(one != other for one, other in zip(numbers(), first, strict=True))


def test_they_are_put_back_even_after_an_error() -> None:
    seed_generators(1, CPU)
    expected = numbers()
    seed_generators(1, CPU)
    with pytest.raises(ZeroDivisionError), generators_put_back(CPU):
        seed_generators(2, CPU)
        numbers()
        _ = 1 / 0
    assert numbers() == expected
