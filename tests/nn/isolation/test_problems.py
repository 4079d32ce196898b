from __future__ import annotations

import pytest

from pyg_hiersmooth.errors import ImpureModelError, Problem
from pyg_hiersmooth.nn.isolation.problems import collecting, problem_of, refuse


def test_a_refusal_is_an_error_unless_problems_are_collected() -> None:
    found: list[Problem] = []
    with collecting(found):
        refuse("one")
        with pytest.raises(ImpureModelError, match="another way"), collecting(None):
            refuse("another way is tried then")
        refuse("two")
    with pytest.raises(ImpureModelError, match="three"):
        refuse("three")
    assert [str(each) for each in found] == ["ImpureModelError: one", "ImpureModelError: two"]


def test_problems_are_raised_again_after_an_error() -> None:
    with pytest.raises(RuntimeError), collecting([]):
        raise RuntimeError
    with pytest.raises(ImpureModelError):
        refuse("raised")


def test_an_error_in_one_line() -> None:
    assert problem_of(ValueError("a\n  b")) == Problem(ValueError, "a b")
    assert problem_of(MemoryError()) == Problem(MemoryError, "MemoryError")
