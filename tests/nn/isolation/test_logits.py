from __future__ import annotations

import pytest
import torch

from pyg_hiersmooth.nn.isolation.logits import logits_match


def test_a_match_is_up_to_rounding() -> None:
    logits = torch.tensor([[1.0, 1e4]])
    assert logits_match(logits * (1 + 1e-6), logits)
    assert not logits_match(logits + torch.tensor([[0.2, 0.0]]), logits)
    assert not logits_match(logits, logits[:, :1])


def test_tiny_logits_match_as_closely_as_others() -> None:
    logits = torch.tensor([[1.0, 0.5], [0.0, 2.0]])
    for size in (1.0, 1e-6, 1e-20):
        assert logits_match(logits * size * (1 + 1e-7), logits * size)
        assert not logits_match(logits * size * (1 + 1e-3), logits * size)
    assert logits_match(logits[:0], logits[:0]) and not logits_match(logits[:1], logits)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("share", [1e-1, 1e-3, 1e-5, 1e-7])
def test_an_offset_of_all_classes_hides_nothing_in_double_precision(
    offset: float, share: float
) -> None:
    gap = 0.01
    logits = torch.tensor([[0.0, gap], [2 * gap, 0.0]], dtype=torch.float64) + offset
    moved = logits + torch.tensor([[share * gap, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert not logits_match(moved, logits)
    assert logits_match(logits + 1e3, logits + 1e3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_low_precision_matches_only_where_rounding_decides_no_vote(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1000.0, 1000.01], [1000.02, 1000.0]], dtype=torch.float64)
    low = logits.to(dtype)
    assert logits_match(low, low)
    above = torch.nextafter(low.float(), torch.tensor(2000.0)).to(dtype)
    if not torch.equal(above, low):
        moved = low.clone()
        moved[0, 0] = above[0, 0]
        assert not logits_match(moved, low)


def test_what_all_classes_share_counts_as_well() -> None:
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert not logits_match(logits + 1e-6, logits)


def test_whole_numbers_match_if_equal() -> None:
    counts = torch.tensor([[1, 2]])
    assert logits_match(counts, counts.clone()) and not logits_match(counts + 1, counts)
