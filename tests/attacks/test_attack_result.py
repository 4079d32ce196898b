from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import AttackResult, Changes


@pytest.fixture
def result() -> AttackResult:
    graph = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1], [1, 2]]))
    added = Changes.of(graph, torch.tensor([3]), torch.full((1, 3), 2.0), torch.tensor([1]))
    return AttackResult(
        threat="something",
        budget={"r": 1},
        index=np.array([0, 2, 1]),
        prediction=np.array([1, 0, -1]),
        certified=np.array([True, False, False]),
        fallen=np.array([False, True, False]),
        contradicted=np.zeros(3, dtype=bool),
        votes=np.array([[1, 9], [2, 8], [0, 0]]),
        graph=graph,
        changes=[Changes.of(graph), added, Changes.of(graph, added=torch.tensor([[2], [0]]))],
    )


def test_accuracies(result: AttackResult) -> None:
    y = [1, 0, 0]
    assert result.clean_accuracy(y) == pytest.approx(2 / 3)
    assert result.accuracy(y) == result.certified_accuracy(y) == pytest.approx(1 / 3)
    assert result.accuracy([0, 0, 0]) == 0.0
    assert repr(result) == "AttackResult(3 nodes, r=1: 1 fell, 1 certified, 0 contradicted)"


def test_what_is_saved_comes_back(result: AttackResult, tmp_path: Path) -> None:
    result.save(tmp_path / "attack.npz")
    loaded = AttackResult.load(tmp_path / "attack.npz")
    assert loaded.budget == result.budget and loaded.threat == result.threat
    for name in ("index", "prediction", "certified", "fallen", "contradicted", "votes"):
        assert np.array_equal(getattr(loaded, name), getattr(result, name))
    for position in range(3):
        ours, theirs = result.attacked(position), loaded.attacked(position)
        assert torch.equal(ours.x, theirs.x) and torch.equal(ours.edge_index, theirs.edge_index)


def test_a_damaged_file(result: AttackResult, tmp_path: Path) -> None:
    path = tmp_path / "attack.npz"
    result.save(path)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"attack\.npz' is not an attack of pyg_hiersmooth"):
        AttackResult.load(path)
    np.savez(path, settings=np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="is not an attack"):
        AttackResult.load(path)


def test_a_changed_number_is_noticed(result: AttackResult, tmp_path: Path) -> None:
    path = tmp_path / "attack.npz"
    result.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "votes": arrays["votes"] + 1})
    with pytest.raises(ValueError, match=r"not an attack .*checksum"):
        AttackResult.load(path)


def test_parts_of_other_lengths(result: AttackResult) -> None:
    with pytest.raises(ValueError, match="describe the same number of nodes"):
        replace(result, changes=result.changes[:1])


def test_a_frame(result: AttackResult) -> None:
    pytest.importorskip("pandas")
    frame = result.to_frame([1, 0, 0])
    assert frame["attacked_prediction"].tolist() == [1, 1, -1]
    assert frame["y"].tolist() == [1, 0, 0] and frame.attrs["threat"] == "something"
