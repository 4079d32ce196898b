from __future__ import annotations

from typing import Any

import pytest
import torch

from pyg_hiersmooth.nn.calls.logits import check_logits


def test_logits_of_any_float_dtype() -> None:
    check_logits(torch.rand(4, 3), 4, 3)
    check_logits(torch.rand(4, 3).half(), 4)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.rand(4, 2), r"of shape \[4, 3\] \(got \[4, 2\]\)"),
        (torch.rand(3, 3), r"got \[3, 3\]"),
        (torch.rand(4), r"got \[4\]\): of one logit z.*make two"),
        (torch.rand(4, 1), r"got \[4, 1\]\): of one logit z.*make two"),
        (torch.rand(4, 3).long(), "as floats"),
        ((torch.rand(4, 3),), r"got tuple"),
        (None, "got NoneType"),
    ],
)
def test_what_are_none(logits: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_logits(logits, 4, 3)


def test_the_two_logits_that_are_advised_choose_the_same_class() -> None:
    z = torch.randn(50)
    two = torch.stack([-z, z], dim=-1) / 2
    assert torch.equal(two.argmax(-1), (z.sigmoid() > 0.5).long())
    torch.testing.assert_close(two.softmax(-1)[:, 1], z.sigmoid())
