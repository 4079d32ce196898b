r"""The column that tells a model which rows were selected, and models that do not expect it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

LAST_IS_INDICATOR = " (the last is the indicator)"


def remedy_without_indicator(
    transform: Any, answer: Callable[[Tensor], Any], features: Tensor
) -> str:
    r"""The remedy to suggest if a model that failed on features accepts them without the indicator;
    empty if it does not, or there is no indicator.

    Args:
        transform: What made the features.
        answer (Callable): Calls the model on features.
        features (torch.Tensor): Those on which it failed, ``[N, D + 1]``.
    """
    if not (isinstance(transform, HierarchicalNodeFeatureNoise) and transform.append_indicator):
        return ""
    try:
        answer(features[:, :-1])
    except Exception:  # then it is not the indicator, and the caller raises the first error
        return ""
    takes = f". It takes {features.size(1) - 1} features"
    if _has_indicator_already(features):
        return (
            f"{takes}, but the data have one more, whose last column is 0 or 1 as an indicator is: "
            "they seem to carry the noise already, so pass the clean data"
        )
    return (
        f"{takes}, those without the indicator: pass "
        f"append_indicator=False to {type(transform).__name__}, or give the model one input more"
    )


def _has_indicator_already(features: Tensor) -> bool:
    r"""Whether the last column before the indicator looks like another one: in rows without noise
    it alone is binary.
    """
    if features.layout != torch.strided or features.size(1) < 3:
        return False
    clean = features[features[:, -1] == 0, :-1]
    binary = ((clean == 0) | (clean == 1)).all(dim=0)
    return clean.size(0) > 1 and bool(binary[-1]) and not bool(binary[:-1].all())
