from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.datasets import CitationSBM, NodeSplit, inductive_subgraph, split_nodes
from pyg_hiersmooth.models import GCN
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.training import TrainingHistory, train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

SPLIT = NodeSplit(torch.tensor([7, 0, 3, 4]), torch.tensor([9, 1]), torch.tensor([5, 2]))
HIDDEN_IN_TRAINING = {1, 2, 5, 9}
HIDDEN_IN_VALIDATION = {2, 5}


@pytest.fixture
def data() -> Data:
    """Ten nodes, all connected; the first feature is the node's number."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(10, 4, generator=generator)
    x[:, 0] = torch.arange(10.0)
    edge_index = torch.combinations(torch.arange(10)).t()
    return Data(
        x=x, edge_index=torch.cat([edge_index, edge_index.flip(0)], 1), y=torch.arange(10) % 2
    )


def flip_signs(data: Data) -> Data:
    data.x = data.x * (2 * torch.randint(0, 2, data.x.shape) - 1)
    return data


def new_model() -> GCN:
    torch.manual_seed(0)
    return GCN(4, 2, hidden_channels=8)


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([parameter.detach().view(-1) for parameter in model.parameters()])


class Recorder(torch.nn.Module):
    """Remembers the nodes and edges it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)
        self.seen: dict[bool, list[tuple[set[int], set[int]]]] = {True: [], False: []}

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        node = x[:, 0].long()
        self.seen[self.training].append(
            (set(node.tolist()), set(node[edge_index].view(-1).tolist()))
        )
        return self.linear(x)


def test_held_out_nodes_are_never_shown(data: Data) -> None:
    model = Recorder()
    train_node_classifier(model, data, SPLIT, max_epochs=3, progress=False)
    everyone = set(range(10))
    assert model.seen[True] == [(everyone - HIDDEN_IN_TRAINING,) * 2] * 3
    assert model.seen[False] == [(everyone - HIDDEN_IN_VALIDATION,) * 2] * 3


def test_transductive_training_sees_all_nodes_and_no_other_labels(data: Data) -> None:
    model, everyone = Recorder(), set(range(10))
    options = {"max_epochs": 3, "progress": False, "inductive": False}
    train_node_classifier(model, data, SPLIT, **options)
    assert model.seen[True] == model.seen[False] == [(everyone,) * 2] * 3

    def run(relabeled: Tensor) -> tuple[TrainingHistory, Tensor]:
        graph, fitted = data.clone(), new_model()
        graph.y[relabeled] = 1 - graph.y[relabeled]
        split = replace(SPLIT, calibration_index=torch.tensor([6]))
        return train_node_classifier(fitted, graph, split, flip_signs, **options), weights(fitted)

    history, plain = run(torch.tensor([], dtype=torch.int64))
    for hidden in (SPLIT.test_index, torch.tensor([6, 8])):
        again, same = run(hidden)
        assert again == history
        assert torch.equal(same, plain)
    changed, _ = run(SPLIT.val_index)
    assert changed.train_losses == history.train_losses
    assert changed.val_losses != history.val_losses
    assert run(SPLIT.train_index[:1])[0].train_losses != history.train_losses


def test_calibration_nodes_are_hidden_as_test_nodes_are(data: Data) -> None:
    model, own = Recorder(), torch.tensor([6, 8])
    split = replace(SPLIT, calibration_index=own)
    train_node_classifier(model, data, split, max_epochs=2, progress=False)
    hidden = {6, 8} | HIDDEN_IN_VALIDATION
    assert model.seen[True] == [(set(range(10)) - hidden - HIDDEN_IN_TRAINING,) * 2] * 2
    assert model.seen[False] == [(set(range(10)) - hidden,) * 2] * 2
    swapped = replace(SPLIT, test_index=own, calibration_index=SPLIT.test_index)
    runs = []
    for each in (split, swapped):
        fitted = new_model()
        train_node_classifier(fitted, data, each, flip_signs, max_epochs=3, progress=False)
        runs.append(weights(fitted))
    assert torch.equal(*runs)
    with pytest.raises(ValueError, match=r"'split.calibration_index' must lie .*got 10"):
        train_node_classifier(model, data, replace(split, calibration_index=torch.tensor([10])))


def test_held_out_nodes_have_no_influence(data: Data) -> None:
    def run(changed: Tensor | None) -> tuple[TrainingHistory, Tensor]:
        graph = data.clone()
        if changed is not None:
            graph.x[changed] += 100
            graph.y[changed] = 1 - graph.y[changed]
        model = new_model()
        history = train_node_classifier(
            model, graph, SPLIT, flip_signs, max_epochs=5, progress=False
        )
        return history, weights(model)

    plain_history, plain_weights = run(None)
    history, changed_weights = run(SPLIT.test_index)
    assert history == plain_history
    assert torch.equal(changed_weights, plain_weights)

    history, _ = run(SPLIT.val_index)
    assert history.train_losses == plain_history.train_losses
    assert history.val_losses != plain_history.val_losses

    history, _ = run(SPLIT.train_index)
    assert history.train_losses != plain_history.train_losses

    # Classes of unlabeled nodes are not used, their features are.
    unlabeled = torch.tensor([6, 8])
    relabeled = data.clone()
    relabeled.y[unlabeled] = 1 - relabeled.y[unlabeled]
    again = train_node_classifier(
        new_model(), relabeled, SPLIT, flip_signs, max_epochs=5, progress=False
    )
    assert again == plain_history
    assert run(unlabeled)[0].train_losses != plain_history.train_losses


def test_labels_may_be_a_column(data: Data) -> None:
    column = data.clone()
    column.y = data.y.view(-1, 1)
    histories = [
        train_node_classifier(new_model(), graph, SPLIT, max_epochs=2, progress=False)
        for graph in (data, column)
    ]
    assert histories[0] == histories[1]


def test_first_training_loss_is_that_of_the_training_nodes(data: Data) -> None:
    model = new_model()
    model.dropout = 0.0
    graph, position = inductive_subgraph(data, torch.cat([SPLIT.val_index, SPLIT.test_index]))
    logits = model(graph.x, graph.edge_index)[position[SPLIT.train_index]]
    expected = F.cross_entropy(logits, data.y[SPLIT.train_index]).item()
    history = train_node_classifier(model, data, SPLIT, max_epochs=1, progress=False)
    assert history.train_losses == pytest.approx((expected,))


def test_noise_is_fresh_for_every_evaluation(data: Data) -> None:
    drawn = []

    def transform(graph: Data) -> Data:
        graph = flip_signs(graph)
        drawn.append(graph.x)
        return graph

    before = data.clone()
    train_node_classifier(new_model(), data, SPLIT, transform, max_epochs=4, progress=False)
    assert [len(x) for x in drawn] == [6, 8] * 4
    for size in (6, 8):
        noisy = [x for x in drawn if len(x) == size]
        clean = noisy[0].abs()
        assert all(torch.equal(x.abs(), clean) for x in noisy)  # Noise does not pile up.
        assert len({tuple(x.view(-1).tolist()) for x in noisy}) == 4
    assert set(data.keys()) == set(before.keys())
    assert all(torch.equal(data[key], before[key]) for key in before.keys())  # noqa: SIM118


def test_best_weights_are_restored(data: Data) -> None:
    model = new_model()
    history = train_node_classifier(
        model, data, SPLIT, lr=0.3, max_epochs=60, patience=60, progress=False
    )
    assert history.num_epochs == 60
    assert history.best_epoch < 59
    assert history.best_val_loss == min(history.val_losses)
    assert not model.training

    graph, position = inductive_subgraph(data, SPLIT.test_index)
    logits = model(graph.x, graph.edge_index)[position[SPLIT.val_index]]
    labels = data.y[SPLIT.val_index]
    assert F.cross_entropy(logits, labels).item() == pytest.approx(history.best_val_loss)
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    assert accuracy == pytest.approx(history.best_val_accuracy)


class Scripted(torch.nn.Module):
    """Has the given validation losses, one after the other, and counts its training steps."""

    def __init__(self, val_losses: list[float]) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("steps", torch.tensor(0))
        self.losses = torch.tensor(val_losses, dtype=torch.float64)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            return self.bias.expand(len(x), 2)
        loss = self.losses[self.steps - 1]
        correct = torch.nn.functional.one_hot(x[:, 0].long() % 2, 2)
        return -torch.log(torch.expm1(loss)) * correct


@pytest.mark.parametrize(
    ("val_losses", "patience", "num_epochs", "best_epoch"),
    [
        ([3, 2, 1, 1, 1, 1, 0.5, 0.4], 3, 6, 2),  # An equal loss is no improvement.
        ([3, 2, 1, 1, 1, 1, 0.5, 0.4], 4, 8, 7),
        ([1, 2, 3], 1, 2, 0),
        ([3, 2, 1], 1, 3, 2),
    ],
)
def test_early_stopping(
    data: Data, val_losses: list[float], patience: int, num_epochs: int, best_epoch: int
) -> None:
    model = Scripted(val_losses)
    history = train_node_classifier(
        model, data, SPLIT, max_epochs=len(val_losses), patience=patience, progress=False
    )
    assert history.val_losses == pytest.approx(val_losses[:num_epochs])
    assert history.num_epochs == num_epochs
    assert history.best_epoch == best_epoch
    assert model.steps == best_epoch + 1


def test_seed_determines_the_run(data: Data) -> None:
    def run(seed: int, outer_seed: int) -> tuple[TrainingHistory, Tensor]:
        model = new_model()
        torch.manual_seed(outer_seed)
        state = torch.get_rng_state()
        history = train_node_classifier(
            model, data, SPLIT, flip_signs, seed=seed, max_epochs=5, progress=False
        )
        assert torch.equal(torch.get_rng_state(), state)
        return history, weights(model)

    history, final = run(seed=1, outer_seed=10)
    same_history, same_final = run(seed=1, outer_seed=11)
    assert history == same_history
    assert torch.equal(final, same_final)
    assert run(seed=2, outer_seed=10)[0] != history


def test_optimizer_arguments_have_an_effect(data: Data) -> None:
    def run(**arguments: float) -> Tensor:
        model = new_model()
        train_node_classifier(
            model,
            data,
            SPLIT,
            max_epochs=5,
            progress=False,
            **arguments,  # type: ignore
        )
        return weights(model)

    default = run()
    assert torch.equal(run(lr=1e-3, weight_decay=5e-4), default)
    assert not torch.equal(run(lr=1e-2), default)
    assert not torch.equal(run(weight_decay=0.0), default)


def test_interrupt_propagates(data: Data) -> None:
    calls = []

    def transform(graph: Data) -> Data:
        calls.append(graph)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return graph

    model, state = new_model(), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train_node_classifier(model, data, SPLIT, transform, progress=False)
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_loss_that_is_not_finite(data: Data) -> None:
    data.x[0] = float("nan")
    model = new_model()
    before = weights(model)
    with pytest.raises(FloatingPointError, match="training loss became nan in epoch 0"):
        train_node_classifier(model, data, SPLIT, progress=False)
    assert torch.equal(weights(model), before)
    assert not model.training


def test_validation_loss_that_is_not_finite(data: Data) -> None:
    data.x[SPLIT.val_index] = float("inf")
    with pytest.raises(FloatingPointError, match="validation loss became nan in epoch 0"):
        train_node_classifier(new_model(), data, SPLIT, progress=False)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_bar(data: Data, progress: bool, capsys: pytest.CaptureFixture[str]) -> None:
    train_node_classifier(new_model(), data, SPLIT, max_epochs=2, progress=progress)
    output = capsys.readouterr()
    assert output.out == ""
    assert ("Training" in output.err) is progress
    assert progress or output.err == ""


def test_history_is_frozen() -> None:
    history = TrainingHistory((0.9, 0.8, 0.7), (0.5, 0.4, 0.6), (0.1, 0.2, 0.3))
    assert (history.num_epochs, history.best_epoch) == (3, 1)
    assert (history.best_val_loss, history.best_val_accuracy) == (0.4, 0.2)
    with pytest.raises(FrozenInstanceError):
        history.val_losses = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.0),
        ("lr", float("nan")),
        ("weight_decay", -1.0),
        ("max_epochs", 0),
        ("patience", 0),
    ],
)
def test_bad_numbers(data: Data, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be .* \\(got {value}\\)"):
        train_node_classifier(new_model(), data, SPLIT, **{name: value})  # type: ignore


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_index": torch.tensor([], dtype=torch.int64)}, ".train_index' must name at least"),
        ({"val_index": torch.tensor([], dtype=torch.int64)}, ".val_index' must name at least"),
        ({"train_index": torch.tensor([0, 10])}, r"between 0 and 9 \(got 0 to 10"),
        ({"test_index": torch.tensor([-1])}, "got -1 to -1"),
        ({"test_index": torch.tensor([0])}, "overlapping sets"),
    ],
)
def test_bad_split(data: Data, change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=f"'split.*{message}"):
        train_node_classifier(new_model(), data, replace(SPLIT, **change))


@pytest.mark.parametrize("name", ["x", "edge_index", "y"])
def test_incomplete_data(data: Data, name: str) -> None:
    data[name] = None
    message = f"(has no node features|must have|must have labels) '{name}'"
    with pytest.raises(ValueError, match=message):
        train_node_classifier(new_model(), data, SPLIT)


def test_training_with_noise_learns() -> None:
    def delete_half(graph: Data) -> Data:
        graph.x = graph.x * (torch.rand(graph.x.shape) < 0.5)
        return graph

    data = CitationSBM()[0]
    split = split_nodes(data.y)
    torch.manual_seed(0)
    model = GCN(data.num_features, 7)
    untrained = copy.deepcopy(model)
    history = train_node_classifier(
        model, data, split, delete_half, lr=1e-2, max_epochs=60, progress=False
    )
    correct = model(data.x, data.edge_index).argmax(dim=1) == data.y
    assert history.best_val_accuracy > 0.7
    assert correct[split.test_index].float().mean() > 0.7
    assert not torch.equal(weights(model), weights(untrained))


def test_draws_that_must_agree_agree_more() -> None:
    r"""Trained with a consistency loss, a model answers more alike under other noise."""
    data = CitationSBM()[0]
    split = split_nodes(data.y, seed=0)
    transform = HierarchicalNodeFeatureNoise(0.6, AblationNoise())
    spread = {}
    for consistency in (0.0, 5.0):
        torch.manual_seed(0)
        model = GCN(data.num_features + 1, int(data.y.max()) + 1)
        options = {"num_draws": 2, "consistency": consistency, "max_epochs": 40, "lr": 1e-2}
        train_node_classifier(model, data, split, transform, progress=False, **options)
        with torch.no_grad():
            draws = [model(transform(data).x, data.edge_index).softmax(-1) for _ in range(8)]
        spread[consistency] = float(torch.stack(draws).var(0).sum(-1).mean())
    assert spread[5.0] < 0.8 * spread[0.0]


def test_a_model_without_room_for_the_indicator_is_told_what_to_do(data: Data) -> None:
    with pytest.raises(ValueError, match=r"It takes 4 features.*: pass append_indicator=False"):
        transform = HierarchicalNodeFeatureNoise(0.5, AblationNoise())
        train_node_classifier(new_model(), data, SPLIT, transform, progress=False)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        data.x = data.x[:, :3]
        train_node_classifier(new_model(), data, SPLIT, progress=False)


def test_the_weight_of_agreement_rises_from_nothing(data: Data) -> None:
    losses = {}
    for name, options in (
        ("labels", {}),
        ("at once", {"consistency": 6.0}),
        ("rising", {"consistency": 6.0, "consistency_rampup": 3}),
    ):
        options = {"num_draws": 2, "max_epochs": 3, "progress": False, **options}
        losses[name] = train_node_classifier(
            new_model(), data, SPLIT, flip_signs, **options
        ).train_losses
    assert losses["rising"][0] == losses["labels"][0] < losses["at once"][0]
    assert losses["labels"][1] < losses["rising"][1]
