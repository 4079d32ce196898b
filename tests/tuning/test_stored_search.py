from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from torch_geometric.data import Data

from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise
from pyg_hiersmooth.tuning import TunedSmoothing

from .searches import ABLATION, FLIPS, JUDGED, Counting, graph, outcome, tune, untrained

# A search that is stopped


@pytest.fixture(scope="module")
def undisturbed() -> list[TunedSmoothing]:
    return tune(graph(), **FLIPS, num_trials=14)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("finished", [0, 3, 12])
def test_interrupted_search_goes_on(
    finished: int, data: Data, undisturbed: list[TunedSmoothing], tmp_path: Path
) -> None:
    calls = []

    def interrupted(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        calls.append(transform)
        if len(calls) == finished + 1:
            raise KeyboardInterrupt
        return Counting()

    search: dict[str, Any] = {**FLIPS, "num_trials": 14, "storage": tmp_path / "search.jsonl"}
    with pytest.raises(KeyboardInterrupt):
        tune(data, interrupted, **search)
    calls.clear()

    def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        calls.append(transform)
        return Counting()

    assert outcome(tune(data, train, **search)) == outcome(undisturbed)
    assert len(calls) == 14 - finished
    assert outcome(tune(data, untrained, **search)) == outcome(undisturbed)


def test_search_goes_on_with_more_trials(
    data: Data, undisturbed: list[TunedSmoothing], tmp_path: Path
) -> None:
    storage = str(tmp_path / "search.jsonl")
    fewer = tune(data, **FLIPS, num_trials=5, storage=storage)
    assert len(fewer) == 5 and all(one in outcome(undisturbed) for one in outcome(fewer))
    more = tune(data, **FLIPS, num_trials=14, storage=storage, progress=True)
    assert outcome(more) == outcome(undisturbed)
    assert outcome(tune(data, untrained, **FLIPS, num_trials=2, storage=storage)) == outcome(more)


@pytest.mark.slow
def test_search_killed_at_any_moment_goes_on(data: Data, tmp_path: Path) -> None:
    storage = tmp_path / "search.jsonl"
    search: dict[str, Any] = {**FLIPS, "num_trials": 2, "storage": storage}
    expected = outcome(tune(data, **search))
    lines = storage.read_bytes().splitlines(keepends=True)
    assert len(lines) > 10
    for kept in range(len(lines)):
        storage.write_bytes(b"".join(lines[:kept]))
        assert outcome(tune(data, **search)) == expected


# Storage of something else


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What is kept of a search with one trial."""
    storage = tmp_path_factory.mktemp("kept") / "search.jsonl"
    tune(graph(), **FLIPS, num_trials=1, storage=storage)
    return storage.read_bytes()


@pytest.fixture
def kept(content: bytes, tmp_path: Path) -> Path:
    """The file of a search with one trial."""
    storage = tmp_path / "search.jsonl"
    storage.write_bytes(content)
    return storage


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"r": 2}, "'r'"),
        ({"deletions": 2}, "'deletions'"),
        ({"additions": 1}, "'additions'"),
        ({"additions": 1, "deletions": 0}, "'additions', 'deletions'"),
        ({"min_clean_accuracy": 0.5}, "'min_clean_accuracy'"),
        ({"n0": 6}, "'n0'"),
        ({"n": 16}, "'n'"),
        ({"alpha": 0.2}, "'alpha'"),
        ({"kind": "binary"}, "'kind'"),
        ({"seed": 1}, "'seed'"),
        ({"training": "longer"}, "'training'"),
        ({"node_index": JUDGED[1:]}, "'node_index'"),
    ],
)
def test_storage_of_another_search(
    change: dict[str, Any], name: str, data: Data, kept: Path
) -> None:
    with pytest.raises(ValueError, match=rf"'{kept}' holds a search with another {name}: choose"):
        tune(data, untrained, **FLIPS | change, storage=kept)
    assert len(tune(data, untrained, **FLIPS, num_trials=1, storage=kept)) == 1


def test_storage_of_a_search_for_another_noise(data: Data, kept: Path) -> None:
    with pytest.raises(ValueError, match="another 'noise'"):
        tune(data, untrained, noise="ablation", storage=kept)


def test_storage_of_a_search_without_a_finished_trial(data: Data, tmp_path: Path) -> None:
    storage = tmp_path / "search.jsonl"
    with pytest.raises(ZeroDivisionError):
        tune(data, lambda transform: 1 / 0, **FLIPS, storage=storage)  # type: ignore[arg-type]
    expected = tune(data, **ABLATION, num_trials=3)
    assert outcome(tune(data, **ABLATION, num_trials=3, storage=storage)) == outcome(expected)
    assert outcome(tune(data, untrained, **ABLATION, num_trials=3, storage=storage)) == outcome(
        expected
    )


@pytest.mark.parametrize("name", ["x", "edge_index", "y"])
def test_storage_of_a_search_on_another_graph(name: str, data: Data, kept: Path) -> None:
    data[name] = data[name].clone()
    data[name][0] = 1 - data[name][0].clamp(max=1)
    with pytest.raises(ValueError, match="another 'data': choose"):
        tune(data, untrained, **FLIPS, storage=kept)


def test_storage_is_the_same_search_where_nothing_changes_its_trials(
    data: Data, kept: Path
) -> None:
    same: dict[str, Any] = {"additions": 0, "deletions": np.int64(1), "n": np.int64(15)}
    again = tune(data, untrained, noise="flips", **same, num_workers=3, num_trials=1, storage=kept)
    assert len(again) == 1


@pytest.mark.parametrize(
    "other",
    [b"precious", b"precious\n", b"1\n", b"null\n", b"[]\n", b"{}\n", b'"op_code"\n', b"\xff\n"],
)
def test_storage_that_is_something_else(other: bytes, data: Data, tmp_path: Path) -> None:
    storage = tmp_path / "precious.txt"
    storage.write_bytes(other)
    with pytest.raises(ValueError, match=rf"'{storage}' is damaged or not the file of a search"):
        tune(data, untrained, **FLIPS, storage=storage)
    assert storage.read_bytes() == other


@pytest.mark.parametrize("damage", [slice(None, -1), slice(None, -20), slice(30, None)])
def test_damaged_storage(damage: slice, data: Data, kept: Path) -> None:
    damaged = kept.read_bytes()[damage]
    kept.write_bytes(damaged)
    with pytest.raises(ValueError, match=rf"'{kept}' is damaged"):
        tune(data, untrained, **FLIPS, storage=kept)
    assert kept.read_bytes() == damaged


def test_storage_of_a_study_of_the_user(data: Data, tmp_path: Path) -> None:
    storage = tmp_path / "study.jsonl"
    journal = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(storage))
    )
    study = optuna.create_study(storage=journal, study_name="tuning", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("p", 0, 1), n_trials=1)
    with pytest.raises(ValueError, match=rf"'{storage}' holds a search with another 'noise'"):
        tune(data, untrained, **FLIPS, storage=storage)


def test_storage_that_is_no_file(data: Data, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path / "missing")):
        tune(data, untrained, **FLIPS, storage=tmp_path / "missing" / "search.jsonl")
    with pytest.raises(OSError, match=str(tmp_path)):
        tune(data, untrained, **FLIPS, storage=tmp_path)


def test_storage_of_a_search_with_another_selection(data: Data, tmp_path: Path) -> None:
    kept: dict[str, Any] = {"storage": tmp_path / "search", "num_trials": 1}
    tune(data, **FLIPS, **kept)
    for other in (2, 3):
        with pytest.raises(ValueError, match=r"holds a search with another .*'partitions'"):
            tune(data, **FLIPS, **kept, selection="partition", partitions=other)
