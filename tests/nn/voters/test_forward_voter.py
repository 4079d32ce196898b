from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 6, 3
TARGETS = torch.tensor([7, 0, 11])


GENERATOR = torch.Generator().manual_seed(0)
GRAPH = Data(
    x=(torch.rand(N, D, generator=GENERATOR) < 0.4).float(),
    edge_index=torch.randint(0, N, (2, 30), generator=GENERATOR),
)


def make_voter(dense: bool = False) -> ForwardVoter:
    torch.manual_seed(0)
    forward, options = GraphForward(None, [GRAPH], node_level=True), VoterOptions(1, 4, dense)
    transform = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.2, 0.6))
    return ForwardVoter.tried(
        GCN(D + 1, 8, 2, C).eval(), forward, transform, GRAPH.x, [N], TARGETS, C, options
    )


@torch.no_grad()
def test_a_sample_votes_alike_whatever_it_is_asked_with() -> None:
    voter = make_voter()
    votes = voter.predict(range(16))
    assert votes.shape == (16, len(TARGETS)) and len(votes.unique()) > 1
    assert torch.equal(voter.predict(range(3, 9)), votes[3:9])
    assert torch.equal(voter.count(range(16)).sum(1), torch.tensor([16, 16, 16]))


@torch.no_grad()
def test_fewer_targets_get_their_votes() -> None:
    voter = make_voter()
    few = voter.only(torch.tensor([0, 2]))
    assert torch.equal(few.asked, TARGETS[[0, 2]])
    assert torch.equal(few.predict(range(16)), voter.predict(range(16))[:, [0, 2]])


@torch.no_grad()
def test_a_vote_is_the_plain_model_on_the_features_of_its_sample() -> None:
    voter = make_voter(dense=True)
    model = voter.model
    votes = voter.predict(range(8))
    for sample in range(8):
        x = model.transform.prepare(model.x, [N])(RandomStream(1, sample))
        torch.manual_seed(0)
        plain = GCN(D + 1, 8, 2, C).eval()(x, GRAPH.edge_index)[TARGETS]
        assert torch.equal(votes[sample], plain.argmax(-1))
        assert torch.allclose(voter.answer(x, 1)[0], plain, atol=1e-5)
