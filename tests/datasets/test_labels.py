from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_hiersmooth.datasets.labels import as_labels, check_classes

Y = torch.tensor([0, 2, 1, 0])


@pytest.mark.parametrize(
    "y", [Y, Y.view(4, 1), Y.view(1, 4), Y.int(), Y.to(torch.uint8), Y.numpy(), Y.tolist()]
)
def test_the_same_labels(y: Any) -> None:
    assert torch.equal(as_labels(y, 4), Y) and as_labels(y).dtype == torch.int64


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y.float(), "as integers .*pass y.long"),
        (torch.eye(4), r"pass y.argmax\(-1\)"),
        (torch.ones(4, 2), r"got torch.float32 of shape \[4, 2\]\)$"),
        (torch.zeros(5).long(), r"4 in total .*shape \[5\]"),
        (Y - 1, r"got -1\): leave those without a class out"),
        ([], r"shape \[0\]"),
        ("abcd", "got str"),
        (np.array(["a"]), "got ndarray"),
    ],
)
def test_what_are_none(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^'y' must hold one class .* for every node.*{message}"):
        as_labels(y, 4)


def test_unknown_ones_may_be_left_out() -> None:
    y = torch.tensor([-1, 2, -1, 0])
    assert torch.equal(as_labels(y, 4, torch.tensor([1, 3])), y)
    with pytest.raises(ValueError, match="got -1"):
        as_labels(y, 4, torch.tensor([1, 2]))


def test_classes_beyond_the_logits() -> None:
    check_classes(Y, 3)
    with pytest.raises(ValueError, match=r"classes between 0 and 1, as the model has 2 logits"):
        check_classes(Y, 2)
    with pytest.raises(ValueError, match="count from 1 on, pass y - 1"):
        check_classes(Y + 1, 3)


@given(st.lists(st.integers(-3, 300), max_size=5), st.sampled_from(["int16", "float64", "bool"]))
def test_any_labels_are_these_or_refused(values: list[int], dtype: str) -> None:
    y = torch.tensor(values, dtype=torch.int64).to(getattr(torch, dtype))
    try:
        labels = as_labels(y)
    except ValueError as error:
        assert str(error).startswith("'y' must hold one class")
        assert not values or dtype == "float64" or min(values) < 0
    else:
        assert labels.tolist() == [int(value) for value in y]
