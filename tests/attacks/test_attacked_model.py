from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose, NormalizeFeatures

from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.models import GAT, GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

NODES = HierarchicalNodeFeatureNoise(PartitionSelection(3), AblationNoise())
EDGES = HierarchicalEdgeNoise(PartitionSelection(3), AblationNoise())


def smoothed(transform: Any, **options: Any) -> SmoothedNodeClassifier:
    return SmoothedNodeClassifier(GCN(3, 2), transform, 2, **options)


@pytest.mark.parametrize(
    ("classifier", "what"),
    [
        (lambda: smoothed(Compose([NormalizeFeatures(), NODES])), "transforms before the noise"),
        (lambda: smoothed(NODES, node_type="paper"), "node types"),
        (lambda: smoothed(NODES, keep=("pos",)), "attributes to 'keep'"),
        (lambda: smoothed(Compose([NODES, EDGES])), "noise on nodes and on edges"),
    ],
)
def test_what_attacks_do_not_know_is_refused(
    classifier: Callable[[], SmoothedNodeClassifier], what: str
) -> None:
    with pytest.raises(ValueError, match=f"'smoothed' must have no {what}"):
        AttackedModel(classifier())


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a SmoothedNodeClassifier \(got GCN\)"):
        AttackedModel(GCN(3, 2))  # type: ignore[arg-type]
    model = AttackedModel(smoothed(NODES))
    data = Data(x=torch.zeros(2, 2, dtype=torch.long), edge_index=torch.tensor([[0], [1]]))
    assert model.graph(data).x.dtype == torch.float32
    with pytest.raises(ValueError, match=r"in 'edge_index' alone \(got 'edge_weight'\)"):
        model.graph(Data(edge_weight=torch.ones(1), **data.to_dict()))
    with pytest.raises(ValueError, match=r"'data' must be one graph.*\(got 'ptr'\)"):
        model.graph(Batch.from_data_list([data, data]))
    with pytest.raises(ValueError, match="must have 'x' and 'edge_index'"):
        model.graph(Data(x=data.x))
    with pytest.raises(TypeError, match=r"'data' must be a Data \(got dict\)"):
        model.graph({})


def test_the_model_is_a_frozen_copy_that_is_called_as_the_user_says() -> None:
    model = GCN(3, 2).train()
    x, edge_index = torch.rand(4, 3), torch.tensor([[0, 1], [1, 2]])
    plain = SmoothedNodeClassifier(model, NODES, 2)
    twice = SmoothedNodeClassifier(model, NODES, 2, lambda m, x, data: 2 * m(x, data.edge_index))
    once = AttackedModel(plain)(x, edge_index)
    assert torch.equal(AttackedModel(twice)(x, edge_index), 2 * once)
    assert model.training and not once.requires_grad
    assert torch.equal(once, model.eval()(x, edge_index))


def test_who_takes_weights() -> None:
    assert AttackedModel(smoothed(NODES)).takes_weights
    assert not AttackedModel(SmoothedNodeClassifier(GAT(3, 2), NODES, 2)).takes_weights
