from __future__ import annotations

from typing import Any

import pytest
import torch

from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (None, [0, 1, 2, 3]),
        (torch.tensor([True, False, True, False]), [0, 2]),
        ([3, 1, 3], [3, 1, 3]),
        (range(2), [0, 1]),
    ],
)
def test_masks_and_indices(index: Any, expected: list[int]) -> None:
    targets = as_target_index(index, 4, "graph")
    assert targets.dtype == torch.int64 and targets.tolist() == expected


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([4], "must lie between 0 and 3"),
        ([-1], "must lie between 0 and 3"),
        ([], "must name at least one"),
        ([0.5], "must be a mask or integers"),
        (torch.ones(3, dtype=torch.bool), r"must have the shape \[4\]"),
        (torch.zeros(2, 2, dtype=torch.long), "must name at least one"),
    ],
)
@pytest.mark.parametrize(("noun", "name"), [("node", "node_index"), ("image", "index")])
def test_bad_targets(index: Any, message: str, noun: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' .*{message}"):
        as_target_index(index, 4, noun)
