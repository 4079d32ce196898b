r"""Trains node classifiers on noisy graphs, so that smoothing them keeps their accuracy."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.datasets import NodeSplit, inductive_subgraph
from pyg_hiersmooth.datasets.labels import as_labels, check_classes
from pyg_hiersmooth.nn.calls.inputs.graph import as_graph
from pyg_hiersmooth.nn.calls.inputs.targets import as_target_index
from pyg_hiersmooth.nn.calls.logits import check_logits
from pyg_hiersmooth.nn.calls.model_call import ModelCall, check_call
from pyg_hiersmooth.nn.calls.structure import check_keep
from pyg_hiersmooth.training.fit import LogitsAndLabels, TrainingHistory, device_of, fit, logits_of
from pyg_hiersmooth.training.loss import check_draws, loss_of_draws, weight_at
from pyg_hiersmooth.training.noisy_graph import NoisyGraph


def train_node_classifier(
    model: torch.nn.Module,
    data: Data,
    split: NodeSplit | None = None,
    transform: Callable[[Any], Any] | None = None,
    *,
    lr: float = 1e-3,
    weight_decay: float = 5e-4,
    max_epochs: int = 1_000,
    patience: int = 50,
    seed: int = 0,
    progress: bool = True,
    num_draws: int = 1,
    consistency: float = 0.0,
    consistency_rampup: int = 0,
    forward: ModelCall | None = None,
    keep: Collection[str] = (),
    inductive: bool = True,
) -> TrainingHistory:
    r"""Trains a node classifier with the protocol of `"Hierarchical Randomized Smoothing"
    <https://arxiv.org/abs/2310.16221>`_ (Scholten et al., NeurIPS 2023).

    Training is inductive: it sees the graph without validation and test nodes, and the validation
    loss is that on the graph without test nodes. With :obj:`inductive=False` both see the whole
    graph, and of validation, test and calibration nodes everything but their labels, as most
    published numbers on citation graphs assume. Every epoch draws fresh noise for both. Adam
    minimizes the cross entropy until the validation loss has not improved for :obj:`patience`
    epochs; then the weights with the lowest validation loss are restored, as they are when
    training is interrupted.

    Args:
        model (torch.nn.Module): The model, called as :obj:`model(x, edge_index, ...)` to return
            logits :obj:`[num_nodes, num_classes]`; :obj:`edge_weight`, :obj:`edge_attr` and
            :obj:`adj_t` are passed on as in certification. It is trained in place, on the device
            of its parameters, from the weights that it has, and left in eval mode, with the caches
            of PyG's convolutions cleared.
        data (torch_geometric.data.Data): The whole graph, with :obj:`x`, :obj:`y`, and
            :obj:`edge_index` or :obj:`adj_t`. It is not changed.
        split (NodeSplit, optional): The training, validation and test nodes. (default: those of
            :obj:`train_mask`, :obj:`val_mask` and :obj:`test_mask`)
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
        num_draws (int, optional): The number of draws of noise in a step, at least :obj:`1`; the
            loss is their mean. (default: :obj:`1`)
        consistency (float, optional): The weight, at least :obj:`0`, of a loss that draws the
            predictions under all draws to their sharpened mean, on nodes without labels as well
            (`Feng et al., NeurIPS 2020 <https://arxiv.org/abs/2005.11079>`_); it needs at least
            two draws. (default: :obj:`0.0`)
        consistency_rampup (int, optional): The number of epochs, at least :obj:`0`, in which that
            weight rises from :obj:`0`: with a large weight from the start, a model may learn to
            predict one class for all nodes. (default: :obj:`0`)
        forward (callable, optional): :obj:`forward(model, x, data)`, for a model with another
            signature; as in certification, :obj:`data` is the graph's structure alone.
            (default: :obj:`None`)
        keep (tuple of str, optional): Names of more attributes of the graph that the model gets,
            as in certification. (default: :obj:`()`)
        inductive (bool, optional): If set to :obj:`False`, the features and edges of all nodes are
            known in training: calibration and test nodes without their labels, validation nodes
            with labels that only decide when training stops. (default: :obj:`True`)

    Raises:
        ValueError: If an argument is out of range, or if :obj:`data` or :obj:`split` lacks what
            training needs.
        FloatingPointError: If the training or validation loss is not finite.
    """
    keep = check_keep(keep)
    data = _dense(data)
    check_call(model, data, keep, forward)
    data, split = _labeled(data, split)
    check_draws(num_draws, consistency, consistency_rampup)
    device = device_of(model)

    known = data.y[torch.cat([split.train_index, split.val_index]).to(data.y.device)]
    # Calibration nodes are hidden as test nodes are: only then are they exchangeable.
    unseen = torch.cat([split.test_index, split.calibration_index.to(split.test_index.device)])
    hidden = torch.cat([split.val_index, unseen])
    if not inductive:
        hidden = unseen = hidden[:0]
    train_graph, position = inductive_subgraph(data, hidden)
    train_index = position.to(device)[split.train_index.to(device)]
    val_graph, position = inductive_subgraph(data, unseen)
    val_index = position.to(device)[split.val_index.to(device)]
    train_graph, val_graph = train_graph.to(device), val_graph.to(device)

    def logits(graph: Data) -> Tensor:
        found = logits_of(model, graph, forward, keep, transform)
        check_logits(found, graph.x.size(0))
        check_classes(known, found.size(1))
        return found

    noisy_train, noisy_val = (
        NoisyGraph(graph, transform, model, logits) for graph in (train_graph, val_graph)
    )

    def loss(epoch: int) -> Tensor:
        draws = noisy_train.logits(num_draws)
        weight = weight_at(epoch, consistency, consistency_rampup)
        return loss_of_draws(draws, train_graph.y, train_index, weight)

    def validate() -> LogitsAndLabels:
        (found,) = noisy_val.logits()
        return found[val_index], val_graph.y[val_index]

    return fit(
        model,
        lambda epoch: [loss(epoch)],
        validate,
        lr=lr,
        weight_decay=weight_decay,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed,
        progress=progress,
    )


def _dense(data: Any) -> Data:
    r"""The graph as certification takes it, with dense features."""
    if isinstance(data, HeteroData):
        raise ValueError(
            "'data' must be a Data (got HeteroData): train a heterogeneous model in a loop of your "
            "own, on transform(copy.copy(data)) in every step, and certify it with 'node_type'"
        )
    data = as_graph(data)
    if data.x.layout != torch.strided:
        data.x = data.x.to_dense()
    return data


def _labeled(data: Data, split: NodeSplit | None) -> tuple[Data, NodeSplit]:
    r"""The graph with int64 labels, and the split in indices."""
    split = NodeSplit.from_masks(data) if split is None else split
    parts = [
        as_target_index(index, data.x.size(0), "node", f"split.{name}")
        if name in ("train_index", "val_index") or index.numel() > 0
        else torch.empty(0, dtype=torch.long)
        for name, index in vars(split).items()
    ]
    chosen = torch.cat(parts)
    if chosen.unique().numel() != chosen.numel():
        raise ValueError("'split' must not contain a node twice (got overlapping sets)")
    if data.get("y") is None:
        raise ValueError("'data' must have labels 'y' (got none)")
    data.y = as_labels(data.y, data.x.size(0), torch.cat(parts[:2]))
    if "edge_index" not in data and "adj_t" not in data:  # the user's own 'forward' needs none
        data.edge_index = torch.empty(2, 0, dtype=torch.long, device=data.x.device)
    return data, NodeSplit(*parts)
