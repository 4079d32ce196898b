from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from pyg_hiersmooth.certificates import certify_votes
from pyg_hiersmooth.noise import SparseFlipNoise, flips
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed


def binary(num_rows: int, num_columns: int, density: float = 0.3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(num_rows, num_columns, generator=generator) < density).float()


@pytest.mark.parametrize(
    ("p_plus", "p_minus"), [(0.05, 0.8), (0.0, 0.3), (0.4, 0.0), (0.9, 0.7), (1.0, 0.5), (0.0, 1.0)]
)
def test_every_position_flips_with_its_probability(p_plus: float, p_minus: float) -> None:
    """Many copies of one small object, drawn at once."""
    x, copies = binary(4, 6), 20_000
    selected = torch.tensor([True, False, True, True])
    draw = SparseFlipNoise(p_plus, p_minus).prepare(x.repeat(copies, 1))
    noisy = draw(selected.repeat(copies), RandomStream(1)).view(copies, 4, 6)
    flipped = noisy != x
    assert not flipped[:, 1].any()
    probability = torch.where(x == 1, p_minus, p_plus)[selected].flatten().tolist()
    flipped = flipped[:, selected].flatten(1)
    for count, p in zip(flipped.sum(0).tolist(), probability, strict=True):
        assert binomtest(count, copies, p).pvalue > FALSE_ALARM / len(probability)
    both = (flipped.T.double() @ flipped.double()).long()
    pairs = len(probability) * (len(probability) - 1) // 2
    for i in range(len(probability)):
        for j in range(i):
            p = probability[i] * probability[j]
            assert binomtest(int(both[i, j]), copies, p).pvalue > FALSE_ALARM / pairs


def test_draws_of_one_sampler_are_exact_whatever_is_selected() -> None:
    x, copies = binary(3, 5), 400
    stream = RandomStream(2)
    flipped, times = torch.zeros(3, 5), torch.zeros(3, 1)
    draw = SparseFlipNoise(0.2, 0.6).prepare(x.repeat(copies, 1))
    for run in range(60):
        selected = torch.tensor([run % 2 == 0, run % 3 == 0, True])
        noisy = draw(selected.repeat(copies), stream).view(copies, 3, 5)
        flipped += (noisy != x).sum(0)
        times += copies * selected.view(-1, 1)
    for count, trials, one in zip(
        flipped.flatten().tolist(), times.expand(3, 5).flatten().tolist(), x.flatten(), strict=True
    ):
        p = 0.6 if one else 0.2
        assert binomtest(int(count), int(trials), p).pvalue > FALSE_ALARM / 15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.long])
def test_samples_leave_the_rest_alone(dtype: torch.dtype) -> None:
    x = binary(30, 20).to(dtype)
    before = x.clone()
    selected = torch.arange(30) % 3 == 0
    out = SparseFlipNoise(0.3, 0.5).sample(x, selected, RandomStream(0))
    assert torch.equal(x, before)
    assert out.dtype == dtype and out.shape == x.shape
    assert torch.equal(out[~selected], x[~selected])
    assert not torch.equal(out[selected], x[selected])
    assert ((out == 0) | (out == 1)).all()


@pytest.mark.parametrize("p_plus", [0.0, 0.05, 0.6, 1.0])
@pytest.mark.parametrize("p_minus", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_all_ways_to_draw_agree(
    p_plus: float, p_minus: float, density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, noise = binary(25, 16, density), SparseFlipNoise(p_plus, p_minus)
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(16, 5, generator=generator)
    selections = [torch.rand(25, generator=generator) < p for p in (0.0, 0.3, 0.9, 1.0)]
    for seed, selected in enumerate(selections):
        expected = noise.sample(x, selected, RandomStream(seed))
        hidden = noise.sample_projected(x, weight)(selected, RandomStream(seed))
        torch.testing.assert_close(hidden, expected @ weight)
        assert torch.equal(noise.prepare(x)(selected, RandomStream(seed)), expected)
        for sparse in (x.to_sparse(), x.to_sparse_csr()):
            assert torch.equal(noise.sample(sparse, selected, RandomStream(seed)), expected)
            hidden = noise.sample_projected(sparse, weight)(selected, RandomStream(seed))
            torch.testing.assert_close(hidden, expected @ weight)
        with monkeypatch.context() as patch:
            patch.setattr(flips, "MAX_BITMAP_BYTES", 0)
            searched = noise.sample(x, selected, RandomStream(seed))
        assert torch.equal(searched, expected)


def test_stored_zeros_of_sparse_features_are_zeros() -> None:
    index = torch.tensor([[0, 0, 1], [0, 2, 1]])
    x = torch.sparse_coo_tensor(index, torch.tensor([1.0, 0.0, 1.0]), (2, 3))
    nothing = torch.zeros(2).bool()
    out = SparseFlipNoise(0.5, 0.5).sample(x, nothing, RandomStream(0))
    assert torch.equal(out, x.to_dense())


def test_features_without_rows_or_columns() -> None:
    noise = SparseFlipNoise(0.5, 0.5)
    for shape in ((0, 3), (3, 0)):
        out = noise.sample(torch.zeros(shape), torch.ones(shape[0]).bool(), RandomStream(0))
        assert out.shape == shape


def test_impossible_flips() -> None:
    """One flip in one position, by hand: the clean outcomes have masses 1 - p and p."""
    never_back = SparseFlipNoise(0.0, 0.25)
    # An added one: clean always 0; perturbed 0 only with p_minus.
    assert never_back.lower_bound([0.0, 0.5, 1.0], additions=1).tolist() == [0.0, 0.125, 0.25]
    # A deleted one: clean 1 with 0.75, which perturbed never is.
    least = never_back.lower_bound([0.5, 0.75, 0.875, 1.0], deletions=1)
    assert least == pytest.approx([0.0, 0.0, 0.5, 1.0])
    # Nothing flips: both objects show themselves.
    assert SparseFlipNoise(0.0, 0.0).lower_bound(1.0, additions=1) == 0.0
    assert SparseFlipNoise(1.0, 1.0).lower_bound(1.0, deletions=1) == 0.0


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 4.8e-308, 1e-299])
def test_tiny_probabilities_are_next_to_impossible(tiny: float) -> None:
    mass = np.linspace(0.0, 0.99, 34)
    for budget in ({"additions": 2}, {"deletions": 6}, {"additions": 3, "deletions": 4}):
        bound = SparseFlipNoise(tiny, 0.3).lower_bound(mass, **budget)
        assert bound == pytest.approx(SparseFlipNoise(0.0, 0.3).lower_bound(mass, **budget))
        assert not SparseFlipNoise(tiny, tiny).lower_bound(mass, **budget).any()


def test_additions_and_deletions_swap_with_the_probabilities() -> None:
    mass = np.linspace(0.0, 1.0, 41)
    for p_plus, p_minus in ((0.05, 0.8), (0.3, 0.9), (0.0, 0.4)):
        left = SparseFlipNoise(p_plus, p_minus).lower_bound(mass, additions=3, deletions=5)
        right = SparseFlipNoise(p_minus, p_plus).lower_bound(mass, additions=5, deletions=3)
        assert left == pytest.approx(right, abs=1e-14)


def test_budgets() -> None:
    noise = SparseFlipNoise(0.05, 0.8)
    assert noise.check_budget(additions=2) == {"additions": 2, "deletions": 0}
    assert noise.reach(**noise.check_budget(additions=2, deletions=3)) == 5
    with pytest.raises(TypeError, match=r"takes 'additions' and 'deletions' \(got 'eps'\)"):
        noise.lower_bound(0.9, eps=1.0)
    with pytest.raises(TypeError, match="needs the budget 'additions' or 'deletions'"):
        noise.lower_bound(0.9)
    for value in (-1, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="'deletions' must be a non-negative integer"):
            noise.lower_bound(0.9, deletions=value)


def test_probabilities_and_features_are_checked() -> None:
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="'p_plus' must be a probability"):
            SparseFlipNoise(p, 0.5)
        with pytest.raises(ValueError, match="'p_minus' must be a probability"):
            SparseFlipNoise(0.5, p)
    noise = SparseFlipNoise(0.1, 0.1)
    x = torch.tensor([[0.0, 1.0], [0.0, 0.5]])
    for features in (x, x.to_sparse(), x.to_sparse_csr(), 2 * x.ceil().long()):
        with pytest.raises(ValueError, match="binary features"):
            noise.check_features(features)
    noise.check_features(x.ceil().to_sparse())
    with pytest.raises(ValueError, match="must be finite"):
        noise.check_features(x / 0.0)


def test_repr() -> None:
    assert repr(SparseFlipNoise(0.05, 0.8)) == "SparseFlipNoise(p_plus=0.05, p_minus=0.8)"


def test_the_largest_budgets_are_those_that_sparse_smoothing_prints() -> None:
    """The demonstration of Bojchevski et al. (2020), Cora-ML with 100,000 samples, says
    ``max_ra=6, max_rd=18``: of a node on which all votes agree.
    """
    votes = np.array([[100_000, 0, 0, 0, 0, 0, 0]])
    smoothing = HierarchicalNodeFeatureNoise(1.0, SparseFlipNoise(0.01, 0.6))
    certificate = certify_votes(smoothing, votes // 100, votes, alpha=0.01, kind="binary")
    for name, largest in (("additions", 6), ("deletions", 18)):
        other = {"additions": 0, "deletions": 0}
        robust = [bool(certificate.is_robust(1, **(other | {name: k}))[0]) for k in range(25)]
        assert robust == [k <= largest for k in range(25)]
