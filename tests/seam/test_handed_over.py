"""What users really hand over: the votes of a plain loop, or one sentence that names the argument.

The letters are the rows of the table of cases that were found in published code and files.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCN, BatchNorm, GCNConv, RGCNConv
from torch_geometric.transforms import (
    GDC,
    BaseTransform,
    Compose,
    Constant,
    LargestConnectedComponents,
    RemoveIsolatedNodes,
    VirtualNode,
)

from pyg_hiersmooth.datasets import NodeSplit
from pyg_hiersmooth.datasets.graph_splits import GraphSplit
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.training import train_graph_classifier, train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import Call, plain_votes, pyg_call, weighted_call
from .small import ABLATION, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_refusal, assert_votes, refused

GAUSSIAN = HierarchicalNodeFeatureNoise(0.5, GaussianNoise(0.5))
SPLIT = NodeSplit(torch.arange(6), torch.arange(6, 12), torch.arange(12, N))


def truth_of(model: nn.Module, data: Data, call: Call = pyg_call) -> Tensor:
    return plain_votes(call, model, ABLATION, data, SAMPLES, C)


def train(model: nn.Module, data: Any, **options: Any) -> Any:
    options = {"transform": ABLATION, "split": SPLIT, **options}
    return train_node_classifier(model, data, max_epochs=2, progress=False, **options)


def gcn() -> nn.Module:
    return seeded(GCN, D + 1, 8, 2, C, seed=2)


def attributed_call(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    return model(x, data.edge_index, edge_weight=data.edge_attr)


def labeled(**attributes: Any) -> Data:
    data = make_graph()
    data.y = torch.arange(N) % C
    return data.update(attributes)


# A: what comes before the noise and drops or adds nodes


@pytest.mark.parametrize(
    "before", [RemoveIsolatedNodes(), LargestConnectedComponents(), VirtualNode()]
)
def test_nodes_keep_their_numbers(before: BaseTransform) -> None:
    data = make_graph()
    data.edge_index = data.edge_index[:, (data.edge_index > 2).all(0)]
    del data.edge_weight
    smoothed = SmoothedNodeClassifier(seeded(Linear), Compose([before, ABLATION]), C)
    for ask in (smoothed.sample_votes, smoothed.certify):
        refused(lambda ask=ask: ask(data, 20, node_index=[4, 7], progress=False), "nodes")


class Reversed(BaseTransform):
    """Renumbers the nodes of a graph that it makes anew."""

    def forward(self, data: Data) -> Data:
        return Data(x=data.x.flip(0), edge_index=N - 1 - data.edge_index)


def test_another_order_of_nodes_is_refused() -> None:
    smoothed = SmoothedNodeClassifier(seeded(Linear), Compose([Reversed(), ABLATION]), C)
    refused(lambda: smoothed.sample_votes(make_graph(), 20, progress=False), "Reversed")


def test_of_whole_graphs_nodes_may_go() -> None:
    data = make_graph()
    data.edge_index = data.edge_index[:, (data.edge_index > 2).all(0)]
    del data.edge_weight
    model = seeded(Pooled)
    composed = Compose([RemoveIsolatedNodes(), ABLATION])
    options: dict[str, Any] = {"progress": False, "num_workers": 0}
    votes = SmoothedGraphClassifier(model, composed, C).sample_votes([data], 30, **options)
    cleaned = RemoveIsolatedNodes()(data.clone())
    assert cleaned.num_nodes < N
    alone = SmoothedGraphClassifier(model, ABLATION, C).sample_votes([cleaned], 30, **options)
    assert torch.equal(votes, alone)


class Pooled(Linear):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Any = None) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits.new_zeros(int(batch.max()) + 1, C).index_add(0, batch, logits)


# B: what forward names and the graph has


class Typed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = RGCNConv(D + 1, C, 2)

    def forward(self, x: Tensor, edge_index: Tensor, edge_type: Any = None) -> Tensor:
        if edge_type is None:
            edge_type = torch.zeros(edge_index.size(1), dtype=torch.long)
        return 3 * self.conv(x, edge_index, edge_type)


class Weighted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Any = None) -> Tensor:
        return self.conv(x, edge_index, edge_weight)


class Labeled(Linear):
    def forward(
        self, x: Tensor, edge_index: Tensor, y: Any = None, pos: Any = None, train_mask: Any = None
    ) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits if pos is None else logits + pos


def test_types_of_edges_are_passed() -> None:
    hetero = HeteroData()
    hetero["a"].x = make_graph().x
    edges = make_graph().edge_index
    hetero["a", "to", "a"].edge_index = edges[:, :50]
    hetero["a", "of", "a"].edge_index = edges[:, 50:]
    data, model = hetero.to_homogeneous(), seeded(Typed)
    truth = truth_of(model, data, lambda m, x, graph: m(x, graph.edge_index, graph.edge_type))
    assert not torch.equal(truth, truth_of(model, data))
    assert_votes(votes_of(model, data), truth)
    train(model, data.update({"y": torch.arange(N) % C}))


def test_weights_that_are_called_attributes_are_not_dropped() -> None:
    data = labeled()
    del data.edge_weight
    data = GDC()(data)
    assert data.edge_attr.dim() == 1 and "edge_weight" not in data
    for model in (seeded(Weighted, seed=3), gcn()):
        refused(lambda model=model: votes_of(model, data), "edge_weight")
        refused(lambda model=model: train(model, data), "edge_weight")
        truth = truth_of(model, data, attributed_call)
        assert_votes(votes_of(model, data, forward=attributed_call), truth)
    column = data.clone().update({"edge_attr": data.edge_attr.view(-1, 1)})
    refused(lambda: votes_of(seeded(Weighted), column), "edge_weight")
    several = data.clone().update({"edge_attr": torch.rand(data.num_edges, 2)})
    model = seeded(Weighted, seed=3)
    assert_votes(votes_of(model, several), truth_of(model, several))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("y", torch.arange(N)),
        ("pos", torch.randn(N, C)),
        ("train_mask", torch.ones(N, dtype=torch.bool)),
    ],
)
def test_what_may_depend_on_features_is_passed_if_it_is_kept(name: str, value: Tensor) -> None:
    data, model = labeled(), seeded(Labeled)
    del data.y
    data[name] = value
    refused(lambda: votes_of(model, data), name)

    def call(model: nn.Module, x: Tensor, graph: Data) -> Tensor:
        return model(x, graph.edge_index, **{name: graph[name]})

    assert_votes(votes_of(model, data, keep=(name,)), truth_of(model, data, call))
    assert_votes(votes_of(model, data, forward=pyg_call), truth_of(model, data))
    data.y = torch.arange(N) % C
    refused(lambda: train(model, data), name, "y")
    train(model, data, keep=("y", name))


def test_what_is_needed_and_not_there_is_named() -> None:
    class Needy(Linear):
        def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
            return super().forward(x, edge_index)

    refused(lambda: votes_of(seeded(Needy), make_graph()), "edge_attr")
    refused(lambda: train(seeded(Needy), labeled()), "edge_attr")


class Hetero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Linear(D + 1, C)

    def forward(
        self, x_dict: Any, edge_index_dict: Any, edge_weight_dict: Any = None, pos_dict: Any = None
    ) -> Any:
        h = self.own(x_dict["a"])
        source, target = edge_index_dict["a", "to", "b"]
        weight = torch.ones(len(source)) if edge_weight_dict is None else None
        weight = edge_weight_dict["a", "to", "b"] if weight is None else weight
        rows = len(x_dict["b"])
        return {"b": h.new_zeros(rows, C).index_add(0, target, h[source] * weight.view(-1, 1))}


def hetero_graph() -> HeteroData:
    generator = torch.Generator().manual_seed(3)
    data = HeteroData()
    data["a"].x, data["b"].x = torch.randn(N, D, generator=generator), torch.ones(5, 2)
    ends = [torch.randint(size, (1, 30), generator=generator) for size in (N, 5)]
    data["a", "to", "b"].edge_index = torch.cat(ends)
    data["a", "to", "b"].edge_weight = torch.randn(30, generator=generator)
    return data


def hetero_votes(model: nn.Module, data: HeteroData, **options: Any) -> Tensor:
    noise = HierarchicalNodeFeatureNoise({"a": 0.5}, AblationNoise())
    classifier = SmoothedNodeClassifier(model, noise, C, node_type="b", **options)
    return classifier.sample_votes(data, SAMPLES, progress=False, num_workers=0)


def test_dictionaries_of_edges_are_passed() -> None:
    data, model = hetero_graph(), seeded(Hetero)

    def call(m: nn.Module, x: Tensor, graph: HeteroData) -> Tensor:
        features = {"a": x, "b": graph["b"].x}
        return m(features, graph.edge_index_dict, graph.collect("edge_weight"))["b"]

    assert_votes(hetero_votes(model, data), hetero_votes(model, data, forward=call))
    data["a"].pos = torch.ones(N, 1)
    refused(lambda: hetero_votes(model, data), "pos")
    assert_votes(hetero_votes(model, data, keep=("pos",)), hetero_votes(model, data, forward=call))


def test_heterogeneous_graphs_are_not_trained_on() -> None:
    refused(lambda: train(seeded(Hetero), hetero_graph()), "HeteroData")


# C: datasets that draw, and data that carry the noise already


class Drawn(Dataset[Data]):
    """Graphs whose transform draws."""

    def __init__(self, transform: Any) -> None:
        self.graphs, self.transform = [labeled(), make_graph(seed=1)], transform
        for i, graph in enumerate(self.graphs):
            del graph.edge_weight
            graph.y = torch.tensor([i])

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> Data:
        return self.transform(self.graphs[i].clone())


def jittered(data: Data) -> Data:
    data.x = data.x + torch.rand(())
    return data


def generator_of_its_own(data: Data) -> Data:
    data.x = data.x + np.random.default_rng().random()
    return data


GRAPH_SPLIT = GraphSplit(torch.tensor([0]), torch.tensor([1]), torch.empty(0, dtype=torch.long))


@pytest.mark.parametrize("transform", [jittered, generator_of_its_own, ABLATION])
@pytest.mark.parametrize("wrap", [lambda d: d, DataLoader, lambda d: Subset(d, [0, 1])])
def test_datasets_that_draw_are_refused(transform: Any, wrap: Any) -> None:
    data = wrap(Drawn(transform))
    smoothed = SmoothedGraphClassifier(seeded(Pooled), ABLATION, C)
    exact = HierarchicalNodeFeatureNoise(PartitionSelection(4, 2), AblationNoise())
    for run in (
        lambda: smoothed.sample_votes(data, 20, progress=False),
        lambda: SmoothedGraphClassifier(seeded(Pooled), exact, C).certify(data, progress=False),
        lambda: train_graph_classifier(
            seeded(Pooled), data, GRAPH_SPLIT, ABLATION, max_epochs=1, progress=False
        ),
    ):
        refused(run, "transform")


@pytest.mark.parametrize("indicator", [False, True])
def test_data_that_carry_the_noise_are_refused(indicator: bool) -> None:
    noise = HierarchicalNodeFeatureNoise(0.5, AblationNoise(), append_indicator=indicator)
    model = Linear(D + 1 + indicator)
    noisy = noise(labeled())
    for data in (noisy, noisy.clone(), noisy.subgraph(torch.arange(N))):
        refused(lambda data=data: votes_of(model, data, noise), "transform")
        refused(lambda data=data: train(model, data), "transform")
    graphs = [noise(make_graph(seed=i)) for i in range(2)]
    smoothed = SmoothedGraphClassifier(Pooled(D + 1 + indicator), noise, C)
    clean = Batch.from_data_list([make_graph(seed=i) for i in range(2)])
    for several in (graphs, Batch.from_data_list(graphs), noise(clean)):
        refused(lambda several=several: smoothed.certify(several, progress=False), "transform")


def test_noise_that_lost_its_mark_is_recognized_by_its_indicator() -> None:
    data = Data(x=GAUSSIAN(make_graph()).x, edge_index=make_graph().edge_index)
    with pytest.raises(ValueError, match="carry the noise already, so pass the clean data"):
        votes_of(seeded(Linear), data)
    wider = make_graph()
    wider.x = torch.randn(N, D + 1)
    with pytest.raises(ValueError, match="pass append_indicator=False"):
        votes_of(seeded(Linear), wider)


# D: caches are those of PyG's convolutions


class OwnCache(Linear):
    """Keeps a bias that it is given, under a name that looks like one of PyG's."""

    def __init__(self) -> None:
        super().__init__()
        self._cached_bias = torch.tensor([0.0, 5.0, -5.0])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits if self._cached_bias is None else logits + self._cached_bias


def test_what_a_model_calls_cached_is_its_own() -> None:
    model = seeded(OwnCache)
    assert_votes(votes_of(model, make_graph()), truth_of(model, make_graph()))
    train(model, labeled())
    assert model._cached_bias.tolist() == [0, 5, -5]


# E: labels

LABELS = torch.arange(N) % C


@pytest.mark.parametrize(
    "y",
    [
        LABELS.view(1, N),
        LABELS.view(N, 1),
        LABELS.int(),
        LABELS.to(torch.uint8),
        torch.where(torch.arange(N) < 12, LABELS, -1),
    ],
)
def test_labels_that_mean_the_same_train_the_same(y: Tensor) -> None:
    histories = [train(seeded(Linear), labeled(y=each)) for each in (LABELS, y)]
    assert histories[0].val_losses == histories[1].val_losses


@pytest.mark.parametrize(
    "y",
    [
        torch.arange(N + 3) % C,
        LABELS.float(),
        nn.functional.one_hot(LABELS),
        LABELS + 1,
        LABELS - 1,
        torch.randint(2, (N, 4)),
    ],
)
def test_labels_that_are_none_are_refused(y: Tensor) -> None:
    refused(lambda: train(seeded(Linear), labeled(y=y)), "y")


# F: features that carry no information


class Normed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin = nn.Linear(width, N)
        self.bn = BatchNorm(N)
        self.out = nn.Linear(N, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.out(self.bn(self.lin(x)))


def test_constant_features_are_no_secret() -> None:
    data = Constant()(Data(edge_index=make_graph().edge_index, num_nodes=N))
    model = seeded(Normed, 2)
    with torch.no_grad():
        model.lin.weight.normal_(), model.out.bias.zero_()
    assert torch.equal(model.bn.module.weight, torch.ones(N))
    assert_votes(votes_of(model, data), truth_of(model, data))


def test_identity_features_are_no_secret() -> None:
    data, noise = make_graph(), HierarchicalNodeFeatureNoise(0.5, AblationNoise(), False)
    data.x = torch.eye(N)
    model = seeded(Normed, N)
    nn.init.eye_(model.lin.weight)
    truth = plain_votes(pyg_call, model, noise, data, SAMPLES, C)
    assert_votes(votes_of(model, data, noise), truth)


# G: num_hops


@pytest.mark.parametrize("hops", [[0, 1, 2], "auto", 1, None])
def test_num_hops_of_a_model_of_ones_own_is_its_own(hops: Any) -> None:
    model = gcn()
    model.num_hops = hops
    smoothed = SmoothedNodeClassifier(model, ABLATION, C)
    assert smoothed.num_hops is None
    data = make_graph()
    truth = truth_of(model, data, weighted_call)
    assert_votes(smoothed.sample_votes(data, SAMPLES, progress=False, num_workers=0), truth)


# H: targets


def test_targets_in_every_form() -> None:
    mask = torch.zeros(N, dtype=torch.bool)
    mask[[2, 5, 11]] = True
    data, model = make_graph(), seeded(Linear)
    expected = truth_of(model, data)[mask]
    for index in (
        *(mask, mask.numpy(), mask.tolist(), mask.nonzero(), torch.where(mask), {11, 2, 5}),
        *(np.array([2, 5, 11]), torch.tensor([2, 5, 11], dtype=torch.int32), mask.view(-1, 1)),
    ):
        assert torch.equal(votes_of(model, data, node_index=index), expected)
    assert torch.equal(
        votes_of(model, data, node_index=slice(3, 9, 2)), truth_of(model, data)[3:9:2]
    )
    for wrong in (mask.long(), mask.int(), mask.float(), mask.to(torch.uint8), [[1, 2], [3, 4]]):
        refused(lambda wrong=wrong: votes_of(model, data, node_index=wrong), "node_index")
        bad = NodeSplit(torch.as_tensor(wrong), SPLIT.val_index, SPLIT.test_index)
        refused(lambda bad=bad: train(seeded(Linear), labeled(), split=bad), "split.train_index")


def test_masks_in_a_split_are_trained_on() -> None:
    masks = []
    for index in (SPLIT.train_index, SPLIT.val_index, SPLIT.test_index):
        masks.append(torch.zeros(N, dtype=torch.bool))
        masks[-1][index] = True
    histories = [
        train(seeded(Linear), labeled(), split=split) for split in (SPLIT, NodeSplit(*masks))
    ]
    assert histories[0].val_losses == histories[1].val_losses


# I: too few samples


@pytest.mark.parametrize("until", [None, {"r": 1}])
def test_too_few_samples_are_told_before_sampling(until: Any) -> None:
    smoothed = SmoothedNodeClassifier(seeded(Linear), ABLATION, C)
    options: dict[str, Any] = {"alpha": 0.001, "until": until, "progress": False, "num_workers": 0}
    with pytest.warns(UserWarning, match=r"'n' must be at least (\d+) for alpha=0.001") as told:
        smoothed.certify(make_graph(), n=5, **options)
    least = int(str(told[0].message).split("at least ")[1].split()[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smoothed.certify(make_graph(), n=least, **options)
    with pytest.warns(UserWarning, match=f"at least {least} "):
        smoothed.certify(make_graph(), n=least - 1, **options)


# J: graphs


def test_edges_that_mean_the_same_vote_the_same() -> None:
    model, data = seeded(Linear), make_graph()
    data.edge_index = data.edge_index.int()
    assert_votes(votes_of(model, data), truth_of(model, make_graph()))
    empty = truth_of(model, Data(x=data.x, edge_index=torch.empty(2, 0, dtype=torch.long)))
    for edge_index in (torch.tensor([[], []]), torch.empty(0, 2), torch.tensor([])):
        assert_votes(votes_of(model, Data(x=data.x, edge_index=edge_index)), empty)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.float(),
        lambda e: e.t(),
        lambda e: e + 1,
        lambda e: e - 1,
        lambda e: e.flatten(),
        lambda e: e.numpy(),
    ],
)
def test_edges_that_are_none_are_refused(change: Any) -> None:
    data = labeled()
    data.edge_index = change(data.edge_index)
    del data.edge_weight
    refused(lambda: votes_of(seeded(Linear), data), "edge_index")
    refused(lambda: train(seeded(Linear), data), "edge_index")


@pytest.mark.parametrize("name", ["edge_attr", "edge_index", "x"])
@pytest.mark.parametrize("lacking", [0, 1])
def test_a_graph_that_lacks_something_is_named(name: str, lacking: int) -> None:
    graphs = [make_graph(seed=i) for i in range(2)]
    for graph in graphs:
        graph.y, graph.edge_attr = torch.zeros(1).long(), graph.edge_weight.view(-1, 1)
        del graph.edge_weight
    del graphs[lacking][name]
    smoothed = SmoothedGraphClassifier(seeded(Pooled), ABLATION, C)
    for run in (
        lambda: smoothed.sample_votes(graphs, 20, progress=False),
        lambda: train_graph_classifier(seeded(Pooled), graphs, GRAPH_SPLIT, progress=False),
    ):
        with pytest.raises(ValueError, match=rf"graph {lacking} (lacks|has no).*'{name}'"):
            run()


def test_attributes_that_only_some_graphs_have_make_no_difference() -> None:
    graphs = [make_graph(seed=i) for i in range(2)]
    for graph in graphs:
        graph.y = torch.zeros(1, dtype=torch.long)
    graphs[0].name = "first"
    smoothed = SmoothedGraphClassifier(seeded(Pooled), ABLATION, C)
    votes = smoothed.sample_votes(graphs, 20, progress=False, num_workers=0)
    train_graph_classifier(
        seeded(Pooled), graphs, GRAPH_SPLIT, ABLATION, max_epochs=1, progress=False
    )
    del graphs[0].name
    assert torch.equal(votes, smoothed.sample_votes(graphs, 20, progress=False, num_workers=0))


# K: training takes what certification takes


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update({"x": data.x.to_sparse_csr()}),
        lambda data: data.update({"x": data.x.to_sparse_coo()}),
        lambda data: data.update({"edge_weight": data.edge_weight.double()}),
        lambda data: data.update({"x": data.x.clone().requires_grad_()}),
    ],
)
def test_training_takes_what_certification_takes(change: Any) -> None:
    model = gcn()
    changed = change(labeled())
    plain = labeled()
    del changed.y
    truth = truth_of(model, plain.clone(), weighted_call)
    assert_votes(votes_of(model, changed), truth)
    trained = [train(gcn(), each) for each in (plain, change(labeled()))]
    assert trained[0].val_losses == pytest.approx(trained[1].val_losses, rel=1e-5)


def test_a_token_that_features_cannot_hold_is_refused() -> None:
    token = AblationNoise(torch.full((D,), -0.5))
    data = labeled()
    data.x = (data.x > 0).long()
    noise = HierarchicalNodeFeatureNoise(0.5, token)
    model = nn.Embedding(2, 3)

    def forward(model: nn.Module, x: Tensor, data: Any) -> Tensor:
        return model(x[:, 0].clamp(0, 1))

    refused(lambda: votes_of(model, data, noise, forward=forward), "token")
    refused(lambda: train(model, data, transform=noise, forward=forward), "token")


def test_a_call_of_ones_own_needs_no_edges() -> None:
    data, model = labeled(), seeded(nn.Linear, D + 1, C)
    del data.edge_index, data.edge_weight

    def forward(model: nn.Module, x: Tensor, data: Any) -> Tensor:
        return model(x)

    truth = truth_of(model, data, forward)
    assert_votes(votes_of(model, data, forward=forward), truth)
    train(model, data, forward=forward)


# L: how models are called


class OnData(Linear):
    def forward(self, data: Data) -> Tensor:  # type: ignore[override]
        return super().forward(data.x, data.edge_index)


class Swapped(Linear):
    def forward(self, edge_index: Tensor, x: Tensor) -> Tensor:
        return super().forward(x, edge_index)


class Keywords(Linear):
    def forward(self, *, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index)


@pytest.mark.parametrize("kind", [OnData, Swapped, Keywords])
def test_models_of_other_signatures_are_told_what_works(kind: Any) -> None:
    model, data = seeded(kind), labeled()
    told = []
    for run in (lambda: votes_of(model, data), lambda: train(model, data)):
        with pytest.raises(ValueError) as caught:
            run()
        assert_refusal(caught.value, "forward")
        told.append(str(caught.value))
    assert told[0] == told[1]
    forward = eval(told[0].split("forward=")[1])
    truth = truth_of(seeded(Linear), data)
    assert_votes(votes_of(model, data, forward=forward), truth)
    train(model, data, forward=forward)


class OneLogit(nn.Module):
    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.own, self.flat = nn.Linear(D + 1, 1), flat

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.own(x).view(-1) if self.flat else self.own(x)


@pytest.mark.parametrize("flat", [False, True])
def test_one_logit_is_told_to_become_two(flat: bool) -> None:
    data = labeled(y=torch.arange(N) % 2)
    for run in (
        lambda: votes_of(seeded(OneLogit, flat), data),
        lambda: train(seeded(OneLogit, flat), data),
    ):
        with pytest.raises(ValueError, match="of one logit z"):
            run()


# The rest: dtypes x layouts x shapes x missing keys

EDGES = {
    "int64": lambda e: e,
    "int32": lambda e: e.int(),
    "int16": lambda e: e.short(),
    "float": lambda e: e.float(),
    "bool": lambda e: e.bool(),
    "turned": lambda e: e.t(),
    "contiguous turned": lambda e: e.t().contiguous(),
    "from one": lambda e: e + 1,
    "too far": lambda e: e * 5,
    "negative": lambda e: e - 3,
    "flat": lambda e: e.reshape(-1),
    "three rows": lambda e: torch.cat([e, e[:1]]),
    "array": lambda e: e.numpy(),
    "list": lambda e: e.tolist(),
    "empty float": lambda e: e[:, :0].float(),
    "empty": lambda e: e[:, :0],
    "none": lambda e: None,
}
FEATURES = {
    "float32": lambda x: x,
    "csr": lambda x: x.to_sparse_csr(),
    "coo": lambda x: x.to_sparse_coo(),
    "gradient": lambda x: x.clone().requires_grad_(),
    "vector": lambda x: x[:, 0],
    "cube": lambda x: x.unsqueeze(0),
    "array": lambda x: x.numpy(),
    "shorter": lambda x: x[:-1],
    "none": lambda x: None,
}
WEIGHTS = {
    "none": lambda w: None,
    "float32": lambda w: w,
    "double": lambda w: w.double(),
    "column": lambda w: w.view(-1, 1),
    "longer": lambda w: torch.cat([w, w]),
    "array": lambda w: w.numpy(),
    "number": lambda w: w[0],
}


@settings(max_examples=60, deadline=None)
@given(
    edges=st.sampled_from(sorted(EDGES)),
    features=st.sampled_from(sorted(FEATURES)),
    weights=st.sampled_from(sorted(WEIGHTS)),
    weighted=st.booleans(),
)
def test_graphs_of_any_kind(edges: str, features: str, weights: str, weighted: bool) -> None:
    """Certification and training: both refuse with the same sentence, or both do it right."""
    assume((edges, features) != ("empty", "shorter"))  # then, features alone say how many nodes
    data, model = labeled(), seeded(Weighted if weighted else Linear)
    for name, kind in (
        ("edge_index", EDGES[edges]),
        ("x", FEATURES[features]),
        ("edge_weight", WEIGHTS[weights]),
    ):
        data[name] = kind(data[name])  # which is deleted by None
    outcomes = []
    for run in (lambda: votes_of(model, data), lambda: train(seeded(type(model)), data)):
        try:
            outcomes.append(run())
        except ValueError as error:
            assert_refusal(error, "edge_index", "x", "edge_weight", "num_nodes")
            outcomes.append(str(error))
    assert isinstance(outcomes[0], str) == isinstance(outcomes[1], str), outcomes
    if isinstance(outcomes[0], str):
        assert outcomes[0] == outcomes[1]
        return
    plain = labeled()
    plain.edge_index = torch.as_tensor(data.edge_index).long()
    given_weights = data.get("edge_weight")
    plain.edge_weight = None if given_weights is None else given_weights.float()
    has_weights = weighted and given_weights is not None
    call = weighted_call if has_weights else pyg_call
    assert torch.equal(outcomes[0], truth_of(model, plain, call))


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(
        [torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64, torch.float32]
    ),
    shape=st.sampled_from(["row", "column", "flat", "doubled", "scalar"]),
    values=st.lists(st.integers(-2, N + 1), min_size=0, max_size=N),
    mask=st.booleans(),
)
def test_targets_of_any_kind(dtype: torch.dtype, shape: str, values: list[int], mask: bool) -> None:
    numbers = torch.tensor(values, dtype=torch.long)
    if mask:
        numbers = torch.tensor([i in values for i in range(N)]).long()
    index = numbers.to(dtype)
    index = {
        "row": lambda i: i.view(1, -1),
        "column": lambda i: i.view(-1, 1),
        "flat": lambda i: i,
        "doubled": lambda i: torch.cat([i, i]),
        "scalar": lambda i: i[0] if len(i) else i,
    }[shape](index)
    from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index

    try:
        targets = as_target_index(index, N, "node")
    except ValueError as error:
        assert_refusal(error, "node_index")
        return
    picked = torch.arange(N)[index.view(-1) if index.dtype == torch.bool else index.long().view(-1)]
    assert torch.equal(targets, picked)


PARTS = {
    "plain": lambda data: data,
    "int32": lambda data: data.update({"edge_index": data.edge_index.int()}),
    "no edges, float": lambda data: data.update(
        {"edge_index": torch.tensor([[], []]), "edge_weight": torch.empty(0)}
    ),
    "double weights": lambda data: data.update({"edge_weight": data.edge_weight.double()}),
    "no weights": lambda data: without(data, "edge_weight"),
    "no edges": lambda data: without(data, "edge_index"),
    "no features": lambda data: without(data, "x"),
    "double features": lambda data: data.update({"x": data.x.double()}),
    "sparse features": lambda data: data.update({"x": data.x.to_sparse_coo()}),
    "from one": lambda data: data.update({"edge_index": data.edge_index + 1}),
    "a name": lambda data: data.update({"name": "first"}),
    "labels": lambda data: data.update({"y": torch.ones(1, 1)}),
    "noise": lambda data: ABLATION(data),
}


def without(data: Data, name: str) -> Data:
    del data[name]
    return data


class WeightedPool(Pooled):
    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor, batch: Tensor, edge_weight: Any = None
    ) -> Tensor:
        logits = super().forward(x, edge_index, batch)
        if edge_weight is None:
            return logits
        sums = edge_weight.new_zeros(len(logits)).index_add(0, batch[edge_index[0]], edge_weight)
        return logits * torch.tensor([1.0, 1.0, 0.5]) + 0.1 * sums.view(-1, 1) * logits.roll(1, 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=3))
def test_graphs_of_many_kinds_in_a_list(kinds: list[str]) -> None:
    graphs = [PARTS[kind](make_graph(seed=i)) for i, kind in enumerate(kinds)]
    model = seeded(WeightedPool)
    smoothed = SmoothedGraphClassifier(model, ABLATION, C)
    try:
        votes = smoothed.sample_votes(graphs, SAMPLES, progress=False, num_workers=0)
    except ValueError as error:
        assert_refusal(error, *[str(i) for i in range(len(kinds))], "edge_index", "features")
        return
    canonical = []
    for graph in graphs:
        plain = Data(x=graph.x.to_dense(), edge_index=graph.edge_index.long())
        if "edge_weight" in graph:
            plain.edge_weight = graph.edge_weight.to(plain.x.dtype)
        canonical.append(plain)
    batch, sizes = Batch.from_data_list(canonical), [graph.num_nodes for graph in canonical]

    def call(model: nn.Module, x: Tensor, data: Any) -> Tensor:
        return model(x, data.edge_index, data.batch, data.get("edge_weight"))

    truth = plain_votes(call, model, ABLATION, batch, SAMPLES, C, sizes, path=(0,))
    assert torch.equal(votes, truth)
