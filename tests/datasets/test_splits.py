from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_hiersmooth.datasets import NodeSplit, inductive_subgraph, load_dataset, split_nodes


def labels_of_size(num_nodes: int, num_classes: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, num_classes, num_nodes))


def reference_split(
    y: torch.Tensor, num_per_class: int, test_ratio: float, seed: int
) -> list[np.ndarray]:
    """The published protocol, with the generators it uses."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    labels = y.numpy()
    random = np.random.RandomState(seed)
    train, val = [], []
    for label in range(labels.max() + 1):
        nodes = random.permutation(np.nonzero(labels == label)[0])
        train.extend(nodes[:num_per_class])
        val.extend(nodes[num_per_class : num_per_class * 2])
    train_index = random.permutation(np.array(train))
    val_index = random.permutation(np.array(val))
    used = set(train) | set(val)
    rest = np.array([node for node in range(len(labels)) if node not in used])
    _, test_index = model_selection.train_test_split(rest, test_size=test_ratio, random_state=seed)
    return [train_index, val_index, test_index]


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32 - 1])
@pytest.mark.parametrize(
    ("num_nodes", "num_per_class", "test_ratio"),
    [(400, 20, 0.1), (401, 20, 0.1), (333, 3, 0.25), (1010, 1, 0.3), (90, 5, 0.9)],
)
def test_same_nodes_as_the_reference(
    num_nodes: int, num_per_class: int, test_ratio: float, seed: int
) -> None:
    y = labels_of_size(num_nodes)
    split = split_nodes(y, num_per_class, test_ratio, seed)
    expected = reference_split(y, num_per_class, test_ratio, seed)
    actual = [split.train_index, split.val_index, split.test_index]
    for index, expected_index in zip(actual, expected, strict=True):
        assert index.dtype == torch.int64
        assert index.tolist() == expected_index.tolist()


def test_stream_is_that_of_the_global_numpy_seed() -> None:
    y = torch.zeros(30, dtype=torch.int64)
    np.random.seed(7)
    nodes = np.random.permutation(np.arange(30))
    expected = np.random.permutation(nodes[:5])
    assert split_nodes(y, num_per_class=5, seed=7).train_index.tolist() == expected.tolist()


def test_sets_are_disjoint_and_balanced() -> None:
    y = labels_of_size(500)
    split = split_nodes(y)
    assert y[split.train_index].bincount().tolist() == [20] * 4
    assert y[split.val_index].bincount().tolist() == [20] * 4
    assert split.test_index.numel() == 34  # A tenth of 340.
    everything = torch.cat([split.train_index, split.val_index, split.test_index])
    assert everything.unique().numel() == everything.numel()


def test_global_numpy_state_is_left_alone() -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    split_nodes(labels_of_size(300), seed=5)
    assert np.random.random() == expected


def test_cora_ml_has_253_test_nodes(data_root: Path) -> None:
    split = split_nodes(load_dataset("Cora_ML", data_root)[0].y)
    assert [split.train_index.numel(), split.val_index.numel()] == [140, 140]
    assert split.test_index.numel() == 253


def test_split_is_frozen() -> None:
    index = torch.arange(2)
    split = NodeSplit(index, index, index)
    with pytest.raises(AttributeError):
        split.train_index = index  # type: ignore[misc]


def test_small_class() -> None:
    y = torch.tensor([0] * 50 + [1] * 39 + [2] * 50)
    with pytest.raises(ValueError, match=r"'y' must have .* = 40 nodes .* .got 39 of class 1"):
        split_nodes(y)
    with pytest.raises(ValueError, match="got 0 of class 1"):
        split_nodes(torch.tensor([0] * 50 + [2] * 50))


def test_calibration_nodes_leave_the_other_sets_as_they_are() -> None:
    y = labels_of_size(500)
    without, split = split_nodes(y, seed=3), split_nodes(y, seed=3, calibration=200)
    for (name, index), (_, expected) in zip(split.parts(), without.parts(), strict=False):
        assert name == "calibration" or index.tolist() == expected.tolist()
    assert without.calibration_index.numel() == 0 and "calibration" not in repr(without)
    assert repr(split) == "NodeSplit(train=80, val=80, test=34, calibration=200)"
    everything = torch.cat([index for _, index in split.parts()])
    assert everything.unique().numel() == everything.numel() == 394
    most = split_nodes(y, calibration=306)
    assert sum(index.numel() for _, index in most.parts()) == 500


def test_calibration_nodes_are_a_random_draw() -> None:
    """A correct draw fails with probability below 1e-5, were the seeds not fixed: the mean row
    number of calibration and of test nodes, over 200 splits, within five standard errors."""
    y = torch.zeros(120, dtype=torch.int64)
    drawn = [split_nodes(y, 10, 0.2, seed, calibration=20) for seed in range(200)]
    for name in ("test_index", "calibration_index"):
        rows = torch.stack([getattr(split, name) for split in drawn]).double()
        assert abs(float(rows.mean()) - 59.5) < 5 * 34.6 / (20 * 200) ** 0.5
    # and each of the two orders of a pair of nodes comes about equally often
    firsts = [int(split.calibration_index[0] > split.test_index[0]) for split in drawn]
    assert 65 <= sum(firsts) <= 135  # 100 +- 5 standard deviations of 7


def test_calibration_nodes_are_used_for_nothing_else() -> None:
    a, b, c = torch.arange(3), torch.arange(3, 6), torch.arange(6, 9)
    with pytest.raises(ValueError, match=r"used for nothing else \(got 2 of 'train_index'\)"):
        NodeSplit(a, b, c, torch.tensor([0, 1, 20]))
    with pytest.raises(ValueError, match=r"got 1 of 'test_index'"):
        NodeSplit(a, b, c, torch.tensor([8]))
    with pytest.raises(ValueError, match="must not hold an object twice"):
        NodeSplit(a, b, c, torch.tensor([20, 20]))
    assert NodeSplit(a, b, c, torch.tensor([9])).calibration_index.tolist() == [9]


def test_masks_hold_the_split() -> None:
    split = split_nodes(labels_of_size(300), num_per_class=10, calibration=50)
    data = Data(x=torch.zeros(300, 1))
    masked = split.to_masks(data)
    assert "train_mask" not in data
    assert masked.calibration_mask.dtype == torch.bool and int(masked.calibration_mask.sum()) == 50
    again = NodeSplit.from_masks(masked)
    for (name, index), (_, expected) in zip(again.parts(), split.parts(), strict=True):
        assert index.tolist() == expected.sort().values.tolist(), name
    without = split_nodes(labels_of_size(300), num_per_class=10).to_masks(masked)
    assert "calibration_mask" not in without
    assert NodeSplit.from_masks(without).calibration_index.numel() == 0
    with pytest.raises(ValueError, match=r"'data' must have the nodes of 'train_index' \(got 9"):
        split.to_masks(Data(x=torch.zeros(9, 1)))


def test_no_nodes_left_to_test() -> None:
    with pytest.raises(ValueError, match="must leave nodes to test on"):
        split_nodes(torch.zeros(40, dtype=torch.int64))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("y", {"y": torch.rand(100)}),
        ("y", {"y": torch.zeros(100, 2, dtype=torch.int64)}),
        ("y", {"y": torch.zeros(0, dtype=torch.int64)}),
        ("y", {"y": torch.full((100,), -1)}),
        ("num_per_class", {"num_per_class": 0}),
        ("test_ratio", {"test_ratio": 0.0}),
        ("test_ratio", {"test_ratio": 1.0}),
        ("test_ratio", {"test_ratio": float("nan")}),
        ("calibration", {"calibration": -1}),
        ("calibration", {"calibration": 0.5}),
        ("calibration", {"calibration": 55}),  # 60 remain, 6 of them to test on
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**32}),
    ],
)
def test_bad_arguments(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must"):
        split_nodes(**{"y": torch.zeros(100, dtype=torch.int64), **arguments})  # type: ignore


@pytest.fixture
def path_graph() -> Data:
    """0 - 1 - 2 - 3 - 4, with an attribute of every kind."""
    edge_index = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 4], [1, 0, 2, 1, 3, 2, 4, 3]])
    return Data(
        x=torch.arange(5.0).view(5, 1),
        edge_index=edge_index,
        edge_weight=torch.arange(8.0),
        y=torch.arange(5),
        mask=torch.tensor([True, False, True, False, True]),
    )


def test_inductive_subgraph(path_graph: Data) -> None:
    graph, position = inductive_subgraph(path_graph, torch.tensor([4, 1]))
    assert graph.num_nodes == 3
    assert graph.x.view(-1).tolist() == [0, 2, 3]
    assert graph.y.tolist() == [0, 2, 3]
    assert graph.mask.tolist() == [True, True, False]
    assert graph.edge_index.tolist() == [[1, 2], [2, 1]]  # Only 2 - 3 is left.
    assert graph.edge_weight.tolist() == [4, 5]
    assert position.dtype == torch.int64
    assert position.tolist() == [0, -1, 1, 2, -1]


def test_inductive_subgraph_leaves_its_input_alone(path_graph: Data) -> None:
    before = path_graph.clone()
    inductive_subgraph(path_graph, torch.tensor([0]))
    assert set(path_graph.keys()) == set(before.keys())
    for key in before.keys():  # noqa: SIM118
        assert torch.equal(path_graph[key], before[key])


def test_inductive_subgraph_without_exclusions(path_graph: Data) -> None:
    graph, position = inductive_subgraph(path_graph, torch.tensor([], dtype=torch.int64))
    assert torch.equal(graph.edge_index, path_graph.edge_index)
    assert position.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "excluded_index",
    [
        torch.tensor([5]),
        torch.tensor([-1]),
        torch.tensor([[0]]),
        torch.tensor([0.0]),
        torch.tensor([True, False, True, False, True]),
    ],
)
def test_inductive_subgraph_bad_index(path_graph: Data, excluded_index: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="'excluded_index' must be"):
        inductive_subgraph(path_graph, excluded_index)


def masked(**masks: torch.Tensor) -> Data:
    data = Data(x=torch.zeros(4, 1), edge_index=torch.zeros(2, 0, dtype=torch.long))
    for name in ("train", "val", "test"):
        data[f"{name}_mask"] = torch.tensor([True, False, False, True])
    for name, mask in masks.items():
        data[name] = mask
    return data


def test_the_split_of_masks() -> None:
    split = NodeSplit.from_masks(masked(val_mask=torch.tensor([False, True, False, False])))
    assert split.train_index.tolist() == [0, 3] and split.val_index.tolist() == [1]
    assert repr(split) == "NodeSplit(train=2, val=1, test=2)"


def test_several_splits_in_masks() -> None:
    columns = torch.tensor([[True, False], [False, True], [False, False], [False, True]])
    data = masked(train_mask=columns, val_mask=columns, test_mask=columns)
    assert NodeSplit.from_masks(data, column=1).test_index.tolist() == [1, 3]
    with pytest.raises(ValueError, match=r"'column' must be in \[0, 2\) .got 2"):
        NodeSplit.from_masks(data, column=2)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "must have a bool tensor 'val_mask' .got nothing"),
        (torch.tensor([0, 1]), "must have a bool tensor 'val_mask' .got torch.int64"),
        (torch.tensor([True]), "'val_mask' must have a row for each of 4 nodes .got 1"),
    ],
)
def test_what_is_no_mask(mask: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NodeSplit.from_masks(masked(val_mask=mask))
