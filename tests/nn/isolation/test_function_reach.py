from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.nn.isolation.function_reach import is_of_library, reach

x = torch.zeros(2)
TABLE = [1]
LAST = 0
helpers = types.ModuleType("helpers")
helpers.table = TABLE  # type: ignore[attr-defined]
helpers.other = [2]  # type: ignore[attr-defined]


def test_names_of_attributes_reach_no_global() -> None:
    def read(data: Any) -> Any:
        data.TABLE = data.x
        return data

    assert reach(read) == {}


def test_a_function_inside_reaches_for_the_one_around() -> None:
    assert reach(lambda: [len(TABLE) for _ in range(2)]) == {"TABLE": TABLE}
    assert reach(lambda: lambda: sum(i for i in TABLE)) == {"TABLE": TABLE}


def test_a_global_that_is_only_written_is_reached() -> None:
    def write() -> None:
        global LAST
        LAST = 1

    assert reach(write) == {"LAST": LAST}


def test_defaults_attributes_and_closures_are_reached() -> None:
    kept = [3]

    def call(one: int, two: int = 2, *, three: int = 3) -> int:
        return one + two + three + len(kept)

    call.four = 4  # type: ignore[attr-defined]
    assert reach(call) == {"two": 2, "three": 3, "four": 4, "kept": kept}


def test_a_cell_that_is_not_filled_hides_nothing_else() -> None:
    def call() -> Any:
        return later, TABLE

    assert reach(call) == {"TABLE": TABLE}
    later = 1
    assert reach(call) == {"TABLE": TABLE, "later": later}


def test_of_a_module_what_is_named_is_reached() -> None:
    reached = reach(lambda: helpers.table)  # type: ignore[attr-defined]
    assert reached == {"helpers": helpers, "helpers.table": TABLE}
    assert reach(lambda: np.random.rand()) == {"np": np}
    assert reach(lambda: pytest.raises) == {"pytest": pytest}


def test_libraries_are_told_by_their_names() -> None:
    assert is_of_library("torch_geometric.nn.conv") and is_of_library("builtins")
    assert not is_of_library("torch_user") and not is_of_library(None)


def test_defaults_without_names_are_reached() -> None:
    def call(*args: Any) -> Any:
        return args

    call.__defaults__ = (1, TABLE)
    assert reach(call) == {"[0]": 1, "[1]": TABLE}
