"""What the documentation publishes of each study is what its committed lines say."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = ("message_ablation", "attacks", "graph_structure", "prediction_sets")


def benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


@pytest.mark.parametrize("name", STUDIES)
def test_tables_are_made_of_the_lines(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = benchmark(name, monkeypatch)
    published = study.TABLES
    monkeypatch.setattr(study, "TABLES", tmp_path / "tables.md")
    study.report()
    assert published.read_text() == (tmp_path / "tables.md").read_text()


def test_the_table_of_the_page_is_made_of_the_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = benchmark("adversaries", monkeypatch)
    page = tmp_path / "benchmarks.md"
    before, begin, rest = study.PAGE.read_text().partition(study.BEGIN)
    _, end, after = rest.partition(study.END)
    page.write_text(before + begin + "| emptied |\n" + end + after)
    published = study.PAGE.read_text()
    monkeypatch.setattr(study, "PAGE", page)
    study.report()
    assert page.read_text() == published
    assert begin and end


def lines(name: str) -> list[dict[str, object]]:
    text = (ROOT / "benchmarks" / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_attacks_lie_between_certificates_and_clean_accuracy() -> None:
    rows = [row for line in lines("attacks") for row in line["accuracies"]]
    assert len(rows) >= 9
    assert [row for row in rows if not row["certified"] <= row["attacked"] <= row["clean"]] == []


def test_curves_of_message_ablation_never_rise() -> None:
    rows = [row for line in lines("message_ablation") for row in line.get("rows", ())]
    assert len(rows) >= 500
    for row in rows:
        curves = [row["val"], row["test"], row.get("new_nodes", [])]
        assert all(curve == sorted(curve, reverse=True) for curve in curves)
        if "new_nodes" in row:  # a weaker adversary
            assert all(new >= any_ for new, any_ in zip(row["new_nodes"], row["test"], strict=True))


def test_every_planned_model_of_message_ablation_has_its_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = benchmark("message_ablation", monkeypatch)
    for dataset in (*study.DATASETS, *study.PUBLISHED):
        for but in study.planned(dataset):
            models, groups = study.like(dataset, **but), study.Model(dataset, 0, **but).groups
            assert len(models) == 5, (dataset, but)
            assert all(study.rows_of(models, each) for each in groups), (dataset, but)
    for dataset in (*study.DATASETS, *study.PUBLISHED):
        for network in study.checked(dataset):
            assert len(study.found(checked=dataset, network=network)) == 1
