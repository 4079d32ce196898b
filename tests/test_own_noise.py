"""A noise of the user, in a file of their own, goes all the way."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.cli.table import print_summary
from pyg_hiersmooth.experiment import Summary
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.plotting import plot_certificates
from pyg_hiersmooth.study.results import Tally
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

SOURCE = '''
import numpy as np
import torch

from pyg_hiersmooth.noise import Axis, Noise


class MaskNoise(Noise):
    """Each entry of a selected row becomes 0 with probability p_mask. Once all n changed entries
    are masked nothing tells clean from perturbed: at most 1 - p_mask ** n is lost."""

    axes = (
        Axis(
            "changes",
            "Changed entries",
            "Total changed entries",
            reported=(1, 2, 6),
            kept=tuple(range(9)),
        ),
    )

    def __init__(self, p_mask):
        self.p_mask = p_mask

    def sample(self, x, selected, stream):
        kept = stream.uniform(*x.shape) >= self.p_mask
        return torch.where(selected.view(-1, 1) & ~kept, torch.zeros_like(x), x)

    def worst_case_probability(self, kept, lost, *, changes):
        return np.maximum(0.0, self.p_mask**changes - lost)

    def __repr__(self):
        return f"MaskNoise(p_mask={self.p_mask})"
'''


@pytest.fixture
def noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_noise.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_noise", raising=False)
    return importlib.import_module("own_noise").MaskNoise(0.9)


class HalfSums(torch.nn.Module):
    """The class is the half of the features that sums to more, the first where both are equal."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return torch.stack([x[:, :4].sum(1), x[:, 4:8].sum(1)], dim=1)


@pytest.fixture
def certificate(noise: Any) -> Certificate:
    data = Data(x=torch.eye(2).repeat_interleave(4, 1).repeat(5, 1))
    data.edge_index = torch.empty(2, 0, dtype=torch.long)
    transform = HierarchicalNodeFeatureNoise(0.9, noise)
    smoothed = SmoothedNodeClassifier(HalfSums(), transform, num_classes=2)
    return smoothed.certify(data, n0=50, n=1_000, num_workers=0, progress=False)


Y = [0, 1] * 5
# All nodes go to the first class; with all mass, 0.9 * 0.9 ** n must beat one half.
ROBUST = [True, True, True, True, True, True, False]


def test_it_certifies(certificate: Certificate) -> None:
    assert certificate.prediction[::2].tolist() == [0] * 5
    assert certificate.p_lower[::2].min() > 0.99
    for changes, expected in enumerate(ROBUST):
        assert certificate.is_robust(1, changes=changes)[::2].tolist() == [expected] * 5
    assert not certificate.is_robust(7, changes=1).any()
    with pytest.raises(TypeError, match=r"MaskNoise takes 'changes' \(got 'deletions'\)"):
        certificate.is_robust(1, deletions=1)
    with pytest.raises(TypeError, match="MaskNoise needs the budget 'changes'"):
        certificate.is_robust(1)
    with pytest.raises(ValueError, match="'changes' must be a non-negative integer"):
        certificate.is_robust(1, changes=0.5)


def test_it_is_never_taken_for_ablation(certificate: Certificate) -> None:
    for ask in (certificate.grid, lambda r: certificate.certified_accuracy_grid(Y, r)):
        with pytest.raises(TypeError, match=r"needs SparseFlipNoise \(got MaskNoise"):
            ask(3)
    with pytest.raises(TypeError, match="'radius' needs continuous noise"):
        certificate.radius(1)


def test_it_tabulates(certificate: Certificate, noise: Any) -> None:
    table = {
        noise.describe(**budget): certificate.certified_accuracy(Y, 1, **budget)
        for budget in noise.reported_budgets()
    }
    assert table == {"1 change": 0.5, "2 changes": 0.5, "6 changes": 0.0}
    pytest.importorskip("pandas")
    assert certificate.to_frame(Y)["correct"].sum() == 5


def test_it_is_summed_up_and_printed(
    certificate: Certificate, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = Summary.of(certificate, Y, "dense features", 0.1)
    cells = {(cell.changes, cell.r): cell.accuracy for cell in summary.certified}
    assert cells["2 changes", 1] == cells["1 change", 3] == 0.5 and cells["6 changes", 1] == 0.0
    assert len(cells) == 9
    print_summary(summary, "Own noise")
    assert "2 changes" in capsys.readouterr().out


def test_a_study_keeps_what_it_says(certificate: Certificate, tmp_path: Path) -> None:
    tally = Tally.of(certificate, Y)
    for changes, robust in enumerate(ROBUST):
        assert tally.certified_accuracy(1, changes) == 0.5 * robust
    assert tally.certified_accuracy(1, 8) == tally.certified_accuracy(7, 1) == 0.0
    with pytest.raises(ValueError, match="each budget of the noise"):
        tally.certified_accuracy(1)


def test_a_study_keeps_nothing_that_it_does_not_say(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    axis = replace(certificate.noise.axes[0], kept=())
    monkeypatch.setattr(type(certificate.noise), "axes", (axis,))
    message = r"axis 'changes' of MaskNoise.* must say which strengths are 'kept', .* \(got \(\)\)"
    with pytest.raises(ValueError, match=message):
        Tally.of(certificate, Y)


def test_it_is_drawn(certificate: Certificate, tmp_path: Path) -> None:
    (panel,) = certificate.chart(Y).panels
    assert panel.curves[0].accuracy.tolist() == [0.5 * robust for robust in ROBUST]
    pytest.importorskip("matplotlib")
    figure = plot_certificates({"own": (certificate, Y)}, tmp_path / "own.png")
    assert figure.axes[0].get_xlabel() == "Changed entries"
    assert (tmp_path / "own.png").exists()


def test_it_is_saved_and_loaded(certificate: Certificate, tmp_path: Path) -> None:
    certificate.save(tmp_path / "own.npz")
    loaded = Certificate.load(tmp_path / "own.npz")
    assert type(loaded.noise) is type(certificate.noise) and repr(loaded) == repr(certificate)
    for changes in range(len(ROBUST)):
        robust = certificate.is_robust(1, changes=changes)
        assert np.array_equal(loaded.is_robust(1, changes=changes), robust)


def test_it_is_loaded_only_where_it_was_imported(certificate: Certificate, tmp_path: Path) -> None:
    certificate.save(tmp_path / "own.npz")
    load = "from pyg_hiersmooth.certificates import Certificate; Certificate.load('own.npz')"

    def run(program: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    refused = run(load)
    assert refused.returncode != 0
    assert "unknown noise 'own_noise.MaskNoise': a class of your own must be" in refused.stderr
    assert run(f"import own_noise; {load}").returncode == 0
