from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import PredictionSets
from pyg_hiersmooth.certificates.approval import ApprovalChoice
from pyg_hiersmooth.certificates.composed import EdgeSmoothing
from pyg_hiersmooth.datasets import NodeSplit
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import BernoulliSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

from .counted import exact, sampled

rng = np.random.default_rng(1)
Y = np.arange(40) % 2
TEST = rng.integers(0, 101, (7, 2))


def calibrated(kind: str) -> tuple[PredictionSets, Any, dict[str, Any]]:
    counts = rng.integers(50, 101, (40, 2))
    if kind == "sampled":
        smoothing = BernoulliSelection(torch.tensor([0.9, 0.8])), GaussianNoise(0.5)
        kept = {"num_features": 3, "num_entities": np.full(40, 2)}
        sets = PredictionSets.calibrate(sampled(counts, *smoothing, n=100, **kept), Y)
        return sets, sampled(TEST, *smoothing, n=100, start=100), {"eps": 0.1, "norm": "linf"}
    if kind == "edges and nodes":
        pairs = HierarchicalEdgeNoise(0.9, AblationNoise())
        nodes = HierarchicalNodeFeatureNoise(0.9, GaussianNoise(0.5))
        both = vars(EdgeSmoothing(pairs, nodes))
        sets = PredictionSets.calibrate(sampled(counts, **both, n=100), Y)
        return sets, sampled(TEST, **both, n=100, start=100), {"eps": 0.1, "edges": 1}
    split = NodeSplit(*(torch.arange(n, n + 7) for n in (60, 70, 100)), torch.arange(40))
    sets = PredictionSets.calibrate(
        exact(counts),
        Y,
        class_conditional=True,
        approval=ApprovalChoice(0.1, np.arange(60, 65), ()),
        split=split,
    )
    return sets, exact(TEST, start=100), {}


@pytest.mark.parametrize("kind", ["exact", "sampled", "edges and nodes"])
def test_what_is_read_says_the_same(kind: str, tmp_path: Path) -> None:
    sets, found, budget = calibrated(kind)
    sets.save(tmp_path / "sets.npz")
    again = PredictionSets.load(tmp_path / "sets.npz")
    assert repr(again) == repr(sets)
    assert np.array_equal(again.sets(found, r=1, **budget), sets.sets(found, r=1, **budget))
    for name, value in vars(sets).items():
        if name not in ("selection", "noise"):
            assert np.array_equal(str(getattr(again, name)), str(value)), name
    with np.load(tmp_path / "sets.npz", allow_pickle=False) as file:
        assert "checksum" in file.files
    if kind == "exact":  # it still knows what was used
        with pytest.raises(ValueError, match="other objects than calibration used"):
            again.sets(exact(TEST, start=39), r=1)


@pytest.mark.parametrize("name", ["clean_threshold", "index"])
def test_a_changed_number_is_noticed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sets.npz"
    calibrated("exact")[0].save(path)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    arrays[name] = arrays[name] - 1
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"no prediction sets .*checksum"):
        PredictionSets.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sets.npz"
    calibrated("exact")[0].save(path)
    damaged = bytearray(path.read_bytes())
    for position in range(0, len(damaged), 97):
        copy = damaged.copy()
        copy[position] ^= 0xFF
        (tmp_path / "damaged.npz").write_bytes(copy)
        try:
            again = PredictionSets.load(tmp_path / "damaged.npz")
        except ValueError as error:
            assert "damaged.npz' holds no prediction sets" in str(error)
        else:  # bytes of the archive that nothing depends on
            assert repr(again) == repr(PredictionSets.load(path))
    (tmp_path / "text.npz").write_text("sets")
    with pytest.raises(ValueError, match="no prediction sets"):
        PredictionSets.load(tmp_path / "text.npz")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w"):
        pass
    (tmp_path / "empty.npz").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="no prediction sets"):
        PredictionSets.load(tmp_path / "empty.npz")
    with pytest.raises(OSError):
        PredictionSets.load(tmp_path / "none.npz")
