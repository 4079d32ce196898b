r"""The loop that fits a model, whatever it classifies."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from tqdm.auto import tqdm

from pyg_hiersmooth.cores import no_more_threads_than_cores
from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.nn.calls.indicator import LAST_IS_INDICATOR, remedy_without_indicator
from pyg_hiersmooth.nn.calls.model_call import ModelCall, call_model
from pyg_hiersmooth.nn.calls.structure import structure_of
from pyg_hiersmooth.nn.isolation.private_copy import without_caches

LogitsAndLabels = tuple[Tensor, Tensor]

BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
r"""What a progress bar shows, without the rate, for which 80 columns have no room."""


@dataclass(frozen=True, repr=False)
class TrainingHistory:
    r"""The history of a training run.

    Args:
        train_losses (tuple): The training loss of every epoch.
        val_losses (tuple): The validation loss after every epoch.
        val_accuracies (tuple): The validation accuracy after every epoch, in :math:`[0, 1]`.
    """

    train_losses: tuple[float, ...]
    val_losses: tuple[float, ...]
    val_accuracies: tuple[float, ...]

    def __repr__(self) -> str:
        return (
            f"TrainingHistory(num_epochs={self.num_epochs}, best_epoch={self.best_epoch}, "
            f"best_val_accuracy={self.best_val_accuracy:.3f})"
        )

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


def fit(
    model: torch.nn.Module,
    train: Callable[[int], Iterable[Tensor]],
    validate: Callable[[], LogitsAndLabels],
    *,
    lr: float,
    weight_decay: float,
    max_epochs: int,
    patience: int,
    seed: int,
    progress: bool,
) -> TrainingHistory:
    r"""Minimizes the losses that :obj:`train` yields for an epoch, one step per loss, and keeps the
    weights with the lowest loss on what :obj:`validate` returns.

    The other arguments are those of :func:`train_node_classifier`.

    Raises:
        ValueError: If an argument is out of range.
        FloatingPointError: If the training or validation loss is not finite.
    """
    _check_arguments(lr, weight_decay, max_epochs, patience)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    train_losses: list[float] = []
    val_losses: list[float] = []
    val_accuracies: list[float] = []
    best_epoch, best_state = 0, copy.deepcopy(model.state_dict())

    try:
        with (
            _seeded(seed, device_of(model)),
            without_caches(model),
            no_more_threads_than_cores(),
            tqdm(range(max_epochs), "Training", disable=not progress, bar_format=BAR) as epochs,
        ):
            for epoch in epochs:
                model.train()
                step_losses = []
                for loss in train(epoch):
                    optimizer.zero_grad()
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
                    val_loss=f"{val_losses[epoch]:.3f}",
                    best=f"{val_losses[best_epoch]:.3f}",
                )
                if epoch - best_epoch >= patience:
                    break
    finally:
        model.load_state_dict(best_state)
        model.eval()

    return TrainingHistory(tuple(train_losses), tuple(val_losses), tuple(val_accuracies))


def logits_of(
    model: torch.nn.Module,
    graph: Data,
    forward: ModelCall | None = None,
    keep: Collection[str] = (),
    transform: Callable[[Any], Any] | None = None,
) -> Tensor:
    r"""What a model returns for a graph, or a batch of graphs, when it is called as certification
    calls it: on features, and on the graph's structure.

    Args:
        model (torch.nn.Module): The model.
        graph (Data): The graph, with noisy features ``x``.
        forward (Callable, optional): ``forward(model, x, data)``, for a model with another
            signature. (default: :obj:`None`)
        keep (tuple of str, optional): Attributes besides the structure that the model gets.
            (default: :obj:`()`)
        transform (callable, optional): What made the features. (default: :obj:`None`)

    Raises:
        ValueError: If the model takes the features without the indicator only.
    """
    structure = structure_of(graph, keep)

    def answer(x: Tensor) -> Tensor:
        return (forward or call_model)(model, x, structure)

    try:
        return answer(graph.x)
    except Exception as error:
        remedy = remedy_without_indicator(transform, answer, graph.x)
        if not remedy:
            raise
        raise ValueError(
            f"the model failed on features of shape {list(graph.x.shape)}{LAST_IS_INDICATOR}: "
            f"{one_line(error)}{remedy}"
        ) from error


def device_of(model: torch.nn.Module) -> torch.device:
    r"""Where the parameters of a model are."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


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


def _check_arguments(lr: float, weight_decay: float, max_epochs: int, patience: int) -> None:
    if not lr > 0:
        raise ValueError(f"'lr' must be positive (got {lr})")
    if not weight_decay >= 0:
        raise ValueError(f"'weight_decay' must be at least 0 (got {weight_decay})")
    if max_epochs < 1:
        raise ValueError(f"'max_epochs' must be at least 1 (got {max_epochs})")
    if patience < 1:
        raise ValueError(f"'patience' must be at least 1 (got {patience})")
