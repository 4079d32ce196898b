from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pyg_hiersmooth.certificates import (
    Certificate,
    CollectiveCertificate,
)
from pyg_hiersmooth.choices import AttackMethod
from pyg_hiersmooth.experiment.collective_summary import (
    CHANGED_IN_ALL,
    REPORTED_IN_ALL,
    CollectiveSummary,
)
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, Noise, SparseFlipNoise

MakeCertificate = Callable[[Noise], Certificate]

Y = np.arange(30) % 3


@pytest.mark.parametrize(
    ("noise", "budgets"), [(SparseFlipNoise(0.05, 0.8), 6), (GaussianNoise(0.5), 5), (None, 1)]
)
def test_one_attack_on_all_and_one_on_each(
    make_certificate: MakeCertificate,
    noise: Noise | None,
    budgets: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    certificate = make_certificate(noise or AblationNoise())
    certificate.simultaneous = True
    together = CollectiveCertificate(certificate, np.eye(30, dtype=bool))
    summary = CollectiveSummary.of(together, Y, "lp", 5.0)
    assert capfd.readouterr().err == "" and (summary.method, summary.time_limit) == ("lp", 5.0)
    assert len(summary.certified) == budgets * len(CHANGED_IN_ALL) == budgets * 20
    assert len(summary.by_changes) == budgets and summary.changed == [*range(1, 21)]
    for cell in summary.certified:
        assert cell.one_by_one == certificate.certified_accuracy(Y, cell.r, **cell.budget)
        # Alone in its receptive field, a target falls to one node that is its own.
        assert cell.accuracy >= max(cell.one_by_one, (23 - min(cell.r, 20)) / 30 - 1e-9)
    assert any(cell.accuracy > cell.one_by_one for cell in summary.certified)
    changes, (all_of_them, each) = next(iter(summary.by_changes.items()))
    assert all_of_them == [c.accuracy for c in summary.certified if c.changes == changes]
    assert each == [c.one_by_one for c in summary.certified if c.changes == changes]
    CollectiveSummary.of(together, Y, "lp", 5.0, progress=True)
    assert f"One attack ({changes})" in capfd.readouterr().err


@pytest.mark.one_in(2)
@pytest.mark.parametrize("method", ["lp", "milp"])
def test_every_number_of_changed_entities_is_proved(
    make_certificate: MakeCertificate, method: AttackMethod
) -> None:
    """Between the numbers of a table nothing is claimed that branching would not prove as well."""
    certificate = make_certificate(AblationNoise())
    certificate.simultaneous = True
    field = np.random.default_rng(0).random((30, 40)) < 0.15
    field[np.arange(30), np.arange(30)] = True
    together = CollectiveCertificate(certificate, field)
    summary = CollectiveSummary.of(together, Y, method, 5.0)
    relaxed = together.curve(Y, CHANGED_IN_ALL, method="lp")
    branched = together.curve(Y, CHANGED_IN_ALL, method="milp", time_limit=5.0)
    claimed = np.array([cell.accuracy for cell in summary.certified])
    assert (relaxed <= claimed + 1e-9).all() and (claimed <= branched + 1e-9).all()
    assert (np.diff(claimed) <= 0).all() and (relaxed < branched).any()
    if method == "milp":
        reported = summary.only(REPORTED_IN_ALL)
        assert reported.changed == [1, 2, 3, 5, 10, 20]
        at = np.array(reported.changed) - 1
        assert [cell.accuracy for cell in reported.certified] == pytest.approx(branched[at])
