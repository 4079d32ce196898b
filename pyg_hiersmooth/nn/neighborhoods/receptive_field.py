r"""Which entities can reach which targets through message passing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.certificates.reach import Reach
from pyg_hiersmooth.nn.isolation.hidden_model import HiddenModel, behind_first_maps
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.probes import (
    constant_probes,
    enormous_probe,
    infinite_probe,
    mixed_probe,
    shuffled_probe,
    stretched_probe,
    undefined_probe,
    unrelated_probe,
)
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed

TARGETS_TO_TRY = 16
r"""Targets whose receptive fields are tried on the model."""

ENTITIES_TO_TRY = (1, 4, 16, 64)
r"""Numbers of entities that are changed at once, to compare all targets that they do not reach."""

TARGETS_AT_ONCE = 64
r"""Targets among which those are looked for that a model which looks further would show on."""

MOST_HOPS_TO_TRY = 16


def receptive_field(
    graph: Data | HeteroData,
    targets: Tensor,
    num_hops: int | None,
    noised: str | None = None,
    target_type: str | None = None,
) -> Reach:
    r"""The entities whose features can reach each target within :obj:`num_hops` steps of message
    passing, along edges from source to destination, the target itself included.

    Args:
        graph (Data or HeteroData): The graph.
        targets (torch.Tensor): Targets, int64 ``[M]``.
        num_hops (int, optional): Message passing steps; :obj:`None` means any number, and that
            everything reaches everything.
        noised (str, optional): The node type of the entities, in heterogeneous graphs.
        target_type (str, optional): The node type of the targets, in heterogeneous graphs.

    Returns:
        Reach: bool ``[M, N]``, a sparse array that knows its targets.
    """
    sizes, first = _offsets(graph)
    columns = slice(first[noised], first[noised] + sizes[noised])
    if num_hops is None:
        everything = np.ones((targets.numel(), sizes[noised]), dtype=bool)
        return Reach.of_targets(everything, targets.cpu().numpy())
    total = sum(sizes.values())
    ones = np.ones(targets.numel(), dtype=bool)
    rows = (np.arange(targets.numel()), targets.cpu().numpy() + first[target_type])
    reached = sparse.csr_array((ones, rows), shape=(targets.numel(), total))
    step = _steps_back(graph, total, first)
    for _ in range(num_hops):
        wider = ((reached @ step) != 0).astype(bool)
        if wider.nnz == reached.nnz:
            break
        reached = wider
    return Reach.of_targets(reached[:, columns], targets.cpu().numpy())


def reached_from(
    graph: Data | HeteroData,
    entities: np.ndarray,
    num_hops: int,
    noised: str | None = None,
    target_type: str | None = None,
) -> np.ndarray:
    r"""The nodes that features of some entities can reach: bool, one for each node that may be a
    target.

    Args:
        entities (numpy.ndarray): Which entities, bool ``[N]``.
        graph, num_hops, noised, target_type: As in :func:`receptive_field`.
    """
    sizes, first = _offsets(graph)
    total = sum(sizes.values())
    reached = np.zeros(total, dtype=bool)
    reached[first[noised] : first[noised] + sizes[noised]] = entities
    step = _steps_back(graph, total, first)
    for _ in range(num_hops):
        reached = step @ reached
    return reached[first[target_type] : first[target_type] + sizes[target_type]]


def check_num_hops(
    prepared: IsolatedModel,
    draw: Tensor,
    graph: Data | HeteroData,
    targets: Tensor,
    num_hops: int,
    noised: str | None = None,
    target_type: str | None = None,
    quick: bool = False,
) -> None:
    r"""Checks on a model that features outside of receptive fields do not move logits.

    Args:
        prepared (IsolatedModel): The model, called on the graph, in the highest precision that it
            takes.
        draw (torch.Tensor): A draw of features ``[N, D]`` in that precision.
        graph, targets, num_hops, noised, target_type: As in :func:`receptive_field`.
        quick (bool): Whether few calls are to do.

    Raises:
        ValueError: If they do, with the number of hops that would be right.
    """
    hidden = behind_first_maps(prepared, draw)
    if hidden is not None:
        try:
            with not_swallowed():
                _check(*hidden, graph, targets, num_hops, noised, target_type, quick)
            return
        except NotLinearError:  # it takes its features in other ways now and then
            pass
    _check(prepared, draw, graph, targets, num_hops, noised, target_type, quick)


def _check(
    prepared: IsolatedModel | HiddenModel,
    draw: Tensor,
    graph: Data | HeteroData,
    targets: Tensor,
    num_hops: int,
    noised: str | None,
    target_type: str | None,
    quick: bool,
) -> None:
    targets = targets.cpu()
    tried = targets_to_try(graph, targets, num_hops, noised, target_type)
    tried, sizes = (tried[:2], ENTITIES_TO_TRY[1::2]) if quick else (tried, ENTITIES_TO_TRY)
    logits = prepared.answer(draw)

    def probes(seed: int) -> Iterator[Tensor | None]:
        r"""What takes the place of features, and :obj:`None` before what a model may refuse."""
        smallest, largest, zeros = constant_probes(draw)
        if quick:
            yield from (shuffled_probe(draw, seed), smallest, None)
        else:
            yield from (shuffled_probe(draw, seed), smallest, largest, None)
            yield from (zeros, stretched_probe(draw), unrelated_probe(draw, seed))
        yield from (mixed_probe(draw, seed), enormous_probe(draw, seed))
        yield from (infinite_probe(draw), undefined_probe(draw))

    def stay(asked: Tensor, replaced: np.ndarray, seed: int) -> bool:
        rows = torch.from_numpy(replaced).to(draw.device).view(-1, 1)
        answer: Callable[[Tensor], Any] = prepared.answer
        for probe in probes(seed):
            if probe is None:
                answer = prepared.answer_probe
                continue
            moved = answer(torch.where(rows, probe, draw))
            if moved is not None and not logits_match(moved[asked], logits[asked], logits):
                return False
        return True

    def stays_within(hops: int) -> bool:
        fields = receptive_field(graph, tried, hops, noised, target_type)
        for row in range(len(tried)):
            outside = np.ones(draw.size(0), dtype=bool)
            outside[fields[[row]].indices] = False
            if not stay(tried[[row]], outside, row):
                return False
        for seed, size in enumerate(sizes):
            some = np.zeros(draw.size(0), dtype=bool)
            some[np.random.default_rng(seed).permutation(draw.size(0))[:size]] = True
            reached = reached_from(graph, some, hops, noised, target_type)
            asked = targets[~torch.from_numpy(reached)[targets]]
            if asked.numel() > 0 and not stay(asked, some, seed):
                return False
        return True

    if stays_within(num_hops):
        return
    enough = next((k for k in range(num_hops + 1, MOST_HOPS_TO_TRY) if stays_within(k)), None)
    needed = "no number of hops would do" if enough is None else f"{enough} would do"
    raise ValueError(
        f"'num_hops' must be the message passing steps from a feature to a prediction, along the "
        f"edges, but features further away move logits ({needed}; got {num_hops})"
    )


def targets_to_try(
    graph: Data | HeteroData,
    targets: Tensor,
    num_hops: int,
    noised: str | None = None,
    target_type: str | None = None,
) -> Tensor:
    r"""Targets whose fields grow beyond :obj:`num_hops`, since a model that reaches further shows
    only there; any targets if there are none.

    Args:
        graph, targets, num_hops, noised, target_type: As in :func:`receptive_field`.
    """
    further = num_hops + (2 if isinstance(graph, HeteroData) else 1)  # there and to the noised type
    order = np.random.default_rng(0).permutation(targets.numel())
    found: list[int] = []
    for places in np.array_split(order, -(-len(order) // TARGETS_AT_ONCE)):
        some = targets[torch.from_numpy(places).to(targets.device)]
        fields = (
            receptive_field(graph, some, hops, noised, target_type) for hops in (num_hops, further)
        )
        sizes = [np.diff(field.indptr) for field in fields]
        found += places[sizes[1] > sizes[0]].tolist()
        if len(found) >= TARGETS_TO_TRY:
            break
    return targets[(found or order.tolist())[:TARGETS_TO_TRY]]


def _offsets(graph: Data | HeteroData) -> tuple[dict[str | None, int], dict[str | None, int]]:
    r"""The number of nodes of each type, and where they begin among all nodes."""
    if isinstance(graph, HeteroData):
        sizes: dict[str | None, int] = {
            node_type: int(graph[node_type].num_nodes or 0) for node_type in graph.node_types
        }
    else:
        sizes = {None: int(graph.num_nodes or 0)}
    ends = np.cumsum(list(sizes.values())).tolist()
    return sizes, {name: end - sizes[name] for name, end in zip(sizes, ends, strict=True)}


def _steps_back(
    graph: Data | HeteroData, total: int, first: dict[str | None, int]
) -> sparse.csr_array:
    r"""For each node, itself and the sources of its edges: bool ``[total, total]``."""
    source, destination = [np.arange(total)], [np.arange(total)]
    for kind, edge_index in _edges(graph):
        begin, end = (kind[0], kind[-1]) if kind else (None, None)
        source.append(edge_index[0] + first[begin])
        destination.append(edge_index[1] + first[end])
    rows, columns = np.concatenate(destination), np.concatenate(source)
    return sparse.csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), (total, total))


def _edges(graph: Data | HeteroData) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    for store in graph.edge_stores:
        kind = store._key or ()
        if "adj_t" in store:
            yield kind, np.stack(sources_and_destinations(store.adj_t))
        elif "edge_index" in store:
            yield kind, store.edge_index.as_subclass(Tensor).cpu().numpy()


def edges_of(graph: Data) -> np.ndarray:
    r"""The edges of a graph in any form, from row 0 to row 1: integers ``[2, E]``."""
    return np.concatenate([edges for _, edges in _edges(graph)], axis=1)


def sources_and_destinations(adj_t: Any) -> tuple[np.ndarray, np.ndarray]:
    r"""Where the edges of a sparse adjacency start and end, in the order of its rows."""
    if isinstance(adj_t, Tensor):
        destination, source = adj_t.to_sparse_coo().coalesce().indices()
    else:  # a SparseTensor
        destination, source, _ = adj_t.coo()
    return source.cpu().numpy(), destination.cpu().numpy()
