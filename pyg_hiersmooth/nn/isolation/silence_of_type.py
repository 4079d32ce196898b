r"""Tries whether silenced nodes of one type reach others in a heterogeneous graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_hiersmooth.nn.calls.hetero_forward import HeteroForward
from pyg_hiersmooth.nn.isolation.changed_graphs import (
    FIRST,
    Carried,
    edge_values,
    kinds,
    order_with,
    with_entries,
    with_more,
)
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.probes import (
    enormous_probe,
    infinite_probe,
    mixed_probe,
    stretched_probe,
)
from pyg_hiersmooth.nn.isolation.silence_trial import (
    Attack,
    Case,
    cases,
    try_case,
    with_indicator,
    without_indicator,
)
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms.edge_forms import (
    edge_attributes,
    edge_ends,
    edge_index_like,
    keep_edges,
    plain,
    shallow_copy,
    sizes,
)
from pyg_hiersmooth.transforms.structure_ablation import without_messages

EdgeType = tuple[str, str, str]


def check_typed_silence(prepared: IsolatedModel, draw: Tensor, has_indicator: bool) -> None:
    r"""As :func:`~pyg_hiersmooth.nn.isolation.silence.check_silence`, for the nodes of the noisy
    type of a heterogeneous graph, which get in-edges of every type that ends at them.

    Raises:
        ImpureModelError: If what silent nodes do moves the logits of others.
    """
    forward = prepared.forward
    if not isinstance(forward, HeteroForward):
        return
    draw, mark = prepared.own(draw), with_indicator if has_indicator else without_indicator
    for case in cases(draw):
        graph = without_messages(forward.graph, {forward.noised: case.silent})
        if case.is_empty:
            graph = _without_edges(graph)
        others: Tensor | slice = slice(0, forward.outputs[0])
        if forward.target == forward.noised:
            others = (~case.changed).nonzero().view(-1)
        attacks = _attacks(draw, graph, forward.noised, case)
        try_case(prepared, draw, mark, case, graph, others, attacks)


def _attacks(draw: Tensor, graph: HeteroData, noised: str, case: Case) -> Iterator[Attack]:
    r"""What an adversary may do with the changed nodes; the first of it if that is enough."""
    changed = case.changed
    edges = _in_edges(graph, noised, case.silent, changed, case.stream)
    rows = changed.view(-1, 1)
    for probe in (mixed_probe(draw, 0), stretched_probe(draw), enormous_probe(draw, 0)):
        yield Attack("by its features", torch.where(rows, probe, draw), graph, False)
    infinite = torch.where(rows, infinite_probe(draw), draw)
    yield Attack("by features so large that they overflow", infinite, graph, False)
    for carried in kinds([value for store in graph.edge_stores for value in edge_values(store)]):
        attacked = with_typed_edges(graph, noised, edges, carried=carried)
        yield Attack("by its in-edges", draw, attacked, carried.is_real)
        if not case.is_thorough:
            return
    yield Attack("by its in-edges", draw, _without_edges_into(graph, noised, changed), True)
    new = draw.size(0)
    ends = {kind: each[0, :3] for kind, each in edges.items()}
    into = {kind: torch.stack([end, torch.full_like(end, new)]) for kind, end in ends.items()}
    for num_added in (1, 3 * new):
        larger = with_typed_edges(graph, noised, into, num_added)
        x = torch.cat([draw, draw[:1].expand(num_added, -1)])
        yield Attack("as an added node", x, larger, True)
    x = torch.cat([draw, stretched_probe(draw[:1])])
    for carried in kinds([each for each in graph[noised].values() if isinstance(each, Tensor)]):
        larger = with_typed_edges(graph, noised, into, 1, carried)
        yield Attack("as an added node", x, larger, False)


def _in_edges(
    graph: HeteroData, noised: str, selected: Tensor, changed: Tensor, stream: RandomStream
) -> dict[EdgeType, Tensor]:
    r"""Edges ``[2, K]`` of each type from sending nodes to the changed ones, of which one gets the
    largest in-degree of all.
    """
    nodes, found = changed.nonzero().view(-1), {}
    for kind in graph.edge_types:
        source, _, target = kind
        if target != noised:
            continue
        sending = torch.arange(int(graph[source].num_nodes or 0), device=changed.device)
        if source == noised:
            sending = sending[~selected]
        if len(sending) == 0 or len(nodes) == 0:
            found[kind] = torch.empty(2, 0, dtype=torch.long, device=changed.device)
            continue
        picked = sending[(stream.uniform(2 * len(nodes)) * len(sending)).long()]
        first = nodes[:1].expand(len(sending))
        ends = torch.cat([first, nodes, nodes.flip(0)])
        found[kind] = torch.stack([torch.cat([sending, picked]), ends])
    return found


def _without_edges(graph: HeteroData) -> HeteroData:
    bare = shallow_copy(graph)
    for store in bare.edge_stores:
        kept = {form: torch.zeros_like(i).bool() for form, (i, _) in edge_ends(store).items()}
        keep_edges(bare, store, kept)
    return bare


def _without_edges_into(graph: HeteroData, noised: str, nodes: Tensor) -> HeteroData:
    fewer = shallow_copy(graph)
    for store in fewer.edge_stores:
        if store._key[-1] == noised:
            kept = {form: ~nodes[target] for form, (_, target) in edge_ends(store).items()}
            keep_edges(fewer, store, kept)
    return fewer


def with_typed_edges(
    graph: HeteroData,
    noised: str,
    edges: dict[EdgeType, Tensor],
    num_added: int = 0,
    carried: Carried = FIRST,
) -> HeteroData:
    r"""A graph with more edges, from row 0 to row 1 of ``[2, K]``, and perhaps with nodes of a type
    added at the end, which carry what the first node does.
    """
    larger = shallow_copy(graph)
    for store in larger.edge_stores:
        source, _, target = store._key
        none = torch.empty(2, 0, dtype=torch.long, device=_device(store))
        more = edges.get(store._key, none)
        order = order_with(store, more)
        for name in edge_attributes(store):
            store[name] = with_more(store[name], more.size(1), carried)[order]
        grown = num_added * (source == noised), num_added * (target == noised)
        if "adj_t" in store:
            num_rows, num_columns = sizes(store.adj_t)
            shape = num_rows + grown[1], num_columns + grown[0]
            store.adj_t = with_entries(store.adj_t, more, shape, carried)
        if "edge_index" in store:
            index = torch.cat([plain(store.edge_index), more.to(store.edge_index.dtype)], dim=1)
            known = [int(graph[end].num_nodes or 0) for end in (source, target)]
            shape = known[0] + grown[0], known[1] + grown[1]
            store.edge_index = edge_index_like(store.edge_index, index[:, order], shape)
    nodes, num_nodes = larger[noised], int(graph[noised].num_nodes or 0)
    own = [name for name in nodes.keys() if nodes.is_node_attr(name)]  # noqa: SIM118
    for name in own:
        value = nodes[name]
        if name != "num_nodes" and isinstance(value, Tensor):
            nodes[name] = with_more(value, num_added, carried)
    nodes.num_nodes = num_nodes + num_added
    return larger


def _device(store: Any) -> torch.device | None:
    ends = next(iter(edge_ends(store).values()), None)
    return None if ends is None else ends[0].device
