"""The mark survives what users do to graphs, and nobody is disturbed by it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import AddSelfLoops, RemoveIsolatedNodes, ToUndirected

from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise
from pyg_hiersmooth.transforms.noise_mark import is_noisy

NOISE = HierarchicalNodeFeatureNoise(0.5, AblationNoise())


def graph() -> Data:
    return Data(x=torch.rand(4, 2), edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]))


def test_clean_graphs_have_none() -> None:
    data = graph()
    NOISE(data)
    assert not is_noisy(data) and not is_noisy(Batch.from_data_list([data]))


def test_noisy_ones_keep_it(tmp_path: Path) -> None:
    noisy = NOISE(graph())
    batch = Batch.from_data_list([noisy, NOISE(graph())])
    InMemoryDataset.save([noisy], tmp_path / "saved.pt")
    loaded = InMemoryDataset()
    loaded.load(tmp_path / "saved.pt")
    for each in (
        *(noisy, copy.copy(noisy), copy.deepcopy(noisy), noisy.clone(), noisy.to("cpu")),
        *(pickle.loads(pickle.dumps(noisy)), noisy.subgraph(torch.tensor([0, 1]))),
        *(AddSelfLoops()(noisy), ToUndirected()(noisy), RemoveIsolatedNodes()(noisy)),
        *(batch, batch[1], batch.clone(), batch.to_data_list()[0], NOISE(batch), loaded[0]),
        *(next(iter(DataLoader([noisy, noisy], batch_size=2))),),
    ):
        assert is_noisy(each)


@pytest.mark.parametrize("by_type", [False, True])
def test_heterogeneous_ones_too(by_type: bool) -> None:
    data = HeteroData()
    data["a"].x, data["b"].x = torch.rand(3, 2), torch.rand(2, 2)
    data["a", "to", "b"].edge_index = torch.tensor([[0], [1]])
    noisy = HierarchicalNodeFeatureNoise({"a": 0.5} if by_type else 0.5, AblationNoise())(data)
    assert is_noisy(noisy) and not is_noisy(data)
    assert is_noisy(Batch.from_data_list([noisy, noisy]))
    assert noisy.node_types == ["a", "b"] and noisy.edge_types == [("a", "to", "b")]
