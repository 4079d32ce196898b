"""Ablated messages of one node type: every attack on a small heterogeneous graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import HeteroData

from pyg_hiersmooth.certificates import certify_votes
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise
from pyg_hiersmooth.transforms.structure_ablation import without_messages

WRITES, CITES = ("author", "writes", "paper"), ("paper", "cites", "paper")
WRITTEN, KNOWS = ("paper", "written", "author"), ("author", "knows", "author")
KINDS = (WRITES, CITES, WRITTEN, KNOWS)
AUTHORS, PAPERS = 3, 2
SELECTION = PartitionSelection(5, 1, seed=2)
NOISE = HierarchicalNodeFeatureNoise({"author": SELECTION}, AblationNoise(of="messages"))


def clean_graph() -> HeteroData:
    data = HeteroData()
    data["author"].x = torch.tensor([[0.0], [1.0], [2.0]])
    data["paper"].x = torch.tensor([[1.0], [3.0]])
    edges: dict[Any, list[tuple[int, int]]] = {
        WRITES: [(0, 0), (1, 0), (1, 1), (2, 1)],
        CITES: [(0, 1), (1, 0)],
        WRITTEN: [(0, 0), (0, 1), (1, 2)],
        KNOWS: [(1, 0), (2, 1)],
    }
    for kind, each in edges.items():
        data[kind].edge_index = torch.tensor(each).t().contiguous()
    return data


class Model(nn.Module):
    def __init__(self, conv: Any, seed: int, num_steps: int = 2) -> None:
        super().__init__()
        torch.manual_seed(seed)
        sizes = [2, *[8] * (num_steps - 1), 2]
        own = [{"author": sizes[0], "paper": 1}, *({"author": s, "paper": s} for s in sizes[1:])]
        self.steps = nn.ModuleList(
            gnn.HeteroConv(
                {kind: conv((own[i][kind[0]], own[i][kind[-1]]), sizes[i + 1]) for kind in KINDS}
            )
            for i in range(num_steps)
        )

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> Any:
        for step in self.steps:
            x_dict = {k: torch.sin(3 * h) for k, h in step(x_dict, edge_index_dict).items()}
        return x_dict


class Sage(gnn.MessagePassing):
    """As ``SAGEConv``, which keeps its two sizes as a pair, in a graph of which two numbers are
    most edges.
    """

    def __init__(self, size: tuple[int, int], out: int) -> None:
        super().__init__(aggr="mean")
        self.heard, self.own = nn.Linear(size[0], out), nn.Linear(size[1], out)

    def forward(self, x: Any, edge_index: Tensor) -> Tensor:
        source, target = x if isinstance(x, tuple) else (x, x)
        sizes = source.size(0), target.size(0)
        heard = self.propagate(edge_index, x=(self.heard(source), None), size=sizes)
        return heard + self.own(target)


def gat(size: Any, out: int) -> gnn.GATConv:
    return gnn.GATConv(size, out, add_self_loops=False)


def attacks(data: HeteroData, node: int) -> Iterator[HeteroData]:
    """All that an author can become who is taken over, or added at the end."""
    new = node == AUTHORS
    features = torch.cat([data["author"].x, torch.zeros(int(new), 1)])
    places = [
        *((WRITES, (node, j)) for j in range(PAPERS)),
        *((WRITTEN, (j, node)) for j in range(PAPERS)),
        *((KNOWS, (node, 0)), (KNOWS, (0, node)), (KNOWS, (2, node))),
    ]

    def at(kind: tuple[str, str, str], edge: list[int]) -> bool:
        """Whether the author is at an end."""
        ends = zip((kind[0], kind[-1]), edge, strict=True)
        return any(end == ("author", node) for end in ends)

    for there in product((False, True), repeat=len(places)):
        attacked = copy.copy(data)
        x = features.clone()
        x[node] = 5.0
        attacked["author"].x = x
        for kind in KINDS:
            kept = [edge for edge in data[kind].edge_index.t().tolist() if not at(kind, edge)]
            kept += [
                list(edge)
                for (own, edge), is_there in zip(places, there, strict=True)
                if own == kind and is_there
            ]
            index = torch.tensor(kept, dtype=torch.long).view(-1, 2).t().contiguous()
            attacked[kind].edge_index = index
        yield attacked


def logits_of(model: nn.Module, data: HeteroData, silent: Tensor) -> dict[str, Tensor]:
    left = without_messages(data, {"author": silent})
    shown = torch.cat([data["author"].x, silent.float().view(-1, 1)], dim=1)
    with torch.no_grad():
        found: dict[str, Tensor] = model(
            {"author": shown, "paper": data["paper"].x}, left.edge_index_dict
        )
    return found


@pytest.mark.parametrize("conv", [Sage, gat], ids=["sage", "gat"])
@pytest.mark.parametrize("node", [1, AUTHORS], ids=["taken over", "added"])
def test_whoever_is_silent_reaches_nobody(conv: Any, node: int) -> None:
    """Outcome by outcome: with the node silent, all others answer as on the clean graph."""
    data, model = clean_graph(), Model(conv, seed=node).eval()
    size = max(AUTHORS, node + 1)
    silent = [SELECTION.mask(i, [size]) for i in range(SELECTION.num_masks)]
    others = [i for i in range(AUTHORS) if i != node]
    before = [logits_of(model, data, mask[:AUTHORS]) for mask in silent]
    moved = tried = 0
    for attacked in attacks(data, node):
        for mask, clean in zip(silent, before, strict=True):
            found = logits_of(model, attacked, mask)
            same = torch.equal(found["paper"], clean["paper"]) and torch.equal(
                found["author"][others], clean["author"][others]
            )
            tried += 1
            if mask[node]:
                assert torch.allclose(found["paper"], clean["paper"], atol=1e-6)
                assert torch.allclose(found["author"][others], clean["author"][others], atol=1e-6)
            moved += not same and not bool(mask[node])
    assert tried == 128 * 5 and moved > 50


@pytest.mark.one_in(2)
@pytest.mark.parametrize("node_type", ["author", "paper"])
def test_votes_are_those_of_each_outcome_and_no_claim_falls(node_type: str) -> None:
    data = clean_graph()
    certified = 0

    def votes(graph: HeteroData, model: nn.Module) -> Tensor:
        size = graph["author"].x.size(0)
        masks = [SELECTION.mask(i, [size]) for i in range(SELECTION.num_masks)]
        found = [logits_of(model, graph, mask)[node_type].argmax(1) for mask in masks]
        return nn.functional.one_hot(torch.stack(found), 2).sum(0)

    for seed in range(3):
        model = Model(Sage, seed).eval()
        smoothed = SmoothedNodeClassifier(model, NOISE, 2, node_type=node_type)
        certificate = smoothed.certify(data, progress=False, num_workers=0)
        assert "nodes of type 'author' are taken over" in certificate.threat
        assert certificate.num_entities.tolist() == [AUTHORS] * len(certificate)
        assert torch.equal(votes(data, model), torch.from_numpy(certificate.votes))
        robust = torch.from_numpy(certificate.is_robust(1))
        own = torch.from_numpy(certificate.prediction)
        for node in (0, 1, AUTHORS):
            for attacked in list(attacks(data, node))[::7]:
                after = votes(attacked, model)
                for target in robust.nonzero().view(-1).tolist():
                    if not (node_type == "author" and target == node):
                        assert after[target].argmax() == own[target]
                        assert after[target, own[target]] > after[target].sum() / 2
        certified += int(robust.sum())
    assert certified > 0


def test_certificates_of_sampled_votes_are_about_the_same_adversary() -> None:
    noise = HierarchicalNodeFeatureNoise({"author": 0.9}, AblationNoise(of="messages"))
    smoothed = SmoothedNodeClassifier(Model(Sage, 0), noise, 2, node_type="paper")
    data, quiet = clean_graph(), {"progress": False, "num_workers": 0}
    first, rest = (smoothed.sample_votes(data, 20, start=i, **quiet) for i in (0, 20))
    by_hand = certify_votes(smoothed.smoothing, first, rest, 0.1)
    whole = smoothed.certify(data, 20, 20, alpha=0.1, **quiet)
    assert by_hand.threat == whole.threat
    with pytest.raises(TypeError, match="certified as the 'smoothing' of its classifier"):
        certify_votes(noise, first, rest, 0.1)
    assert "nodes of type 'author' are taken over" in whole.threat


def test_certificates_of_features_name_whose_they_are() -> None:
    noise = HierarchicalNodeFeatureNoise({"author": SELECTION}, AblationNoise())
    smoothed = SmoothedNodeClassifier(Model(Sage, 0), noise, 2, node_type="paper")
    certificate = smoothed.certify(clean_graph(), progress=False, num_workers=0)
    assert "the features of at most r nodes of type 'author' change" in certificate.threat
    assert certificate.counted == "nodes of type 'author'"


def test_what_is_not_certified() -> None:
    data, model = clean_graph(), Model(Sage, 0)
    edges = HierarchicalEdgeNoise(0.9, AblationNoise())
    smoothed = SmoothedNodeClassifier(model, edges, 2, node_type="paper")
    with pytest.raises(ValueError, match=r"certified for homogeneous graphs \(got HeteroData\)"):
        smoothed.certify(data, progress=False)
    smoothed = SmoothedNodeClassifier(model, NOISE, 2, node_type="paper", num_hops=2)
    with pytest.raises(ValueError, match=r"an exposure is about homogeneous graphs"):
        smoothed.exposure(data)
    any_type = HierarchicalNodeFeatureNoise(SELECTION, AblationNoise(of="messages"))
    with pytest.raises(ValueError, match=r"that 'transform' names, p=\{node_type: ...\} \(got "):
        SmoothedNodeClassifier(model, any_type, 2, node_type="paper")
