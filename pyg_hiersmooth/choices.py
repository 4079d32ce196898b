r"""Closed choices by name, and how other names are refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

Kind = Literal["multiclass", "binary"]
r"""A kind of certificate: what a class must beat, every other class or one half."""

TaskName = Literal["node", "graph"]
r"""What is classified."""

SelectionName = Literal["bernoulli", "partition"]
r"""How entities are selected: each by a coin of its own, or all but one group of a partition."""

AttackMethod = Literal["lp", "milp"]
r"""How the most that one attack changes is bounded: by the linear relaxation, or by branching."""

Part = Literal["test", "val", "val+test"]
r"""What of a split is certified."""


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    r"""Checks that an argument is one of its choices.

    Raises:
        ValueError: If it is not.
    """
    if value not in choices:
        raise ValueError(f"'{name}' must be one of {', '.join(choices)} (got {value!r})")
