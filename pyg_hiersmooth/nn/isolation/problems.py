r"""Stops at the first problem of a model, or collects them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pyg_hiersmooth.errors import ImpureModelError, Problem

_PROBLEMS: ContextVar[list[Problem] | None] = ContextVar("problems", default=None)


def refuse(message: str) -> None:
    r"""Raises an :class:`~pyg_hiersmooth.errors.ImpureModelError`; where problems are collected,
    notes it instead, and the trials go on.
    """
    error, problems = ImpureModelError(message), _PROBLEMS.get()
    if problems is None:
        raise error
    problems.append(problem_of(error))


def problem_of(error: Exception) -> Problem:
    r"""An error as a problem."""
    return Problem(type(error), " ".join(str(error).split()) or type(error).__name__)


@contextmanager
def collecting(problems: list[Problem] | None) -> Iterator[None]:
    r"""Collects what is refused; with :obj:`None`, raises it, where another way is tried then."""
    token = _PROBLEMS.set(problems)
    try:
        yield
    finally:
        _PROBLEMS.reset(token)
