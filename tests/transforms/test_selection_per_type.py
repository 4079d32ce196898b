from __future__ import annotations

from collections.abc import Callable

import pytest

from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection
from pyg_hiersmooth.serialization import to_dict
from pyg_hiersmooth.transforms.selection_per_type import SelectionPerType

SELECTIONS = SelectionPerType({"paper": 0.5, "author": FixedSizeSelection(2)})


def test_each_type_has_its_own() -> None:
    assert list(SELECTIONS.by_type) == ["paper", "author"]
    paper, author = SELECTIONS.by_type.values()
    assert isinstance(paper, BernoulliSelection) and paper.p == 0.5
    assert isinstance(author, FixedSizeSelection) and author.size == 2
    assert str(SELECTIONS) == (
        "{'paper': BernoulliSelection(p=0.5), 'author': FixedSizeSelection(size=2)}"
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda: SELECTIONS.sample(3, RandomStream(0)),
        lambda: SELECTIONS.prob_all_selected(0),
        lambda: SELECTIONS.prob_all_selected(1, 3),
    ],
)
def test_nothing_is_certified_for_several_types(ask: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"node types \['paper', 'author'\], but votes"):
        ask()


def test_it_is_not_written_to_a_file() -> None:
    with pytest.raises(ValueError, match=r"'by_type' must hold plain numbers .* \(got dict\)"):
        to_dict(SELECTIONS)


def test_there_must_be_a_type() -> None:
    with pytest.raises(ValueError, match="must name at least one node type"):
        SelectionPerType({})
