"""Lists, datasets and loaders, whose items keep their order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler
from torch_geometric.data import Data

from pyg_hiersmooth.nn.calls.inputs.items import all_items, same


class Letters(Dataset[str]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> str:
        return "abcd"[i]


class Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_order_is_that_of_the_dataset(shuffle: bool) -> None:
    for data in (tuple("abcd"), Letters(), DataLoader(Letters(), batch_size=3, shuffle=shuffle)):
        assert all_items(data, "data") == list("abcd")


def test_what_holds_no_items() -> None:
    assert all_items(3, "data") is None and all_items("abcd", "data") is None


def test_items_that_are_left_out_and_unknown_lengths_are_refused() -> None:
    loader = DataLoader(Letters(), sampler=SubsetRandomSampler([0, 2]))
    with pytest.raises(ValueError, match="'data' as a DataLoader must go through all"):
        all_items(loader, "data")
    loader = DataLoader(Letters(), batch_sampler=[[0], [2]])
    with pytest.raises(ValueError, match=r"must go through all .* \(got the sampler list\)"):
        all_items(loader, "data")
    with pytest.raises(ValueError, match=r"'data' must have a length \(got Endless\)"):
        all_items(Endless(), "data")


class Drawing(Letters):
    """Gives another item every time."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        self.draw = draw

    def __getitem__(self, i: int) -> Any:
        return self.draw()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(2),
        lambda: (torch.rand(2), 1),
        lambda: {"image": np.random.default_rng().random(2)},
        lambda: Data(x=torch.rand(2, 2)),
        lambda: Data(x=torch.rand(2, 2).to_sparse_csr()),
        lambda: torch.rand(()).item(),
        lambda: torch.ones(int(torch.randint(1, 1_000, ()))),
    ],
)
def test_items_that_are_drawn_are_refused(draw: Callable[[], Any]) -> None:
    for data in (Drawing(draw), DataLoader(Drawing(draw))):
        with pytest.raises(ValueError, match=r"the same item every time .* 'transform'"):
            all_items(data, "data")


@pytest.mark.parametrize(
    "item",
    [
        torch.tensor([1.0, float("nan")]),
        np.array([1.0, np.nan]),
        Data(x=torch.eye(2).to_sparse_coo(), name="a"),
        ["a", {"b": (1, None)}],
        np.array(["a"]),
    ],
)
def test_items_that_are_made_anew_are_the_same(item: Any) -> None:
    items = all_items(Drawing(lambda: copy.deepcopy(item)), "data")
    assert items is not None and len(items) == 4


def test_nearly_the_same_is_not_the_same() -> None:
    one = torch.ones(3)
    for other in (one.double(), torch.ones(1, 3), one + 1e-6, one.to_sparse(), "one"):
        assert not same(one, other)
    assert same(one, one.clone()) and not same([one], [one, one])
