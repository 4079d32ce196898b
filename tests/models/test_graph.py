from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

from pyg_hiersmooth.datasets import RandomMolecules
from pyg_hiersmooth.models import MODELS, build_model


@pytest.mark.parametrize("name", MODELS["graph"])
def test_one_row_a_graph_and_no_influence_of_others(name: str) -> None:
    model, graphs = build_model(name, 5, 4, "graph").eval(), list(RandomMolecules()[:6])
    batch = Batch.from_data_list(graphs)
    together = model(batch.x, batch.edge_index, batch.batch)
    assert together.shape == (6, 4)
    apart = torch.cat([model(graph.x, graph.edge_index) for graph in graphs])
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize("name", MODELS["graph"])
def test_edges_matter(name: str) -> None:
    torch.manual_seed(0)
    model, graph = build_model(name, 5, 4, "graph").eval(), RandomMolecules()[0]
    without = graph.edge_index[:, :0]
    assert not torch.allclose(model(graph.x, graph.edge_index), model(graph.x, without))


def test_edge_weight() -> None:
    model, graph = build_model("gcn", 5, 4, "graph").eval(), RandomMolecules()[0]
    weight = torch.ones(graph.num_edges)
    plain = model(graph.x, graph.edge_index)
    torch.testing.assert_close(model(graph.x, graph.edge_index, edge_weight=weight), plain)
    assert not torch.allclose(model(graph.x, graph.edge_index, edge_weight=0 * weight), plain)
