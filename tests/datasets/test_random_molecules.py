from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import contains_self_loops, is_undirected, to_networkx

from pyg_hiersmooth.datasets import RandomMolecules, load_dataset


@pytest.fixture(scope="module")
def molecules() -> RandomMolecules:
    return RandomMolecules()


def test_what_it_is_said_to_hold(molecules: RandomMolecules) -> None:
    assert (len(molecules), molecules.num_classes, molecules.num_features) == (120, 2, 5)
    assert torch.cat([graph.y for graph in molecules]).bincount().tolist() == [60, 60]
    for graph in molecules:
        assert 10 <= graph.num_nodes <= 20
        assert graph.x.dtype == torch.float32 and bool((graph.x.sum(dim=1) == 1).all())
        assert bool(((graph.x == 0) | (graph.x == 1)).all())
        assert graph.edge_index.dtype == torch.int64 and graph.validate()
        assert is_undirected(graph.edge_index) and not contains_self_loops(graph.edge_index)


def test_trees_and_rings(molecules: RandomMolecules) -> None:
    networkx = pytest.importorskip("networkx")
    for graph in molecules:
        network = to_networkx(graph, to_undirected=True)
        assert networkx.is_connected(network)
        rings = [sorted(ring) for ring in networkx.cycle_basis(network)]
        assert rings == [[0, 1, 2, 3, 4, 5]] * int(graph.y)


def test_atoms_tell_the_class(molecules: RandomMolecules) -> None:
    for label in (0, 1):
        atoms = torch.cat([graph.x for graph in molecules if int(graph.y) == label]).mean(dim=0)
        expected = torch.full((5,), 1 / 7)
        expected[label] = 3 / 7
        torch.testing.assert_close(atoms, expected, atol=0.05, rtol=0.0)


def test_seed() -> None:
    def edges(seed: int) -> list[list[int]]:
        return [graph.edge_index.flatten().tolist() for graph in RandomMolecules(seed)]

    assert edges(0) == edges(0) != edges(1)
    assert repr(RandomMolecules(3)) == "RandomMolecules(seed=3)"


@pytest.mark.parametrize("seed", [-1, 0.5, "0"])
def test_bad_seed(seed: object) -> None:
    with pytest.raises(ValueError, match=r"'seed' must be a non-negative integer \(got"):
        RandomMolecules(seed)  # type: ignore[arg-type]


def test_transform() -> None:
    def half(graph: Data) -> Data:
        graph.x = graph.x / 2
        return graph

    assert float(RandomMolecules(transform=half)[0].x.max()) == 0.5


def test_it_is_loaded_by_name_and_needs_no_files(tmp_path: Path) -> None:
    assert isinstance(load_dataset("randommolecules", tmp_path), RandomMolecules)
    assert list(tmp_path.iterdir()) == []
