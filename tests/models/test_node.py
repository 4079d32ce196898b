from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import SAGEConv

from pyg_hiersmooth.models import APPNP, GAT, GCN, MODELS, GATv2, GraphSAGE, build_model

NUM_NODES, IN_CHANNELS, NUM_CLASSES = 12, 9, 4


@pytest.fixture
def x() -> Tensor:
    return torch.rand(NUM_NODES, IN_CHANNELS, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def edge_index() -> Tensor:
    """A path, so that distances are differences."""
    node = torch.arange(NUM_NODES - 1)
    return torch.cat([torch.stack([node, node + 1]), torch.stack([node + 1, node])], dim=1)


def model_for(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name, IN_CHANNELS, NUM_CLASSES)


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [
        ("gcn", (9 * 64 + 64) + (64 * 4 + 4)),
        ("gat", (9 * 64 + 2 * 64 + 64) + (64 * 4 + 2 * 4 + 4)),
        ("gatv2", (2 * (9 * 64 + 64) + 64 + 64) + (2 * (64 * 4 + 4) + 4 + 4)),
        ("appnp", (9 * 64 + 64) + (64 * 4 + 4)),
        ("sage", (2 * 9 * 64 + 64) + (2 * 64 * 4 + 4)),
    ],
)
def test_size(name: str, num_parameters: int) -> None:
    assert sum(p.numel() for p in model_for(name).parameters()) == num_parameters


def by_hand(activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def forward(model: torch.nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
        return model.conv2(activation(model.conv1(x, edge_index)), edge_index)

    return forward


def appnp_by_hand(model: torch.nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
    adjacency = torch.eye(len(x)).index_put((edge_index[1], edge_index[0]), torch.tensor(1.0))
    scale = adjacency.sum(dim=1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    prediction = logits = model.lin2(model.lin1(x).relu())
    for _ in range(10):
        logits = 0.9 * adjacency @ logits + 0.1 * prediction
    return logits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gcn", by_hand(F.relu)),
        ("gat", by_hand(F.elu)),
        ("gatv2", by_hand(F.elu)),
        ("appnp", appnp_by_hand),
        ("sage", by_hand(F.relu)),
    ],
)
def test_forward(name: str, expected: Callable[..., Tensor], x: Tensor, edge_index: Tensor) -> None:
    model = model_for(name).eval()
    logits = model(x, edge_index)
    assert logits.shape == (NUM_NODES, NUM_CLASSES)
    torch.testing.assert_close(logits, expected(model, x, edge_index))


@pytest.mark.parametrize("name", MODELS["node"])
def test_renumbering_nodes_renumbers_logits(name: str, x: Tensor, edge_index: Tensor) -> None:
    model = model_for(name).eval()
    order = torch.randperm(NUM_NODES)
    position = order.argsort()
    torch.testing.assert_close(model(x[order], position[edge_index]), model(x, edge_index)[order])


@pytest.mark.parametrize(
    ("name", "reach"), [*((n, 2) for n in MODELS["node"] if n != "appnp"), ("appnp", 10)]
)
def test_reach(name: str, reach: int, x: Tensor, edge_index: Tensor) -> None:
    model = model_for(name).eval()
    changed = x.clone()
    changed[0] += 1
    difference = (model(changed, edge_index) - model(x, edge_index)).abs().sum(dim=1)
    assert (difference[: reach + 1] > 0).all()
    assert (difference[reach + 1 :] == 0).all()


@pytest.mark.parametrize("name", MODELS["node"])
def test_dropout_spares_the_features(
    name: str, x: Tensor, edge_index: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = []
    plain_dropout = F.dropout

    def dropout(input: Tensor, p: float = 0.5, training: bool = True, **kwargs: bool) -> Tensor:
        if training:
            dropped.append((tuple(input.shape), p))
        return plain_dropout(input, p, training, **kwargs)

    monkeypatch.setattr(F, "dropout", dropout)
    model = model_for(name)
    model(x, edge_index)
    features = [p for shape, p in dropped if shape == (NUM_NODES, IN_CHANNELS)]
    hidden = [p for shape, p in dropped if shape == (NUM_NODES, 64)]
    attention = [p for shape, p in dropped if shape[0] == edge_index.size(1) + NUM_NODES]
    assert features == []
    assert 0.5 in hidden
    assert [p for p in attention if p > 0] == ([0.2, 0.2] if name in ("gat", "gatv2") else [])

    dropped.clear()
    model.eval()
    assert torch.equal(model(x, edge_index), model(x, edge_index))
    assert all(p == 0 for _, p in dropped)


@pytest.mark.parametrize("name", ["gcn", "appnp"])
def test_edge_weight(name: str, x: Tensor, edge_index: Tensor) -> None:
    model = model_for(name).eval()
    weight = torch.ones(edge_index.size(1))
    torch.testing.assert_close(model(x, edge_index, weight), model(x, edge_index))

    keep = torch.arange(edge_index.size(1)) % (NUM_NODES - 1) != 3
    weight[~keep] = 0
    torch.testing.assert_close(
        model(x, edge_index, edge_weight=weight), model(x, edge_index[:, keep])
    )
    assert not torch.allclose(model(x, edge_index, edge_weight=weight), model(x, edge_index))


@pytest.mark.parametrize("name", MODELS["node"])
def test_reset_parameters_starts_afresh(name: str) -> None:
    model = model_for(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model.reset_parameters()
    assert all((parameter != 7.0).all() for parameter in model.parameters())


def test_constructor_arguments() -> None:
    assert GCN(5, 2, hidden_channels=3, dropout=0.1).conv1.out_channels == 3
    assert GAT(5, 2, hidden_channels=3, heads=4).conv2.in_channels == 12
    assert GATv2(5, 2, attention_dropout=0.3).conv1.dropout == 0.3
    assert GraphSAGE(5, 2, hidden_channels=3).conv2.in_channels == 3
    appnp = APPNP(5, 2, K=3, alpha=0.4)
    assert (appnp.propagation.K, appnp.propagation.alpha) == (3, 0.4)


def test_sage_is_that_of_pyg() -> None:
    """Also for a node without neighbors, which adds the bias alone."""
    torch.manual_seed(0)
    x, edge_index = torch.randn(6, 5), torch.tensor([[0, 1, 2, 3, 0], [1, 0, 1, 1, 4]])
    ours = GraphSAGE(5, 3).eval()
    theirs = torch.nn.ModuleList([SAGEConv(5, 64), SAGEConv(64, 3)])
    weights = {
        key.replace("conv1", "0").replace("conv2", "1"): value
        for key, value in ours.state_dict().items()
    }
    theirs.load_state_dict(weights)
    expected = theirs[1](theirs[0](x, edge_index).relu(), edge_index)
    torch.testing.assert_close(ours(x, edge_index), expected)
    adj_t = torch.sparse_coo_tensor(edge_index.flip(0), torch.ones(5), (6, 6)).to_sparse_csr()
    torch.testing.assert_close(ours(x, adj_t), expected)
