from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pyg_hiersmooth.study.methods import METHODS, Method
from pyg_hiersmooth.study.plan import Run
from pyg_hiersmooth.study.results import Result, Tally

MakeResult = Callable[..., Result]


@pytest.fixture
def make_result() -> MakeResult:
    """A result of a run on 100 nodes, with given tallies of test and validation nodes."""

    def make(
        method: str | Method = "hierarchical flips",
        test: Tally | None = None,
        val: Tally | None = None,
        seed: int = 13,
        **run: Any,
    ) -> Result:
        tally = test or Tally(100, 80, 5, [[[80, 60, 50], [70, 40]], [[80, 30]]])
        chosen = METHODS[method] if isinstance(method, str) else method
        options = {"dataset": "Cora", "model": "gcn", "method": chosen} | run
        parts = {
            "test": {"multiclass": tally, "binary": tally},
            "val": {"multiclass": val or tally, "binary": val or tally},
        }
        return Result(Run.of(seed=seed, **options), parts, 1.5, {"torch": "2"})

    return make
