from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import barabasi_albert_graph

from pyg_hiersmooth.nn.neighborhoods import plan as plan_module
from pyg_hiersmooth.nn.neighborhoods.neighborhood import BOUNDARIES, CSC, Boundary, Neighborhood
from pyg_hiersmooth.nn.neighborhoods.plan import MAX_COST_SHARE, _grouped, _Members, cost, plan


def graph(num_nodes: int = 3_000, num_edges: int = 2) -> Data:
    torch.manual_seed(0)
    edge_index = barabasi_albert_graph(num_nodes, num_edges)
    return Data(edge_index=edge_index, num_nodes=num_nodes)


def total_cost(data: Data, groups: list[np.ndarray], hops: int, boundary: Boundary) -> float:
    """What the planned neighborhoods really cost, but for ghost nodes."""
    edges, total = CSC(data), 0.0
    for group in groups:
        part = Neighborhood(data, edges, group, hops, boundary)
        total += cost(len(part.nodes), part.size - part.num_ghosts)
    return total


@pytest.mark.parametrize("boundary", ["none", "edges"])
def test_every_target_is_in_one_group_and_the_whole_is_cheaper(boundary: Boundary) -> None:
    data, targets = graph(), np.arange(2_000, 2_100)
    edges = CSC(data)
    groups = plan(edges, targets, 1, boundary)
    assert groups is not None
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), targets)
    assert all((np.diff(group) > 0).all() for group in groups)
    planned = total_cost(data, groups, 1, boundary)
    assert planned < MAX_COST_SHARE * cost(edges.num_nodes, edges.size)
    assert planned <= total_cost(data, [targets], 1, boundary) * (1 + 1e-9)
    again = plan(CSC(data), targets, 1, boundary)
    assert again is not None and all(map(np.array_equal, groups, again))


def test_the_whole_graph_where_targets_see_all_of_it() -> None:
    complete = Data(
        edge_index=torch.cartesian_prod(torch.arange(60), torch.arange(60)).t(), num_nodes=60
    )
    assert plan(CSC(complete), np.arange(5), 1, "edges") is None
    assert plan(CSC(graph()), np.arange(3_000), 3, "edges") is None


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_cost_of_growing_groups_is_that_of_their_neighborhoods(boundary: Boundary) -> None:
    data, targets = graph(400), np.arange(0, 400, 7)
    data.edge_weight = torch.ones(data.edge_index.size(1))
    edges = CSC(data)
    fields = [edges.field(np.array([target]), 2) for target in targets]
    groups, paid = _grouped(edges, targets, fields, boundary)
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), targets)
    members, counted = _Members(edges, boundary), 0.0
    for group in groups:
        members.clear()
        for target in group:
            members.add(edges.field(np.array([target]), 2))
        part = Neighborhood(data, edges, group, 2, boundary)
        assert members.num_nodes == len(part.nodes)
        if (
            boundary != "weights"
        ):  # where an edge from a ghost node is counted whether it is there or not
            assert members.size == part.size - part.num_ghosts
        counted += cost(members.num_nodes, members.size)
    assert paid == pytest.approx(counted)


def test_costs_rise_with_the_graph() -> None:
    costs = [cost(size, 5 * size) for size in (10, 100, 1_000, 10_000, 100_000, 1_000_000)]
    assert costs == sorted(costs)
    assert costs[-1] / costs[-2] == pytest.approx(10, rel=0.1)


def test_plans_are_kept_by_what_they_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[int] = []
    find = plan_module._plan
    monkeypatch.setattr(plan_module, "_FOUND", {})
    monkeypatch.setattr(plan_module, "_plan", lambda *given: planned.append(1) or find(*given))
    data, targets = graph(500), np.arange(300, 310)
    other = graph(500)
    other.edge_index = other.edge_index[:, 2:]
    asked = [
        *((data, targets, 1, "none"), (data.clone(), targets.copy(), 1, "none")),
        *((data, targets[1:], 1, "none"), (data, targets, 2, "none"), (data, targets, 1, "edges")),
        (other, targets, 1, "none"),
    ]
    numbers = []
    for each, *rest in asked:
        plan(CSC(each), *rest)
        numbers.append(len(planned))
    assert numbers == [1, 1, 2, 3, 4, 5]
    monkeypatch.setattr(plan_module, "MOST_TO_DIGEST", 0)
    plan(CSC(data), targets, 1, "none")
    assert len(planned) == 6
    monkeypatch.setattr(plan_module, "MOST_TO_DIGEST", 2**20)
    monkeypatch.setattr(plan_module, "MOST_KEPT", 1)
    plan(CSC(data), targets, 1, "weights")
    assert len(plan_module._FOUND) == 1
