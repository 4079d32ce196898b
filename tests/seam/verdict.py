"""The two outcomes that are allowed: the right votes, or a refusal that says why."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.errors import ImpureModelError, NotCertifiableError

REFUSALS = (ValueError, ImpureModelError, NotCertifiableError)
"""Errors that say why; of their subclasses none, which a library raises somewhere below."""


def assert_votes(votes: Tensor, truth: Tensor) -> None:
    """Votes are the true ones, and the truth is none that a constant model would reach."""
    num_samples = int(truth[0].sum())
    assert bool((truth.max(dim=1).values < num_samples).any()), "the noise changes no vote"
    wrong = int((votes - truth).clamp(min=0).sum())
    assert wrong == 0, f"{wrong} of {int(truth.sum())} votes are wrong"
    assert torch.equal(votes, truth)


def assert_refusal(error: BaseException, *names: str) -> None:
    """One sentence that has one of the names in it, as a word of its own."""
    text = str(error)
    assert type(error) in REFUSALS
    assert "\n" not in text and len(text) < 500, f"not one sentence: {text}"
    assert not names or any(re.search(rf"\b{re.escape(name)}\b", text) for name in names), (
        f"none of {names} in: {text}"
    )


def refused(run: Callable[[], object], *names: str) -> None:
    """The call ends in a refusal that has one of the names in it."""
    with pytest.raises(ValueError) as caught:
        run()
    assert_refusal(caught.value, *names)


def right_or_refused(run: Callable[[], Tensor], truth: Tensor, *names: str) -> None:
    """The call returns the true votes, or ends in a refusal that has one of the names in it."""
    try:
        votes = run()
    except ValueError as error:
        assert_refusal(error, *names)
    else:
        assert_votes(votes, truth)
