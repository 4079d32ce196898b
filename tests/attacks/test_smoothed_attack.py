from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import AttackResult, SmoothedAttack
from pyg_hiersmooth.attacks.plain_votes import PlainVotes
from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.errors import ContradictionError
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, LaplaceNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Making = Callable[..., SmoothedNodeClassifier]


def certified(
    smoothed: SmoothedNodeClassifier, data: Data, nodes: Any, **options: Any
) -> Certificate:
    return smoothed.certify(data, node_index=nodes, progress=False, num_workers=0, **options)


@pytest.mark.parametrize("of", ["features", "messages", "edges"])
def test_the_bound_is_attained_where_the_model_can_be_broken(
    of: str, world: Data, credulous: Making
) -> None:
    smoothed = credulous(PartitionSelection(5, 1, seed=1), of)
    certificate = certified(smoothed, world, [0, 7])
    attack = SmoothedAttack(smoothed, num_restarts=2)
    largest = int(certificate.largest_r[0])  # type: ignore[index]
    assert largest == 2 and (certificate.prediction == 0).all()
    stands = attack(world, certificate, r=largest, progress=False)
    assert not stands.fallen.any() and stands.accuracy([0, 0]) == 1.0
    falls = attack(world, certificate, r=largest + 1, progress=False)
    assert falls.fallen.all() and falls.accuracy([0, 0]) == falls.certified_accuracy([0, 0]) == 0.0
    for position in range(2):
        attacked = certified(smoothed, falls.attacked(position), [int(falls.index[position])])
        assert attacked.prediction[0] == 1


class Signs(torch.nn.Module):
    """A random function of the signs of what a node is and hears: few attacks are different."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.own, self.heard = torch.randn(2, 1, 3, generator=generator)
        self.bias = torch.randn(3, generator=generator)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        signs = x.sign()
        heard = torch.zeros_like(signs).index_add(0, edge_index[1], signs[edge_index[0]])
        return signs @ self.own + heard @ self.heard + self.bias


def vote_shares(model: Signs, data: Data, selection: PartitionSelection, of: str) -> Tensor:
    """Votes ``[N, C]`` of all masks, without the package's own ablation."""
    votes = torch.zeros(len(data.x), 3, dtype=torch.long)
    for index in range(selection.num_masks):
        hidden = selection.mask(index, [len(data.x)])
        x, edges = data.x, data.edge_index
        if of == "features":
            x = torch.where(hidden.view(-1, 1), 0.0, x)
        else:
            edges = edges[:, ~hidden[edges[0]]]
        votes += torch.nn.functional.one_hot(model(x, edges).argmax(1), 3)
    return votes


def stays(votes: Tensor, prediction: Tensor) -> Tensor:
    """Whether a class is ahead of all others, bool ``[M]``."""
    own = votes.gather(1, prediction.view(-1, 1))
    return own.view(-1) > votes.scatter(1, prediction.view(-1, 1), -1).amax(1)


def every_attack(data: Data, r: int, of: str) -> Any:
    """All graphs of different signs that the adversary can make, and the taken-over nodes."""
    num_nodes = len(data.x)
    for nodes in combinations(range(num_nodes), r):
        for signs in product((-1.0, 0.0, 1.0), repeat=r):
            x = data.x.clone()
            x[list(nodes), 0] = torch.tensor(signs)
            if of == "features":
                yield Data(x=x, edge_index=data.edge_index), ()
                continue
            node = torch.tensor(nodes)
            left = data.edge_index[:, ~torch.isin(data.edge_index, node).any(0)]
            others = [i for i in range(num_nodes) if i not in nodes]
            own = [e for i in nodes for j in others for e in ((i, j), (j, i))]
            for wired in product((False, True), repeat=len(own)):
                edges = [e for e, there in zip(own, wired, strict=True) if there]
                added = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
                yield Data(x=x, edge_index=torch.cat([left, added], 1)), nodes


@pytest.mark.parametrize(("of", "r"), [("features", 1), ("features", 2), ("messages", 1)])
def test_the_worst_case_lies_between_certificate_and_attack(of: str, r: int) -> None:
    num_certified = num_fallen = 0
    for seed in (5, 8, 9):
        generator = torch.Generator().manual_seed(seed)
        pairs = torch.tensor(list(combinations(range(4), 2)))
        pairs = pairs[torch.rand(6, generator=generator) < 0.7]
        x = torch.randint(-1, 2, (4, 1), generator=generator).float()
        data = Data(x=x, edge_index=torch.cat([pairs, pairs.flip(1)]).t())
        model, selection = Signs(seed), PartitionSelection(2 + 2 * r, 2, seed=seed)
        noise = HierarchicalNodeFeatureNoise(selection, AblationNoise(of=of), False)
        smoothed = SmoothedNodeClassifier(model, noise, 3, num_hops=1)
        certificate = certified(smoothed, data, range(4))
        prediction = torch.from_numpy(certificate.prediction).clamp(min=0)
        worst = torch.ones(4, dtype=torch.bool)
        for graph, taken in every_attack(data, r, of):
            fine = stays(vote_shares(model, graph, selection, of), prediction)
            fine[list(taken)] = True  # outside the claim
            worst &= fine
        # Old nodes only, which are all that is listed above.
        result = SmoothedAttack(smoothed, num_restarts=1)(data, certificate, r=r, progress=False)
        decided = ~certificate.abstained
        assert not (result.certified & ~worst.numpy()).any()
        assert not (result.fallen & worst.numpy() & decided).any()
        y = np.where(decided, certificate.prediction, 0)
        true = float((decided & worst.numpy()).mean())
        assert result.certified_accuracy(y) <= true <= result.accuracy(y)
        num_certified += int(result.certified.sum())
        num_fallen += int(result.fallen.sum())
    assert num_certified > 0 and num_fallen > 0


@pytest.mark.parametrize("of", ["features", "messages", "edges"])
def test_an_exact_certificate_that_claims_too_much_is_contradicted(
    of: str, world: Data, credulous: Making, tmp_path: Any
) -> None:
    smoothed = credulous(PartitionSelection(5, 1, seed=1), of)
    certificate = certified(smoothed, world, [3, 4])
    wrong = replace(certificate, largest_r=certificate.largest_r + 1)  # type: ignore[operator]
    with pytest.raises(ContradictionError, match="node 3 was certified as class 0") as caught:
        SmoothedAttack(smoothed)(world, wrong, r=3, progress=False)
    result = caught.value.result
    assert result.index.tolist() == [3] and result.contradicted.all()
    result.save(tmp_path / "found.npz")
    kept = AttackResult.load(tmp_path / "found.npz")
    assert certified(smoothed, kept.attacked(0), [3]).prediction[0] == 1


def test_a_sampled_certificate_that_claims_too_much_is_contradicted(
    world: Data, credulous: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoothed = credulous(BernoulliSelection(0.7), "messages")
    wrong = Certificate.from_bounds(smoothed.smoothing, [0], [1.0], [0.0], index=[5], alpha=0.01)
    attack = SmoothedAttack(smoothed, num_samples=300)
    assert wrong.is_robust(r=1).all() and not attack(world, wrong, r=1, progress=False).fallen[0]
    wrong.is_robust = lambda *_, **__: np.ones(1, dtype=bool)  # type: ignore[method-assign]
    asked = []
    monkeypatch.setattr(
        "pyg_hiersmooth.attacks.smoothed_attack.PlainVotes",
        lambda *args: asked.append(args[-1]) or PlainVotes(*args),
    )
    with pytest.raises(ContradictionError, match=r"errs with probability 0\.01"):
        attack(world, wrong, r=4, progress=False)
    assert asked[-2:] == [2, 3]  # votes that choose the class of the attacked graph, and others


def test_votes_that_are_even_contradict_no_sampled_certificate(
    world: Data, credulous: Making
) -> None:
    smoothed = credulous(BernoulliSelection(0.5**0.5), "messages")  # r=2 leaves even votes
    claims = Certificate.from_bounds(smoothed.smoothing, [0], [1.0], [0.0], index=[5], alpha=0.01)
    claims.is_robust = lambda *_, **__: np.ones(1, dtype=bool)  # type: ignore[method-assign]
    for seed in range(8):  # half of them fall, at an error of 1e-6 each
        attack = SmoothedAttack(smoothed, num_restarts=1, num_samples=50, seed=seed)
        assert not attack(world, claims, r=2, progress=False).contradicted.any()


@pytest.mark.parametrize(
    ("noise", "budget"),
    [
        (SparseFlipNoise(0.01, 0.3), {"additions": 1, "deletions": 2}),
        (SparseFlipNoise(0.01, 0.3), {"deletions": 1}),
        (GaussianNoise(0.5), {"eps": 0.7}),
        (LaplaceNoise(0.5), {"eps": 0.7}),
    ],
    ids=str,
)
def test_attacks_stay_within_their_budget(noise: Any, budget: dict[str, Any]) -> None:
    torch.manual_seed(0)
    data = Data(x=(torch.rand(12, 6) < 0.4).float(), edge_index=torch.randint(12, (2, 30)))
    model = Linear(7)
    smoothed = SmoothedNodeClassifier(
        model, HierarchicalNodeFeatureNoise(0.9, noise), 2, num_hops=1
    )
    certificate = certified(smoothed, data, range(4), n0=10, n=50)
    result = SmoothedAttack(smoothed, 2, 20)(data, certificate, r=2, progress=False, **budget)
    for position in np.flatnonzero(result.prediction >= 0):
        graph = result.attacked(position)
        assert torch.equal(graph.edge_index, data.edge_index)
        change = graph.x.double() - data.x.double()
        assert 0 < int((change != 0).any(1).sum()) <= 2
        if "eps" in budget:
            assert float(change.norm(p=1 if noise.norm == "l1" else 2)) <= budget["eps"]
        else:
            assert int((change == 1).sum()) <= budget.get("additions", 0)
            assert int((change == -1).sum()) <= budget["deletions"]
            assert set(graph.x.unique().tolist()) <= {0.0, 1.0}


class Linear(torch.nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(num_features, 2))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = x @ self.weight
        return h.index_add(0, edge_index[1], h[edge_index[0]])


@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_a_tie_of_listed_votes_has_fallen(kind: Any, world: Data, credulous: Making) -> None:
    smoothed = credulous(PartitionSelection(4, 1), "messages")
    certificate = certified(smoothed, world, [2], kind=kind)
    assert certificate.largest_r.tolist() == [1]  # type: ignore[union-attr]
    result = SmoothedAttack(smoothed)(world, certificate, r=2, progress=False)
    assert result.votes.tolist() == [[2, 2]] and result.fallen.all()


def test_what_abstains_is_not_attacked_and_what_is_asked_for_is(
    world: Data, credulous: Making
) -> None:
    smoothed = credulous(PartitionSelection(5, 1), "messages")
    certificate = certified(smoothed, world, [1, 2, 3])
    half = replace(certificate, prediction=np.array([0, -1, 0]))
    result = SmoothedAttack(smoothed)(world, half, r=4, node_index=[3, 2], progress=False)
    assert result.index.tolist() == [3, 2] and result.fallen.tolist() == [True, False]
    assert result.accuracy([0, 0]) == 0.0 and result.clean_accuracy([0, 0]) == 0.5
    assert not SmoothedAttack(smoothed)(world, certificate, r=0, progress=False).fallen.any()


def test_a_node_that_fell_is_judged_by_fresh_votes(world: Data, credulous: Making) -> None:
    smoothed = credulous(BernoulliSelection(0.7), "messages")
    certificate = certified(smoothed, world, [1], n0=10, n=50)
    attack = SmoothedAttack(smoothed, 1, 100)
    result = attack(world, certificate, r=4, progress=False)
    first, fresh = (
        PlainVotes(attack.model, result.attacked(0), 1, 0, purpose).count(range(100))
        for purpose in (1, 2)
    )
    assert result.fallen.all() and np.array_equal(result.votes[0], fresh)
    assert not np.array_equal(first, fresh)


def test_the_same_seed_attacks_alike(world: Data, credulous: Making) -> None:
    smoothed = credulous(BernoulliSelection(0.7), "messages")
    certificate = certified(smoothed, world, [1, 2], n0=10, n=50)
    found = [
        SmoothedAttack(smoothed, 2, 30, seed)(world, certificate, r=1, progress=False)
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(found[0].votes, found[1].votes)
    assert not np.array_equal(found[0].votes, found[2].votes)


def test_probabilities_that_look_alike_are_told_apart(world: Data) -> None:
    def smoothed(p: float) -> SmoothedNodeClassifier:
        selection = BernoulliSelection(torch.full((24,), p))
        transform = HierarchicalNodeFeatureNoise(selection, AblationNoise())
        return SmoothedNodeClassifier(Linear(3), transform, 2, num_hops=1)

    certificate = certified(smoothed(0.999), world, [1], n0=10, n=50)
    with pytest.raises(ValueError, match="'certificate' must be one for"):
        SmoothedAttack(smoothed(0.5))(world, certificate, r=1, progress=False)


def test_what_does_not_fit_is_refused(world: Data, credulous: Making) -> None:
    smoothed = credulous(PartitionSelection(5, 1), "messages")
    other = certified(credulous(PartitionSelection(6, 1), "messages"), world, [1])
    own = certified(smoothed, world, [1])
    attack = SmoothedAttack(smoothed)
    with pytest.raises(ValueError, match=r"'certificate' must be one for .*num_groups=5"):
        attack(world, other, r=1, progress=False)
    with pytest.raises(
        ValueError, match=r"'node_index' must name nodes of 'certificate' \(got 2\)"
    ):
        attack(world, own, r=1, node_index=[2], progress=False)
    with pytest.raises(ValueError, match="must be about nodes of 'data', which has 1"):
        attack(Data(x=world.x[:1], edge_index=world.edge_index[:, :0]), own, r=1, progress=False)
    with pytest.raises(ValueError, match="must be about nodes of 'data', which has 24"):
        attack(world, replace(own, index=np.array([-1])), r=1, progress=False)
    with pytest.raises(ValueError, match="must be about nodes of 'data', which has 24"):
        attack(world, replace(own, num_entities=np.array([9999])), r=1, progress=False)
    with pytest.raises(ValueError, match=r"'only' must be 'new_nodes' \(got ''\)"):
        attack(world, own, r=1, only="", progress=False)
    with pytest.raises(TypeError, match="takes no budget besides 'r'"):
        attack(world, own, r=1, eps=0.5, progress=False)
    with pytest.raises(TypeError, match="'r' is needed"):
        attack(world, own, progress=False)
    with pytest.raises(ValueError, match=r"'num_restarts' must be an integer of at least 1"):
        SmoothedAttack(smoothed, num_restarts=0)
    assert repr(attack) == (
        "SmoothedAttack(AblationNoise(of='messages'), num_restarts=4, num_samples=1000, seed=0)"
    )
