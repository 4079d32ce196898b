from __future__ import annotations

import pytest

from pyg_hiersmooth.choices import DATASETS, check_choice, did_you_mean
from pyg_hiersmooth.datasets import load


def test_datasets_are_those_that_can_be_loaded() -> None:
    assert set(DATASETS) == set(load._LOADERS)


@pytest.mark.parametrize(
    ("value", "meant"), [("Coraa", "Cora"), ("coraml", "Cora_ML"), ("ogbn_arxiv", "ogbn-arxiv")]
)
def test_what_was_meant(value: str, meant: str) -> None:
    assert did_you_mean(value, DATASETS) == f": did you mean {meant!r}?"


def test_nothing_was_meant() -> None:
    assert did_you_mean("xyz", DATASETS) == did_you_mean(None, DATASETS) == ""


def test_other_choices_are_refused_with_what_was_meant() -> None:
    check_choice("noise", "flips", ["flips", "ablation"])
    message = r"'noise' must be one of flips, ablation \(got 'flip'\): did you mean 'flips'\?"
    with pytest.raises(ValueError, match=message):
        check_choice("noise", "flip", ["flips", "ablation"])
