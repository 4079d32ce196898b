from __future__ import annotations

from dataclasses import asdict

import pytest

from pyg_hiersmooth.datasets import CitationSBM
from pyg_hiersmooth.study.methods import METHODS, UNPROTECTED
from pyg_hiersmooth.study.plan import SEEDS, Run, fitting_methods, plan

FLIPS = METHODS["hierarchical flips"]


def test_name_tells_runs_apart() -> None:
    runs = plan(
        ["Cora", "CiteSeer"], ["gcn", "own.gnns:GNN"], {"Cora": [FLIPS], "CiteSeer": [FLIPS]}
    )
    assert len({run.name for run in runs}) == len(runs) == 2 * 2 * len(SEEDS)
    assert runs[0].name == "Cora-gcn-hierarchical-flips-p0.81-p_plus0.05-p_minus0.8-seed13"
    assert ":" not in "".join(run.name for run in runs)


def test_dictionary_and_back() -> None:
    run = Run("Cora", "gat", FLIPS, 17, n=50, part="val+test")
    assert Run.from_dict(asdict(run)) == run


def test_settings_are_those_of_the_experiment() -> None:
    run = Run("Cora", "gat", METHODS["flat Gaussian"], 17, n0=7, n=50, alpha=0.05, lr=0.5)
    settings = run.settings("data", "cpu")
    assert (settings.noise, settings.p, settings.std, settings.indicator) == (
        "gaussian",
        1,
        0.25,
        False,
    )
    assert (settings.n0, settings.n, settings.alpha, settings.lr) == (7, 50, 0.05, 0.5)
    assert (settings.dataset, settings.model, settings.seed, settings.part) == (
        "Cora",
        "gat",
        17,
        "test",
    )
    assert settings.p_plus is None and settings.scale is None and settings.num_workers == 0


def test_settings_of_an_exact_method() -> None:
    run = Run("Cora", "gat", METHODS["exact node ablation"], 17, n0=7, n=50)
    settings = run.settings("data", "cpu")
    assert settings.exact and settings.indicator
    assert (settings.noise, settings.groups, settings.partitions) == ("ablation", 10, 10)
    assert settings.p is None and settings.n is None and settings.alpha is None
    assert Run.from_dict(asdict(run)) == run


def test_number_of_samples() -> None:
    assert Run("Cora", "gat", METHODS["exact node ablation"], 17, n=50).num_samples == 100
    assert Run("Cora", "gat", FLIPS, 17, n0=7, n=50).num_samples == 57
    assert Run("Cora", "gat", METHODS[UNPROTECTED], 17).num_samples == 0


def test_a_seed_is_finished_before_the_next() -> None:
    methods = {"Cora": [FLIPS], "CiteSeer": [FLIPS, METHODS[UNPROTECTED]]}
    runs = plan(["Cora", "CiteSeer"], ["gcn"], methods, [3, 1], n=20)
    assert [(run.seed, run.dataset, run.method.name) for run in runs] == [
        (seed, dataset, method.name)
        for seed in (3, 1)
        for dataset in methods
        for method in methods[dataset]
    ]
    assert {run.n for run in runs} == {20}


def test_methods_fit_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def noises() -> set[str | None]:
        return {method.noise for method in fitting_methods("CitationSBM")}

    assert noises() == {"flips", "ablation", None}
    dataset = CitationSBM()
    dataset._data.x = dataset._data.x * 0.5
    monkeypatch.setattr("pyg_hiersmooth.study.plan.load_dataset", lambda name, root: dataset)
    assert noises() == {"gaussian", "ablation", None}
