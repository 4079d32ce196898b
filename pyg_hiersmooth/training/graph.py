r"""Trains graph classifiers on noisy graphs, so that smoothing them keeps their accuracy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_hiersmooth.datasets import GraphSplit
from pyg_hiersmooth.datasets.labels import as_labels, check_classes
from pyg_hiersmooth.nn.calls.inputs.graphs import as_graphs
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.calls.logits import check_logits
from pyg_hiersmooth.nn.calls.model_call import ModelCall, check_call
from pyg_hiersmooth.nn.calls.structure import check_keep
from pyg_hiersmooth.training.fit import (
    TrainingHistory,
    device_of,
    fit,
    logits_of,
)
from pyg_hiersmooth.training.loss import check_draws, loss_of_draws, weight_at
from pyg_hiersmooth.transforms.structure_ablation import with_closing_graph


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
    num_draws: int = 1,
    consistency: float = 0.0,
    consistency_rampup: int = 0,
    forward: ModelCall | None = None,
    keep: Collection[str] = (),
) -> TrainingHistory:
    r"""Trains a graph classifier on batches of noisy graphs.

    Every batch and every validation gets fresh noise; the weights with the lowest validation loss
    are kept, as in :func:`train_node_classifier`. If the noise removes all nodes of a graph, the
    model still returns logits for it.

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
        num_draws, consistency, consistency_rampup, forward, keep: As there.

    Raises:
        ValueError: If an argument is out of range, or if :obj:`graphs` or :obj:`split` lacks what
            training needs.
        FloatingPointError: If the training or validation loss is not finite.
    """
    if batch_size < 1:
        raise ValueError(f"'batch_size' must be at least 1 (got {batch_size})")
    check_draws(num_draws, consistency, consistency_rampup)
    keep = check_keep(keep)
    every = as_graphs(graphs)
    check_call(model, Batch.from_data_list(every[:1]), keep, forward)
    device = device_of(model)
    train, val = (
        _chosen(every, name, index)
        for name, index in (("train_index", split.train_index), ("val_index", split.val_index))
    )
    known = torch.cat([graph.y for graph in (*train, *val)])
    uneven = sorted(_names(every, set.union) - _names(every, set.intersection))
    val_batch = Batch.from_data_list(val, exclude_keys=uneven).to(device)

    def logits(batch: Data) -> Tensor:
        noisy = copy.copy(batch) if transform is None else transform(copy.copy(batch))
        num_graphs = batch.num_graphs
        if noisy.num_nodes == 0 or int(noisy.batch[-1]) + 1 < num_graphs:
            closed = logits_of(model, with_closing_graph(noisy), forward, keep, transform)
            check_logits(closed, num_graphs + 1)
            found = closed[:num_graphs]
        else:
            found = logits_of(model, noisy, forward, keep, transform)
            check_logits(found, num_graphs)
        check_classes(known, found.size(1))
        return found

    def losses(epoch: int) -> Iterator[Tensor]:
        weight = weight_at(epoch, consistency, consistency_rampup)
        for batch in loader:
            batch = batch.to(device)
            draws = [logits(batch) for _ in range(num_draws)]
            yield loss_of_draws(draws, batch.y.view(-1), None, weight)

    loader = DataLoader(train, batch_size, shuffle=True, exclude_keys=uneven)
    return fit(
        model,
        losses,
        lambda: (logits(val_batch), val_batch.y.view(-1)),
        lr=lr,
        weight_decay=weight_decay,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed,
        progress=progress,
    )


def _chosen(graphs: list[Data], name: str, index: Tensor) -> list[Data]:
    r"""Some of the graphs, with dense features and labels int64 ``[1]``."""
    targets = as_target_index(index, len(graphs), "graph", f"split.{name}")
    chosen = [graphs[i] for i in targets.tolist()]
    for graph in chosen:
        if graph.get("y") is None:
            raise ValueError("'graphs' must have labels 'y' (got a graph without)")
        graph.y = as_labels(graph.y, 1, name="graphs.y", noun="graph")
        if graph.x.layout != torch.strided:
            graph.x = graph.x.to_dense()
    return chosen


def _names(graphs: list[Data], combine: Callable[..., set[str]]) -> set[str]:
    return combine(*(set(graph.keys()) for graph in graphs))
