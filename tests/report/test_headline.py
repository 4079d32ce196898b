from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from pyg_hiersmooth.experiment.accuracy import CertifiedAccuracy
from pyg_hiersmooth.report.headline import confidence, headline, headline_attack, threat
from pyg_hiersmooth.report.reported_run import ReportedRun


def shares(run: ReportedRun) -> list[str]:
    return re.findall(r"<b>([\d.]+%)</b>", headline(run))


@pytest.mark.parametrize("name", ["flips", "exact", "graphs", "none"])
def test_cards_are_the_summarys(name: str, runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs[name], name)
    certified = [cell for cell in run.summary.certified if cell.changes != "nothing"][:1]
    expected = [run.summary.accuracy, *(cell.accuracy for cell in certified)]
    if name == "exact":
        assert run.summary.collective is not None
        (tenth,) = (cell for cell in run.summary.collective.certified if cell.r == 10)
        assert headline_attack(run) == tenth
        expected.append(tenth.accuracy)
    assert shares(run) == [f"{share:.1%}" for share in expected]


def test_what_was_asked_for_comes_first(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["flips"], "flips")
    asked = [CertifiedAccuracy(2, {"deletions": 7}, 0.123, "7 deletions")]
    run = replace(run, summary=replace(run.summary, asked=asked))
    assert shares(run)[1:] == ["12.3%"] and "7 deletions, r = 2" in headline(run)


@pytest.mark.parametrize("name", ["flips", "exact", "graphs"])
def test_the_threat_is_that_of_the_noise(name: str, runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs[name], name)
    assert run.certificate is not None
    told = run.certificate.noise.threat("nodes")
    assert "features of at most r nodes change" in told
    assert told in threat(run.certificate) and escape(threat(run.certificate)) in headline(run)


def test_how_sure_it_is(runs: dict[str, Path]) -> None:
    flips, exact, none = (ReportedRun.read(runs[name], name) for name in ("flips", "exact", "none"))
    assert confidence(flips) == "Holds for each of the nodes with 99% confidence."
    assert "not statistical" in confidence(exact) and "without noise" in confidence(none)
    assert flips.certificate is not None
    flips.certificate.simultaneous, flips.certificate.alpha = True, 0.0005
    assert confidence(flips) == "Holds for all nodes at once with 99.95% confidence."
