from __future__ import annotations

import pytest
import torch

from pyg_hiersmooth.datasets import split_graphs


def test_folds_are_stratified_and_disjoint() -> None:
    y = torch.tensor([0] * 30 + [1] * 60)
    splits = [split_graphs(y, fold, 10, seed=3) for fold in range(10)]
    assert sorted(torch.cat([split.test_index for split in splits]).tolist()) == list(range(90))
    for i, split in enumerate(splits):
        assert y[split.test_index].bincount().tolist() == [3, 6]
        assert torch.equal(split.val_index, splits[(i + 1) % 10].test_index)
        parts = torch.cat([split.train_index, split.val_index, split.test_index])
        assert sorted(parts.tolist()) == list(range(90))
    assert not torch.equal(split_graphs(y, seed=4).test_index, split_graphs(y).test_index)


def test_calibration_and_test_graphs_are_a_random_cut() -> None:
    y = torch.tensor([0] * 30 + [1] * 60)
    shares = []
    for seed in range(60):
        plain, split = split_graphs(y, seed=seed), split_graphs(y, seed=seed, calibration=31)
        parts = split.train_index, split.val_index, split.test_index, split.calibration_index
        assert list(map(len, parts)) == [41, 9, 9, 31]
        assert sorted(torch.cat(parts).tolist()) == list(range(90))
        assert torch.equal(split.val_index, plain.val_index)
        assert torch.isin(split.train_index, plain.train_index).all()
        assert split.train_index.tolist() != plain.train_index[:41].tolist()
        shares.append(torch.isin(split.test_index, plain.test_index).double().mean())
    # Nine of 40 mixed graphs are tested, whichever they are: 540 draws, four standard errors.
    assert torch.stack(shares).mean().item() == pytest.approx(9 / 40, abs=0.07)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"calibration": 16}, "less than the 16 graphs for training .got 16"),
        ({"calibration": -1}, "'calibration' must be an integer of at least 0"),
        ({"calibration": 0.5}, "'calibration' must be an integer of at least 0"),
        ({"fold": 10}, r"'fold' must be in \[0, 10\) .got 10"),
        ({"num_folds": 2}, "'num_folds' must be at least 3"),
        ({"num_folds": 21}, "'num_folds' must be at least 3 and at most the 20 graphs"),
    ],
)
def test_bad_folds(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_graphs(torch.zeros(20, dtype=torch.long), **arguments)
