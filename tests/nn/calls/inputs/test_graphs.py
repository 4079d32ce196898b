from __future__ import annotations

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_hiersmooth.nn.calls.inputs.graphs import as_graphs, stacked_features


def graphs() -> list[Data]:
    edges = torch.zeros(2, 0, dtype=torch.long)
    return [Data(x=torch.full((size, 2), float(size)), edge_index=edges) for size in (1, 3)]


def test_all_containers_hold_the_same_graphs() -> None:
    for data in (graphs(), Batch.from_data_list(graphs()), DataLoader(graphs(), shuffle=True)):
        assert [graph.num_nodes for graph in as_graphs(data)] == [1, 3]
    assert len(as_graphs(graphs()[0])) == 1


def test_features_are_stacked_dense() -> None:
    some = graphs()
    some[1].x = some[1].x.to_sparse()
    x = stacked_features(some)
    assert x.layout == torch.strided and x[:, 0].tolist() == [1, 3, 3, 3]
