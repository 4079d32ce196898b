from __future__ import annotations

import re

import pytest

from pyg_hiersmooth.cli.table import print_summary
from pyg_hiersmooth.experiment.accuracy import CertifiedAccuracy, CollectiveAccuracy
from pyg_hiersmooth.experiment.collective_summary import CollectiveSummary
from pyg_hiersmooth.experiment.sets_summary import SetsSummary, SizeOfSets
from pyg_hiersmooth.experiment.summary import Summary


def printed(capsys: pytest.CaptureFixture[str], **change: object) -> str:
    fields: dict[str, object] = {
        "smoothing": "some noise",
        "num_nodes": 20,
        "accuracy": 0.75,
        "abstained": 0.05,
        "certified": [],
        "feature_path": "dense features",
        "seconds_per_sample": 0.0123,
    }
    print_summary(Summary(**fields | change), "Cora, gcn", "graphs")  # type: ignore[arg-type]
    return " ".join(capsys.readouterr().out.split())


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    for piece in (
        "Cora, gcn Smoothing some noise Certified graphs 20",
        "classifier 75.0%",
        "Abstained 5.0%",
        "12.30 ms",
    ):
        assert piece in text
    assert "(nothing left to sample)" in printed(capsys, seconds_per_sample=None)


def test_a_row_for_each_budget_and_a_column_for_each_r(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        CertifiedAccuracy(r, {"deletions": n}, 0.1 * r * n, f"{n} deletions")
        for n in (2, 4)
        for r in (1, 2)
    ]
    text = printed(capsys, certified=cells)
    assert "r = 1 r = 2 2 deletions 20.0% 40.0% 4 deletions 40.0% 80.0%" in " ".join(
        re.findall(r"[\w=.%]+", text)
    )


def test_exact_certificates_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, exact=True)
    assert "Certified accuracy, exact" in text and "Time per outcome 12.30 ms" in text
    text = printed(capsys)
    assert "exact" not in text and "Time per sample 12.30 ms" in text


def test_one_attack_on_all_has_a_table_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [CollectiveAccuracy(r, {}, 0.8 / r, "anything", 0.4 / r) for r in (1, 2)]
    text = printed(capsys, collective=CollectiveSummary("lp", 3.0, cells))
    assert "one attack on all graphs or on each" in text
    shown = " ".join(re.findall(r"[\w=.%]+", text))
    assert "r = 1 r = 2 anything all 80.0% 40.0% each 40.0% 20.0%" in shown
    assert "attack" not in printed(capsys)


def test_sets_have_a_table_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        SizeOfSets(r, {}, 1.5 + r, 0.3, 0.91 + 0.01 * r, uninformative, "anything")
        for r, uninformative in ((0, False), (3, True))
    ]
    text = printed(capsys, sets=SetsSummary(0.9, 0.1, 200, 7, "sure", cells))
    assert "Prediction sets, coverage 0.9" in text
    shown = " ".join(re.findall(r"[\w=.%*]+", text))
    assert "r = 0 r = 3 anything size 1.50 4.50* coverage 91.0% 94.0%" in shown
    assert "* some classes are in every set, whatever the votes" in text
    text = printed(capsys, sets=SetsSummary(0.9, 0.1, 200, 7, "sure", cells[:1]))
    assert "whatever the votes" not in text and "sets" not in printed(capsys)
