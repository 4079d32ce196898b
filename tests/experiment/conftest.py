from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


@pytest.fixture
def make_certificate() -> Callable[[Noise], Certificate]:
    """Thirty objects of three classes, whose labels are ``i % 3``: 24 predicted right, and one
    abstention.
    """

    def make(noise: Noise) -> Certificate:
        transform = HierarchicalNodeFeatureNoise(0.9, noise)
        y = np.arange(30) % 3
        prediction = np.where(np.arange(30) < 24, y, (y + 1) % 3)
        p_lower = np.linspace(0.999, 0.6, 30)
        p_lower[0] = 0.3
        return Certificate.from_bounds(transform, prediction, p_lower, 1 - p_lower)

    return make
