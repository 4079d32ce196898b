from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.nn.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.graph_forward import GraphForward
from pyg_hiersmooth.nn.voter_options import VoterOptions
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 6, 3
TARGETS = torch.tensor([7, 0, 11])


def make_voter() -> ForwardVoter:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(N, D, generator=generator) < 0.4).float()
    graph = Data(x=x, edge_index=torch.randint(0, N, (2, 30), generator=generator))
    torch.manual_seed(0)
    forward, options = GraphForward(None, [graph], node_level=True), VoterOptions(1, block_size=4)
    transform = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.2, 0.6))
    return ForwardVoter(GCN(D + 1, 8, 2, C).eval(), forward, transform, x, [N], TARGETS, C, options)


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
def test_a_vote_is_that_for_the_largest_logit_of_a_target() -> None:
    voter = make_voter()
    draw = voter.model.trial_draw(0)
    logits = voter.model.prepared.answer(draw)[TARGETS]
    assert torch.allclose(voter.answer(draw, 1)[0], logits, atol=1e-5)
    assert torch.equal(voter.predict(range(1))[0], voter._logits(range(1))[0].argmax(-1))
