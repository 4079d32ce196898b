from __future__ import annotations

import json

import pytest

from pyg_hiersmooth.datasets import CitationSBM
from pyg_hiersmooth.experiment.setting_parts import SmoothingSettings
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.study.methods import METHODS, UNPROTECTED, Method
from pyg_hiersmooth.study.plan import SEEDS, Run, fitting_methods, plan

FLIPS = METHODS["hierarchical flips"]


def test_name_tells_runs_apart() -> None:
    runs = plan(
        ["Cora", "CiteSeer"], ["gcn", "own.gnns:GNN"], {"Cora": [FLIPS], "CiteSeer": [FLIPS]}
    )
    assert len({run.name for run in runs}) == len(runs) == 2 * 2 * len(SEEDS)
    assert runs[0].name == "Cora-gcn-hierarchical-flips-p0.81-p_plus0.05-p_minus0.8-seed13"
    assert ":" not in "".join(run.name for run in runs)


def test_settings_by_name_and_back() -> None:
    for method in METHODS.values():
        run = Run.of("Cora", "gat", method, 17, n=50, part="val+test")
        kept = json.loads(json.dumps(run.options))
        assert Run.of(**kept | {"method": Method.of(**kept["method"])}) == run


def test_settings_are_those_of_the_experiment() -> None:
    run = Run.of("Cora", "gat", METHODS["flat Gaussian"], 17, n0=7, n=50, alpha=0.05, lr=0.5)
    assert run.settings("data", "cpu") == Settings.of(
        dataset="Cora",
        model="gat",
        noise="gaussian",
        p=1.0,
        std=0.25,
        indicator=False,
        n0=7,
        n=50,
        alpha=0.05,
        lr=0.5,
        seed=17,
        num_workers=0,
        device="cpu",
    )


def test_settings_of_an_exact_method() -> None:
    run = Run.of("Cora", "gat", METHODS["exact node ablation"], 17, n0=7, n=50)
    settings = run.settings("data", "cpu")
    assert settings.smoothing == SmoothingSettings("ablation", "partition", groups=10)
    assert settings.smoothing.exact and settings.sampling is None


def test_number_of_samples() -> None:
    assert Run.of("Cora", "gat", METHODS["exact node ablation"], 17, n=50).num_samples == 100
    assert Run.of("Cora", "gat", FLIPS, 17, n0=7, n=50).num_samples == 57
    assert Run.of("Cora", "gat", METHODS[UNPROTECTED], 17).num_samples == 0


def test_a_seed_is_finished_before_the_next() -> None:
    methods = {"Cora": [FLIPS], "CiteSeer": [FLIPS, METHODS[UNPROTECTED]]}
    runs = plan(["Cora", "CiteSeer"], ["gcn"], methods, [3, 1], n=20)
    assert [(run.seed, run.dataset, run.method.name) for run in runs] == [
        (seed, dataset, method.name)
        for seed in (3, 1)
        for dataset in methods
        for method in methods[dataset]
    ]
    assert {run.sampling.n for run in runs} == {20}


def test_methods_fit_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def noises() -> set[str]:
        return {method.noise for method in fitting_methods("CitationSBM")}

    assert noises() == {"flips", "ablation", "none"}
    dataset = CitationSBM()
    dataset._data.x = dataset._data.x * 0.5
    monkeypatch.setattr("pyg_hiersmooth.study.plan.load_dataset", lambda name, root: dataset)
    assert noises() == {"gaussian", "ablation", "none"}
