from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare, geom, kstest

from pyg_hiersmooth.random import RandomStream

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed


def draws_of(stream: RandomStream) -> list[torch.Tensor]:
    return [
        stream.uniform(3),
        stream.normal(2, 2),
        stream.normal(2, dtype=torch.float64),
        stream.exponential(3),
        stream.laplace(3),
        stream.bernoulli(0.5, 64),
        stream.subset(50, 9),
        stream.successes(1_000, 0.1),
    ]


def test_a_seed_and_a_path_determine_all_draws() -> None:
    for left, right in zip(
        draws_of(RandomStream(5, 1, 2)), draws_of(RandomStream(5, 1, 2)), strict=True
    ):
        assert torch.equal(left, right)


def test_other_seeds_and_paths_give_other_draws() -> None:
    addresses = [(5, 1, 2), (5, 2, 1), (5, 1), (5,), (6, 1, 2), (5, 1, 2, 0), (0,), (1,)]
    firsts = {RandomStream(*address).uniform(4).numpy().tobytes() for address in addresses}
    assert len(firsts) == len(addresses)
    correlation = np.corrcoef([RandomStream(0, i).uniform(10_000).numpy() for i in range(4)])
    assert abs(correlation[np.triu_indices(4, 1)]).max() < 0.05  # five standard deviations


def test_a_stream_goes_on_with_its_seed() -> None:
    further = RandomStream(5, 2).beyond(7, 1)
    assert further.path == (2, 7, 1)
    assert torch.equal(further.uniform(9), RandomStream(5, 2, 7, 1).uniform(9))


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ValueError):
        RandomStream(-1)


def test_from_torch_follows_the_seed_of_torch() -> None:
    torch.manual_seed(7)
    first, second = RandomStream.from_torch().uniform(4), RandomStream.from_torch().uniform(4)
    assert not torch.equal(first, second)
    torch.manual_seed(7)
    assert torch.equal(RandomStream.from_torch().uniform(4), first)


def test_dtypes() -> None:
    stream = RandomStream(0)
    assert stream.uniform(2).dtype == torch.float64
    assert stream.successes(10, 0.5).dtype in (torch.int32, torch.int64)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert stream.normal(2, dtype=dtype).dtype == dtype


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("uniform", "uniform"), ("normal", "norm"), ("exponential", "expon"), ("laplace", "laplace")],
)
def test_continuous_draws_have_their_distribution(name: str, distribution: str) -> None:
    draws = getattr(RandomStream(11), name)(100_000).double().numpy()
    assert kstest(draws, distribution).pvalue > FALSE_ALARM


def test_subsets_are_distinct_and_uniform() -> None:
    stream = RandomStream(2)
    counts = np.zeros(10)
    for _ in range(10_000):
        subset = stream.subset(10, 4)
        assert subset.unique().numel() == 4
        counts[subset] += 1
    for count in counts:
        assert binomtest(int(count), 10_000, 0.4).pvalue > FALSE_ALARM / 10


@pytest.mark.one_in(2)
@pytest.mark.parametrize("p", [0.003, 0.05, 0.3, 0.8, 0.99])
def test_successes_are_those_of_independent_trials(p: float) -> None:
    trials, runs = 40, 30_000
    stream = RandomStream(3)
    hits = np.zeros((runs, trials), dtype=bool)
    for run in range(runs):
        hits[run, stream.successes(trials, p)] = True
    every = hits.sum(0)
    for count in every:
        assert binomtest(int(count), runs, p).pvalue > FALSE_ALARM / trials
    for distance in (1, 2, 7):
        # Disjoint pairs within a run are independent of one another.
        left = hits[:, 0 : trials - distance : 2 * distance]
        right = hits[:, distance : trials : 2 * distance][:, : left.shape[1]]
        both = int((left & right).sum())
        assert binomtest(both, left.size, p * p).pvalue > FALSE_ALARM / 3


@pytest.mark.parametrize("p", [0.01, 0.2, 0.7])
def test_gaps_between_successes_are_geometric(p: float) -> None:
    positions = RandomStream(4).successes(int(50_000 / p), p).numpy()
    assert (np.diff(positions) > 0).all()
    gaps = np.diff(positions)
    last = int(geom.ppf(0.999, p))
    observed = np.bincount(np.minimum(gaps, last), minlength=last + 1)[1:]
    probability = geom.pmf(np.arange(1, last + 1), p)
    probability[-1] = geom.sf(last - 1, p)
    enough = probability * gaps.size >= 5
    rest_seen, rest = observed[~enough].sum(), probability[~enough].sum()
    observed, probability = observed[enough], probability[enough]
    if rest > 0:
        observed, probability = np.append(observed, rest_seen), np.append(probability, rest)
    probability = probability / probability.sum()
    assert chisquare(observed, probability * gaps.size).pvalue > FALSE_ALARM
    low = gaps <= np.median(gaps)
    share = low.mean()
    both = int((low[0:-1:2] & low[1::2]).sum())
    assert binomtest(both, low[0:-1:2].size, share * share).pvalue > FALSE_ALARM


def test_extreme_probabilities() -> None:
    stream = RandomStream(0)
    assert stream.successes(10_000, 0.0).numel() == 0
    assert stream.successes(0, 0.5).numel() == 0
    assert torch.equal(stream.successes(10_000, 1.0), torch.arange(10_000))
    # Chance of anything else: below 1e-12 in each of these.
    for tiny in (1e-310, 5e-324, 1e-20):
        assert stream.successes(10**7, tiny).numel() == 0
    assert torch.equal(stream.successes(1_000, 1.0 - 1e-16), torch.arange(1_000))


def test_long_sequences_of_rare_successes_stay_in_range() -> None:
    trials = 10**13
    positions = RandomStream(9).successes(trials, 1e-10)
    assert binomtest(positions.numel(), trials, 1e-10).pvalue > FALSE_ALARM
    assert int(positions[0]) >= 0
    assert int(positions[-1]) < trials
    assert (positions.diff() > 0).all()
    assert kstest(positions.numpy() / trials, "uniform").pvalue > FALSE_ALARM
