"""Clean features are found in every form in which a function may hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import global_mean_pool

from pyg_hiersmooth.nn import SmoothedGraphClassifier

from .small import ABLATION, FLIPS, SAMPLES, C, D, Linear, make_graph, seeded, votes_of
from .verdict import refused

data = make_graph()


def test_clean_features_in_a_generator_expression_are_refused() -> None:
    head = seeded(nn.Linear, D, C)

    def skip(given: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
        return given(noisy, graph.edge_index) + sum(head(data.x) for _ in range(1))

    refused(lambda: votes_of(seeded(Linear), data, forward=skip), "forward.data.x")


def as_numpy(clean: Tensor) -> Any:
    return clean.numpy().copy()


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "numpy": as_numpy,
    "numpy_double": lambda clean: clean.double().numpy(),
    "coo": Tensor.to_sparse_coo,
    "csr": Tensor.to_sparse_csr,
}


def head_of(form: Any) -> Tensor:
    """The first features of a matrix of any form."""
    dense = form.to_dense() if isinstance(form, Tensor) else torch.from_numpy(form).float()
    return dense[:, :C]


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense_x", "sparse_x"])
@pytest.mark.parametrize("name", FORMS)
def test_clean_features_of_any_form_are_refused(name: str, is_sparse: bool) -> None:
    graph = make_graph(binary=True)
    held = FORMS[name](graph.x)
    if is_sparse:
        graph.x = graph.x.to_sparse_csr()

    def skip(given: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
        return given(noisy, graph.edge_index) + head_of(held)

    refused(lambda: votes_of(seeded(Linear), graph, FLIPS, forward=skip), "forward.held")


def test_an_array_made_from_clean_features_is_refused() -> None:
    held = (2 * data.x).numpy()

    def skip(given: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
        return given(noisy, graph.edge_index) + head_of(held)

    refused(lambda: votes_of(seeded(Linear), data, forward=skip), "forward.held")


def pooled(given: nn.Module, noisy: Tensor, graph: Any) -> Tensor:
    return global_mean_pool(given(noisy, graph.edge_index), graph.batch)


def test_the_clean_features_of_one_graph_among_several_are_refused() -> None:
    graphs = [make_graph(n, seed=n) for n in (5, 8, 5)]

    def skip(given: nn.Module, noisy: Tensor, graph: Any) -> Tensor:
        return pooled(given, noisy, graph) + graphs[1].x[:, :C].mean(0)

    def votes(forward: Any) -> Tensor:
        classifier = SmoothedGraphClassifier(seeded(Linear), ABLATION, C, forward=forward)
        return classifier.sample_votes(graphs, SAMPLES, progress=False, num_workers=0)

    refused(lambda: votes(skip), "forward.graphs")
    assert votes(pooled).sum() == 3 * SAMPLES
