"""What comes before the noise: each row of its result is a function of one row."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import (
    AddSelfLoops,
    BaseTransform,
    Compose,
    Distance,
    LocalDegreeProfile,
    NormalizeFeatures,
    RemoveIsolatedNodes,
    SVDFeatureReduction,
    ToSparseTensor,
    ToUndirected,
    VirtualNode,
)

from pyg_hiersmooth.nn.calls.inputs.cleaning import (
    Cleaning,
    changed_rows,
    differing_rows,
    exchanges,
)

N, D = 30, 5


def graph(words: bool = True, seed: int = 0) -> Data:
    """Numbers from 0 on, of which many are 0, or of both signs."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, D, generator=generator)
    x = x.relu() if words else x
    return Data(x=x, edge_index=torch.randint(N, (2, 80), generator=generator))


class Rows(BaseTransform):
    """Does something to the matrix of features."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def forward(self, data: Data) -> Data:
        data.x = self.function(data.x)
        return data


class SumsOfNeighbors(BaseTransform):
    """Adds the features of neighbors."""

    def forward(self, data: Data) -> Data:
        source, target = data.edge_index
        data.x = data.x.index_add(0, target, data.x[source])
        return data


class EdgesOfFeatures(BaseTransform):
    """An edge for each pair of nodes that look alike."""

    def forward(self, data: Data) -> Data:
        data.edge_index = (torch.cdist(data.x, data.x) < 1.0).nonzero().t().contiguous()
        return data


class Positions(BaseTransform):
    """Keeps the sums of features under another name."""

    def forward(self, data: Data) -> Data:
        data.pos = data.x.sum(1, keepdim=True).sum(0).expand(N, 1)
        return data


def rank(x: Tensor) -> Tensor:
    return x.argsort(0).argsort(0).float()


APART = [
    NormalizeFeatures(),
    AddSelfLoops(),
    ToUndirected(),
    ToSparseTensor(),
    LocalDegreeProfile(),
    Rows(lambda x: (x > 0).float()),
    Rows(lambda x: x / x.norm(dim=1, keepdim=True).clamp(min=1e-3)),
    Rows(lambda x: x @ torch.ones(D, 2)),
    Rows(torch.tanh),
    Positions(),
]

MIXED = [
    (NormalizeFeatures(), False),
    (Rows(lambda x: x - x.mean()), True),
    (Rows(lambda x: (x - x.mean(0)) / x.std(0)), True),
    (Rows(lambda x: (x - x.min(0).values) / (x.max(0).values - x.min(0).values)), True),
    (Rows(lambda x: x / x.max()), True),
    (Rows(rank), True),
    (Rows(lambda x: x.cumsum(0)), True),
    (Rows(lambda x: x.roll(1, 0)), True),
    (Rows(lambda x: x[:1].expand(N, D).clone()), True),
    (SVDFeatureReduction(2), True),
    (EdgesOfFeatures(), True),
]


@pytest.mark.parametrize("transform", APART, ids=lambda t: type(t).__name__)
def test_rows_that_stay_apart_are_taken(transform: BaseTransform) -> None:
    data = graph()
    cleaned = Cleaning(Compose([transform]))(data)
    alone = transform(data.clone())
    assert torch.equal(cleaned.x, alone.x) and cleaned.keys() == alone.keys()


@pytest.mark.parametrize(("transform", "words"), MIXED)
def test_rows_that_mix_are_refused(transform: BaseTransform, words: bool) -> None:
    with pytest.raises(ValueError, match=r"each row of features .* apply them to the data"):
        Cleaning(Compose([transform]))(graph(words))


BEYOND = "features within their present range alone; to cover any numbers"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transform", APART, ids=lambda t: type(t).__name__)
def test_rows_stay_apart_whatever_is_written_into_them(transform: BaseTransform) -> None:
    clean = Cleaning(Compose([transform]), unbounded=True)
    if isinstance(transform, NormalizeFeatures):
        with pytest.warns(UserWarning, match=f"NormalizeFeatures before the noise: .* {BEYOND}"):
            assert torch.equal(clean(graph()).x, transform(graph()).x)
    else:
        for data in (graph(), graph(words=False)):
            assert torch.equal(clean(data).x, transform(data.clone()).x)


@pytest.mark.filterwarnings("error")
def test_numbers_that_a_transform_does_not_take_tell_nothing() -> None:
    words = torch.nn.Embedding(9, 2).weight.detach()
    data = graph()
    data.x = torch.randint(9, (N, 1)).float()
    cleaned = Cleaning(Compose([Rows(lambda x: words[x.long().view(-1)])]), unbounded=True)(data)
    assert torch.equal(cleaned.x, words[data.x.long().view(-1)])


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_integers_beyond_all_others_are_tried(dtype: torch.dtype) -> None:
    data = graph()
    data.x = (data.x > 0).to(dtype)
    shift = Compose([Rows(lambda x: x.max() - x)])  # which many rows hold
    with pytest.warns(UserWarning, match=BEYOND):
        Cleaning(shift, unbounded=True)(data)


def test_a_lack_of_memory_says_nothing_about_numbers() -> None:
    def fails(x: Tensor) -> Tensor:
        if bool((x < 0).any()):
            raise MemoryError
        return x

    with pytest.raises(MemoryError):
        Cleaning(Compose([Rows(fails)]), unbounded=True)(graph())


@pytest.mark.parametrize("form", ["to_sparse_coo", "to_sparse_csr"])
def test_sparse_rows_that_mix_beyond_all_numbers_are_told_of(form: str) -> None:
    def shifted(x: Tensor) -> Tensor:
        least = x.to_dense().min().clamp(max=0.0)
        return getattr(x.to_dense() - least, form)()

    data = graph()
    data.x = getattr(data.x, form)()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        Cleaning(Compose([Rows(shifted)]))(data)
    with pytest.warns(UserWarning, match=BEYOND):
        Cleaning(Compose([Rows(shifted)]), unbounded=True)(data)


def test_normalizing_mixes_where_one_row_holds_the_smallest_number() -> None:
    data = graph()
    data.x = data.x + 0.1
    Cleaning(Compose([NormalizeFeatures()]))(data)  # many rows hold it
    data.x[7, 2] = 0.05
    with pytest.raises(ValueError, match="rows of other nodes moved"):
        Cleaning(Compose([NormalizeFeatures()]))(data)


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_reach_few_others_are_found(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    data = Data(x=torch.rand(300, D, generator=generator))
    data.edge_index = torch.randint(300, (2, 40), generator=generator)
    with pytest.raises(ValueError, match="rows of other nodes moved"):
        Cleaning(Compose([SumsOfNeighbors()]))(data)


def test_what_the_model_is_kept_may_not_move_either() -> None:
    Cleaning(Compose([Positions()]))(graph())
    with pytest.raises(ValueError, match="other attributes moved"):
        Cleaning(Compose([Positions()]), keep=("pos",))(graph())
    data = graph()
    data.pos = torch.rand(N, 2)
    Cleaning(Compose([Distance()]))(data)  # of positions, which stay


def test_random_numbers_are_refused_wherever_they_come_from() -> None:
    own = torch.Generator()
    for function in (
        lambda x: x + torch.rand(()),
        lambda x: x + torch.rand((), generator=own),
        lambda x: x + torch.rand(x.shape, generator=own),
    ):
        with pytest.raises(ValueError, match=r"the same .* every time \(got .* in Rows\)"):
            Cleaning(Compose([Rows(function)]))(graph())


@pytest.mark.parametrize("transform", [RemoveIsolatedNodes(), VirtualNode()])
def test_nodes_may_change_where_graphs_are_classified(transform: BaseTransform) -> None:
    data = graph()
    data.edge_index = data.edge_index[:, (data.edge_index > 3).all(0)]
    cleaned = Cleaning(Compose([transform]), node_level=False)(data)
    assert cleaned.num_nodes != N and "row_before_transform" not in cleaned
    with pytest.raises(ValueError, match="must keep all nodes in their order"):
        Cleaning(Compose([transform]))(data)
    with pytest.raises(ValueError, match="rows of other nodes moved"):
        mean = Rows(lambda x: x + x.mean())
        Cleaning(Compose([transform, mean]), node_level=False)(data)


@pytest.mark.parametrize("transform", [RemoveIsolatedNodes(), VirtualNode()])
def test_nodes_stay_where_nodes_may_be_added(transform: BaseTransform) -> None:
    """A node that is appended would not be the last one of the result."""
    data = graph()
    data.edge_index = data.edge_index[:, (data.edge_index > 3).all(0)]
    with pytest.raises(ValueError, match=r"in their order, .* may cover nodes added to it"):
        Cleaning(Compose([transform]), node_level=False, edges_change=True)(data)


@pytest.mark.parametrize("num_nodes", range(4, 9))
def test_nodes_that_go_when_they_lose_their_edges_are_found(num_nodes: int) -> None:
    data = Data(x=torch.rand(num_nodes, D), edge_index=torch.ones(num_nodes, num_nodes).nonzero())
    data.edge_index = data.edge_index.t()
    clean = Cleaning(Compose([RemoveIsolatedNodes()]), node_level=False, edges_change=True)
    with pytest.raises(ValueError, match="must keep all nodes in their order"):
        clean(data)


@pytest.mark.parametrize("longest", range(12))
def test_lengths_of_edges_as_shares_of_the_longest_are_refused(longest: int) -> None:
    data = Data(x=torch.rand(13, D), pos=torch.zeros(13, 2))
    data.edge_index = torch.stack([torch.arange(12), torch.arange(1, 13)])
    data.pos[: longest + 1, 0] = 5.0
    data.pos[:, 1] = torch.arange(13) * 0.1
    with pytest.raises(ValueError, match="something else moved when a few edges were removed"):
        Cleaning(Compose([Distance()]), edges_change=True)(data)
    Cleaning(Compose([Distance(norm=False)]), edges_change=True)(data)


@pytest.mark.parametrize("layout", ["csr", "coo"])
def test_sparse_features_are_tried_too(layout: str) -> None:
    data = graph()
    data.x = getattr(data.x, f"to_sparse_{layout}")()
    cleaned = Cleaning(Compose([AddSelfLoops()]))(data)
    assert torch.equal(cleaned.x.to_dense(), graph().x)
    if layout == "coo":
        with pytest.raises(ValueError, match="rows of other nodes moved"):
            Cleaning(Compose([Rows(lambda x: (x * x.sum()).coalesce())]))(data)


@pytest.mark.parametrize("num_nodes", [1, 2, 3, 4])
def test_small_graphs(num_nodes: int) -> None:
    x = torch.arange(2.0 * num_nodes).view(num_nodes, 2)
    data = Data(x=x, edge_index=torch.zeros(2, 1, dtype=torch.long))
    Cleaning(Compose([Rows(torch.tanh)]))(data)
    if num_nodes > 1:
        with pytest.raises(ValueError, match="rows of other nodes moved"):
            Cleaning(Compose([Rows(lambda x: x - x.mean(0))]))(data)


def test_constant_features_are_changed_to_others() -> None:
    data = graph()
    data.x = torch.ones(N, 1)
    with pytest.raises(ValueError, match="rows of other nodes moved"):
        Cleaning(Compose([Rows(lambda x: x / x.sum())]))(data)


def test_of_other_types_nothing_may_move() -> None:
    class Across(BaseTransform):
        def forward(self, data: HeteroData) -> HeteroData:
            data["b"].x = data["b"].x + data["a"].x.sum()
            return data

    data = HeteroData()
    data["a"].x, data["b"].x = graph().x, torch.ones(3, 1)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1], [1, 2]])
    Cleaning(Compose([NormalizeFeatures()]), "a")(data)
    with pytest.raises(ValueError, match="edges or other attributes moved"):
        Cleaning(Compose([Across()]), "a")(data)


@settings(max_examples=40, deadline=None)
@given(num_rows=st.integers(2, 60), seed=st.integers(0, 100), layout=st.booleans())
def test_at_most_half_of_the_rows_are_exchanged_for_others(
    num_rows: int, seed: int, layout: bool
) -> None:
    x = torch.randn(num_rows, 3, generator=torch.Generator().manual_seed(seed))
    given = x.to_sparse_csr() if layout else x
    extremes = set()
    for source in exchanges(given):
        changed = (source != torch.arange(num_rows)).nonzero().view(-1)
        assert 0 < len(changed) <= max(1, num_rows // 2)
        other = changed_rows(given, source)
        assert torch.equal(other.to_dense(), x[source])
        assert set(differing_rows(given, other).tolist()) == set(changed.tolist())
        extremes.update(changed.tolist())
    assert {int(x.max(1).values.argmax()), int(x.min(1).values.argmin())} <= extremes


def test_nan_is_like_nan() -> None:
    one = torch.tensor([[float("nan")], [1.0], [2.0]])
    other = torch.tensor([[float("nan")], [1.0], [float("nan")]])
    assert differing_rows(one, other).tolist() == [2]
