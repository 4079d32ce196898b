r"""The column that tells a model which rows were selected, and models that do not expect it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

TOLD = " (the last is the indicator)"


def remedy_without_indicator(
    transform: Any, answer: Callable[[Tensor], Any], features: Tensor
) -> str:
    r"""What to do where a model that failed on features takes them without the indicator; empty
    where it does not, or they have none.

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
    return (
        f". It takes {features.size(1) - 1} features, those without the indicator: pass "
        f"append_indicator=False to {type(transform).__name__}, or give the model one input more"
    )
