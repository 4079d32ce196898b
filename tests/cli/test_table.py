from __future__ import annotations

import pytest

from pyg_hiersmooth.cli.table import print_summary
from pyg_hiersmooth.experiment.summary import CertifiedAccuracy, Summary


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


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"additions": 0, "deletions": 5}, "5 deletions"),
        ({"additions": 1, "deletions": 0}, "1 addition"),
        ({"additions": 0, "deletions": 0}, "nothing"),
        ({"eps": 0.5}, "eps = 0.5"),
        ({}, "anything in r nodes"),
    ],
)
def test_a_row_for_each_budget_and_a_column_for_each_r(
    budget: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [CertifiedAccuracy(r, budget, 0.1 * r) for r in (1, 2)]
    text = printed(capsys, certified=cells)
    assert "r = 1 r = 2" in text and f"{words} 10.0% 20.0%" in text
