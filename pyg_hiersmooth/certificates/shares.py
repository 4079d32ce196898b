r"""Shares of objects."""

from __future__ import annotations

import numpy as np


def share(mask: np.ndarray) -> float:
    r"""The share of what is true in a mask; 0 of nothing."""
    return float(mask.mean()) if mask.size else 0.0
