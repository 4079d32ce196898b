r"""Trains classifiers on noisy graphs, so that smoothing them keeps their accuracy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from pyg_hiersmooth.datasets.graph_splits import GraphSplit
from pyg_hiersmooth.datasets.splits import NodeSplit, inductive_subgraph
from pyg_hiersmooth.nn.graph_list import as_graphs
from pyg_hiersmooth.nn.model_call import call_model
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

LogitsAndLabels = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class TrainingHistory:
    r"""What happened in a training run.

    Args:
        train_losses (tuple): The training loss of every epoch.
        val_losses (tuple): The validation loss after every epoch.
        val_accuracies (tuple): The validation accuracy after every epoch, in :math:`[0, 1]`.
    """

    train_losses: tuple[float, ...]
    val_losses: tuple[float, ...]
    val_accuracies: tuple[float, ...]

    @property
    def num_epochs(self) -> int:
        r"""The number of epochs that ran."""
        return len(self.val_losses)

    @property
    def best_epoch(self) -> int:
        r"""The epoch with the lowest validation loss, counted from :obj:`0`."""
        return self.val_losses.index(min(self.val_losses))

    @property
    def best_val_loss(self) -> float:
        r"""The validation loss of the weights that were kept."""
        return self.val_losses[self.best_epoch]

    @property
    def best_val_accuracy(self) -> float:
        r"""The validation accuracy of the weights that were kept."""
        return self.val_accuracies[self.best_epoch]


def train_node_classifier(
    model: torch.nn.Module,
    data: Data,
    split: NodeSplit,
    transform: Callable[[Any], Any] | None = None,
    *,
    lr: float = 1e-3,
    weight_decay: float = 5e-4,
    max_epochs: int = 1_000,
    patience: int = 50,
    seed: int = 0,
    progress: bool = True,
) -> TrainingHistory:
    r"""Trains a node classifier with the protocol of `"Hierarchical Randomized Smoothing"
    <https://arxiv.org/abs/2310.16221>`_ (Scholten et al., NeurIPS 2023).

    Training is inductive: it sees the graph without validation and test nodes, and the validation
    loss is that on the graph without test nodes. Every epoch draws fresh noise for both. Adam
    minimizes the cross entropy until the validation loss has not improved for :obj:`patience`
    epochs; then the weights with the lowest validation loss are restored, as they are when
    training is interrupted.

    Args:
        model (torch.nn.Module): The model, called as :obj:`model(x, edge_index)` to return logits
            :obj:`[num_nodes, num_classes]`. It is trained in place, on the device of its
            parameters, from the weights that it has, and left in eval mode.
        data (torch_geometric.data.Data): The whole graph, with :obj:`x`, :obj:`edge_index` and
            :obj:`y`. It is not changed.
        split (NodeSplit): The training, validation and test nodes.
        transform (callable, optional): A transform that adds noise to a graph and keeps its nodes
            and their order, such as
            :class:`~pyg_hiersmooth.transforms.HierarchicalNodeFeatureNoise`. Without one, the
            model is trained on the clean graph. (default: :obj:`None`)
        lr (float, optional): The learning rate, positive. (default: :obj:`1e-3`)
        weight_decay (float, optional): The weight decay of Adam, at least :obj:`0`.
            (default: :obj:`5e-4`)
        max_epochs (int, optional): The largest number of epochs, at least :obj:`1`.
            (default: :obj:`1000`)
        patience (int, optional): The number of epochs without improvement after which training
            stops, at least :obj:`1`. (default: :obj:`50`)
        seed (int, optional): The seed of dropout and of noise drawn from PyTorch's default
            generators, whose state is put back afterwards. (default: :obj:`0`)
        progress (bool, optional): If set to :obj:`False`, no progress bar is shown.
            (default: :obj:`True`)

    Raises:
        ValueError: If an argument is out of range, or if :obj:`data` or :obj:`split` lacks what
            training needs.
        FloatingPointError: If the training or validation loss is not finite.
    """
    _check_nodes(data, split)
    device = _device(model)

    held_out = torch.cat([split.val_index, split.test_index])
    train_graph, position = inductive_subgraph(data, held_out)
    train_index = position.to(device)[split.train_index.to(device)]
    val_graph, position = inductive_subgraph(data, split.test_index)
    val_index = position.to(device)[split.val_index.to(device)]
    train_graph, val_graph = train_graph.to(device), val_graph.to(device)

    draw_train, draw_val = _draws(transform, train_graph), _draws(transform, val_graph)

    def logits_and_labels(draw: Callable[[], Data], index: Tensor) -> LogitsAndLabels:
        noisy = draw()
        return model(noisy.x, noisy.edge_index)[index], noisy.y[index]

    return _fit(
        model,
        lambda: [logits_and_labels(draw_train, train_index)],
        lambda: logits_and_labels(draw_val, val_index),
        *(lr, weight_decay, max_epochs, patience, seed, progress),
    )


def train_graph_classifier(
    model: torch.nn.Module,
    graphs: Sequence[Data],
    split: GraphSplit,
    transform: Callable[[Any], Any] | None = None,
    *,
    batch_size: int = 32,
    lr: float = 1e-2,
    weight_decay: float = 0.0,
    max_epochs: int = 300,
    patience: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> TrainingHistory:
    r"""Trains a graph classifier on batches of noisy graphs.

    Every batch and every validation gets fresh noise; the weights with the lowest validation loss
    are kept, as in :func:`train_node_classifier`.

    Args:
        model (torch.nn.Module): The model, called as :obj:`model(x, edge_index, batch)` to return
            logits :obj:`[num_graphs, num_classes]`. It is trained in place, on the device of its
            parameters, from the weights that it has, and left in eval mode.
        graphs (list of torch_geometric.data.Data or Dataset): The graphs, with :obj:`x`,
            :obj:`edge_index` and :obj:`y`. They are not changed.
        split (GraphSplit): The training and validation graphs.
        transform (callable, optional): A transform that adds noise to a batch. Without one, the
            model is trained on clean graphs. (default: :obj:`None`)
        batch_size (int, optional): The number of graphs in a batch, at least :obj:`1`.
            (default: :obj:`32`)
        lr, weight_decay, max_epochs, patience, seed, progress: As in
            :func:`train_node_classifier`.

    Raises:
        ValueError: If an argument is out of range, or if :obj:`graphs` or :obj:`split` lacks what
            training needs.
        FloatingPointError: If the training or validation loss is not finite.
    """
    if batch_size < 1:
        raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
    every = as_graphs(graphs)
    device = _device(model)
    train, val = (
        _chosen(every, name, index)
        for name, index in (("train_index", split.train_index), ("val_index", split.val_index))
    )
    val_batch = Batch.from_data_list(val).to(device)

    def logits_and_labels(batch: Data) -> LogitsAndLabels:
        noisy = copy.copy(batch) if transform is None else transform(copy.copy(batch))
        return call_model(model, noisy.x, noisy), noisy.y.view(-1)

    loader = DataLoader(train, batch_size, shuffle=True)
    return _fit(
        model,
        lambda: (logits_and_labels(batch.to(device)) for batch in loader),
        lambda: logits_and_labels(val_batch),
        *(lr, weight_decay, max_epochs, patience, seed, progress),
    )


def _fit(
    model: torch.nn.Module,
    train: Callable[[], Iterable[LogitsAndLabels]],
    validate: Callable[[], LogitsAndLabels],
    lr: float,
    weight_decay: float,
    max_epochs: int,
    patience: int,
    seed: int,
    progress: bool,
) -> TrainingHistory:
    r"""Trains on what :obj:`train` yields, a step each, and keeps the weights with the lowest
    loss on what :obj:`validate` returns.
    """
    _check_arguments(lr, weight_decay, max_epochs, patience)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    train_losses: list[float] = []
    val_losses: list[float] = []
    val_accuracies: list[float] = []
    best_epoch, best_state = 0, copy.deepcopy(model.state_dict())

    try:
        with (
            _seeded(seed, _device(model)),
            tqdm(range(max_epochs), desc="Training", disable=not progress) as epochs,
        ):
            for epoch in epochs:
                model.train()
                step_losses = []
                for logits, labels in train():
                    optimizer.zero_grad()
                    loss = F.cross_entropy(logits, labels)
                    step_losses.append(_finite(loss, "training", epoch))
                    loss.backward()
                    optimizer.step()
                train_losses.append(sum(step_losses) / len(step_losses))

                model.eval()
                with torch.no_grad():
                    logits, labels = validate()
                    val_loss = F.cross_entropy(logits, labels)
                    val_losses.append(_finite(val_loss, "validation", epoch))
                    val_accuracies.append(float((logits.argmax(dim=-1) == labels).float().mean()))

                if epoch == 0 or val_losses[epoch] < val_losses[best_epoch]:
                    best_epoch, best_state = epoch, copy.deepcopy(model.state_dict())
                epochs.set_postfix(
                    refresh=False,
                    train_loss=f"{train_losses[epoch]:.3f}",
                    val_loss=f"{val_losses[epoch]:.3f}",
                    best=f"{val_losses[best_epoch]:.3f}",
                )
                if epoch - best_epoch >= patience:
                    break
    finally:
        model.load_state_dict(best_state)
        model.eval()

    return TrainingHistory(tuple(train_losses), tuple(val_losses), tuple(val_accuracies))


def _device(model: torch.nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _draws(transform: Callable[[Any], Any] | None, graph: Data) -> Callable[[], Data]:
    r"""Fresh noise for one graph at every call, prepared once where the transform can."""
    if transform is None:
        return lambda: graph
    if not isinstance(transform, HierarchicalNodeFeatureNoise):
        return lambda: transform(copy.copy(graph))
    transform.check_features(graph.x)
    smooth = transform.prepare(graph.x)

    def draw() -> Data:
        noisy = copy.copy(graph)
        noisy.x = smooth(RandomStream.from_torch(graph.x.device))
        return noisy

    return draw


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    cuda_devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda_devices):
        # torch.manual_seed would also seed GPUs whose state is not put back.
        torch.default_generator.manual_seed(seed)
        for cuda_device in cuda_devices:
            with torch.cuda.device(cuda_device):
                torch.cuda.manual_seed(seed)
        yield


def _finite(loss: Tensor, name: str, epoch: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(
            f"The {name} loss became {value} in epoch {epoch}; lower the learning rate, or look "
            "for values in 'data.x' that are not finite"
        )
    return value


def _check_nodes(data: Data, split: NodeSplit) -> None:
    for name in ("x", "edge_index", "y"):
        if getattr(data, name, None) is None:
            raise ValueError(f"'data' must have 'x', 'edge_index' and 'y', but lacks '{name}'")
    for name, index in (("train_index", split.train_index), ("val_index", split.val_index)):
        if index.numel() == 0:
            raise ValueError(f"'split' must have at least one node in '{name}', got none")
    parts = torch.cat([split.train_index, split.val_index, split.test_index])
    num_nodes = int(data.num_nodes or 0)
    if int(parts.min()) < 0 or int(parts.max()) >= num_nodes:
        raise ValueError(
            f"'split' must hold nodes of 'data', in [0, {num_nodes}), got entries from "
            f"{int(parts.min())} to {int(parts.max())}"
        )
    if parts.unique().numel() != parts.numel():
        raise ValueError("'split' must not hold a node twice, but its three sets overlap")


def _chosen(graphs: list[Data], name: str, index: Tensor) -> list[Data]:
    if index.numel() == 0 or int(index.min()) < 0 or int(index.max()) >= len(graphs):
        raise ValueError(
            f"'split' must have graphs in '{name}', all in [0, {len(graphs)}), got "
            f"{index.tolist() or 'none'}"
        )
    chosen = [graphs[i] for i in index.tolist()]
    if any(graph.y is None for graph in chosen):
        raise ValueError("'graphs' must have 'y', but one lacks it")
    return chosen


def _check_arguments(lr: float, weight_decay: float, max_epochs: int, patience: int) -> None:
    if not lr > 0:
        raise ValueError(f"'lr' must be positive, got {lr}")
    if not weight_decay >= 0:
        raise ValueError(f"'weight_decay' must be at least 0, got {weight_decay}")
    if max_epochs < 1:
        raise ValueError(f"'max_epochs' must be at least 1, got {max_epochs}")
    if patience < 1:
        raise ValueError(f"'patience' must be at least 1, got {patience}")
