"""Nodes taken over with their features and edges, and nodes added: no certified prediction falls.

The votes of each attacked graph come from a plain loop over the masks, which removes edges and
rows by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import conv
from torch_geometric.utils import to_dense_batch

from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .small import seeded

D, C = 3, 2
WIDTH = D + 1
MESSAGES, NODES = AblationNoise(of="messages"), AblationNoise(of="nodes")


def small_graph(num_nodes: int, seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(num_nodes, num_nodes, generator=generator) < 0.4).nonzero().t()
    return Data(x=torch.randn(num_nodes, D, generator=generator), edge_index=edges)


def attacked(data: Data, nodes: list[int], added: int, generator: torch.Generator) -> Data:
    """Other features of some nodes and of added ones, and all their edges drawn anew."""
    size = int(data.num_nodes or 0)
    total = size + added
    theirs = torch.zeros(total, dtype=torch.bool)
    theirs[nodes] = True
    theirs[size:] = True
    x = torch.cat([data.x, torch.zeros(added, D)])
    scale = 10.0 ** float(torch.randint(-1, 4, (1,), generator=generator))
    x[theirs] = scale * torch.randn(int(theirs.sum()), D, generator=generator)
    matrix = torch.zeros(total, total, dtype=torch.bool)
    matrix[data.edge_index[0], data.edge_index[1]] = True
    share = float(torch.rand(1, generator=generator))
    anew = torch.rand(total, total, generator=generator) < share
    at = theirs.view(-1, 1) | theirs
    return Data(x=x, edge_index=torch.where(at, anew, matrix).nonzero().t())


def votes(model: nn.Module, data: Data, masks: PartitionSelection, of: str) -> Tensor:
    """Votes of all masks, int64 ``[N, C]`` on nodes or ``[1, C]`` on the graph."""
    size = int(data.num_nodes or 0)
    counted = torch.zeros(1 if of == "nodes" else size, C, dtype=torch.long)
    i, j = data.edge_index
    for number in range(masks.num_masks):
        silent = masks.mask(number, [size])
        x, edges = torch.cat([data.x, silent.view(-1, 1).float()], dim=1), data.edge_index
        if of == "messages":
            edges = edges[:, ~silent[i]]
        else:
            place = (~silent).cumsum(0) - 1
            x, edges = x[~silent], place[edges[:, ~silent[i] & ~silent[j]]]
        if len(x) == 0:
            counted[0, 0] += 1
            continue
        with torch.no_grad():
            arguments = (torch.zeros(len(x), dtype=torch.long),) if of == "nodes" else ()
            logits = model(x, edges, *arguments)
        counted += nn.functional.one_hot(logits.argmax(1), C)
    return counted


def one(build: Callable[[], nn.Module], width: int = 6) -> Callable[[], nn.Module]:
    return lambda: gnn.Sequential(
        "x, edge_index",
        [
            (build(), "x, edge_index -> x"),
            (nn.Tanh(), "x -> x"),
            (conv.SAGEConv(width, C), "x, edge_index -> x"),
        ],
    )


LOCAL: dict[str, Callable[[], nn.Module]] = {
    "GCN": lambda: gnn.GCN(WIDTH, 8, 2, C),
    "GAT": lambda: gnn.GAT(WIDTH, 8, 2, C),
    "GATv2": lambda: gnn.GAT(WIDTH, 8, 2, C, v2=True, heads=2),
    "SAGE mean": lambda: gnn.GraphSAGE(WIDTH, 8, 2, C),
    "SAGE max": lambda: gnn.GraphSAGE(WIDTH, 8, 2, C, aggr="max"),
    "GIN": lambda: gnn.GIN(WIDTH, 8, 2, C),
    "PNA": lambda: gnn.PNA(
        WIDTH, 8, 2, C, aggregators=["mean", "std"], scalers=["amplification"],
        deg=torch.tensor([0, 3, 1]),
    ),
    "APPNP": lambda: gnn.Sequential(
        "x, edge_index",
        [(nn.Linear(WIDTH, C), "x -> x"), (gnn.APPNP(3, 0.2), "x, edge_index -> x")],
    ),
    "TransformerConv": one(lambda: conv.TransformerConv(WIDTH, 3, heads=2)),
    "ResGatedGraphConv": one(lambda: conv.ResGatedGraphConv(WIDTH, 6)),
    "TAGConv": one(lambda: conv.TAGConv(WIDTH, 6)),
    "ClusterGCNConv": one(lambda: conv.ClusterGCNConv(WIDTH, 6)),
    "SuperGATConv": one(lambda: conv.SuperGATConv(WIDTH, 6)),
    "MFConv": one(lambda: conv.MFConv(WIDTH, 6)),
    "EGConv": one(lambda: conv.EGConv(WIDTH, 6, num_heads=2, aggregators=["symnorm", "max"])),
}  # fmt: skip


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", LOCAL)
def test_predictions_for_nodes_that_are_not_taken_over(name: str) -> None:
    certified = fell = 0
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        data, model = small_graph(4 + seed % 3, seed), seeded(LOCAL[name], seed=seed)
        size = int(data.num_nodes or 0)
        masks = PartitionSelection(5, 2, seed)
        smoothed = SmoothedNodeClassifier(model, HierarchicalNodeFeatureNoise(masks, MESSAGES), C)
        certificate = smoothed.certify(data, progress=False, num_workers=0)
        truth = votes(model, data, masks, "messages")
        counted = torch.from_numpy(certificate.p_lower) * masks.num_masks
        assert torch.allclose(counted, truth.max(1).values.double())
        predicted = torch.from_numpy(certificate.prediction)
        for _ in range(15):
            taken = int(torch.randint(0, 3, (1,), generator=generator))
            added = int(torch.randint(0 if taken else 1, 3 - taken, (1,), generator=generator))
            nodes = torch.randperm(size, generator=generator)[:taken].tolist()
            after = votes(model, attacked(data, nodes, added, generator), masks, "messages")[:size]
            others = torch.ones(size, dtype=torch.bool)
            others[nodes] = False
            holds = torch.from_numpy(certificate.is_robust(taken + added)) & others
            top = after.gather(1, predicted.clamp(min=0).view(-1, 1)).view(-1)
            stays = 2 * top > masks.num_masks
            assert not (holds & ~stays).any()
            certified, fell = certified + int(holds.sum()), fell + int((others & ~stays).sum())
    assert certified > 0


def test_the_nodes_of_a_batch_are_those_of_one_graph() -> None:
    """Exposures and the groups of added nodes are those that votes were cast with."""
    batch = Batch.from_data_list([small_graph(size, size) for size in (7, 6)])
    one_graph = Data(x=batch.x, edge_index=batch.edge_index)
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(4, 3), MESSAGES)
    smoothed = SmoothedNodeClassifier(seeded(LOCAL["GCN"]), transform, C, num_hops=2)
    found, expected = (
        smoothed.certify(data, progress=False, num_workers=0) for data in (batch, one_graph)
    )
    assert (found.mask_predictions == expected.mask_predictions).all()
    exposures = [smoothed.exposure(data).toarray() for data in (batch, one_graph)]
    assert (exposures[0] == exposures[1]).all()


class Pools(nn.Module):
    def __init__(self, pool: Any, build: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv, self.pool = build(), pool

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.pool(self.conv(x, edge_index), batch)


def padded_max(h: Tensor, batch: Tensor) -> Tensor:
    """Pads with zeros to the largest graph of the batch, and takes them for nodes."""
    return to_dense_batch(h, batch)[0].amax(1)


POOLS = {
    "sum": gnn.global_add_pool,
    "mean": gnn.global_mean_pool,
    "max": gnn.global_max_pool,
    "padded max": padded_max,
}
SIZES = (6, 6, 6, 6)


@pytest.mark.one_in(5)
@pytest.mark.parametrize("sizes", [SIZES, (3, 6, 1, 2), (2,)])
@pytest.mark.parametrize("p", [0.3, 0.9])
@pytest.mark.parametrize("pool", POOLS)
def test_sampled_votes_on_graphs_that_lose_nodes(
    pool: str, p: float, sizes: tuple[int, ...]
) -> None:
    transform = HierarchicalNodeFeatureNoise(p, NODES)
    graphs = [small_graph(size, seed) for seed, size in enumerate(sizes)]
    model = seeded(Pools, POOLS[pool], lambda: conv.GINConv(nn.Linear(WIDTH, C)))
    truth = torch.zeros(len(sizes), C, dtype=torch.long)
    for sample in range(60):
        silent = transform.selection.sample_batch(list(sizes), RandomStream(0, 0, sample))
        for number, (graph, own) in enumerate(zip(graphs, silent.split(sizes), strict=True)):
            if bool(own.all()):
                truth[number, 0] += 1
                continue
            x = torch.cat([graph.x, own.view(-1, 1).float()], dim=1)[~own]
            i, j = graph.edge_index
            edges = ((~own).cumsum(0) - 1)[graph.edge_index[:, ~own[i] & ~own[j]]]
            with torch.no_grad():
                logits = model(x, edges, torch.zeros(len(x), dtype=torch.long))
            truth[number, int(logits.argmax())] += 1
    for options in ({}, {"block_size": 1}, {"block_size": 1, "audit": 1.0}):
        smoothed = SmoothedGraphClassifier(model, transform, C)
        found = smoothed.sample_votes(graphs, 60, progress=False, num_workers=0, **options)
        assert torch.equal(found, truth), options


@pytest.mark.one_in(3)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("num_groups", [3, 8])
def test_predictions_for_graphs(pool: str, num_groups: int) -> None:
    """Graphs smaller than the number of groups among them: some masks leave nothing."""
    certified = 0
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        graphs = [small_graph(size, 10 * seed + size) for size in (3, 5, 6)]
        model = seeded(Pools, POOLS[pool], lambda: conv.GINConv(nn.Linear(WIDTH, C)), seed=seed)
        masks = PartitionSelection(num_groups, 2, seed)
        smoothed = SmoothedGraphClassifier(model, HierarchicalNodeFeatureNoise(masks, NODES), C)
        certificate = smoothed.certify(graphs, progress=False, num_workers=0)
        for number, graph in enumerate(graphs):
            truth = votes(model, graph, masks, "nodes")
            assert certificate.p_lower[number] * masks.num_masks == pytest.approx(
                float(truth.max())
            )
            for _ in range(15):
                taken = int(torch.randint(0, 3, (1,), generator=generator))
                added = int(torch.randint(0 if taken else 1, 3 - taken, (1,), generator=generator))
                nodes = torch.randperm(int(graph.num_nodes or 0), generator=generator)
                changed = attacked(graph, nodes[:taken].tolist(), added, generator)
                after = votes(model, changed, masks, "nodes")[0]
                if bool(certificate.is_robust(taken + added)[number]):
                    certified += 1
                    assert 2 * int(after[certificate.prediction[number]]) > masks.num_masks
    assert certified > 0 or num_groups == 3
