"""Lists, datasets and loaders, whose items keep their order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler

from pyg_hiersmooth.nn.calls.inputs.items import all_items


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
