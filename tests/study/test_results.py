from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import (
    L2_DISTANCE,
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    Noise,
    SparseFlipNoise,
)
from pyg_hiersmooth.study.budgets import Budget, kept_budgets
from pyg_hiersmooth.study.methods import Method
from pyg_hiersmooth.study.results import (
    MAX_R,
    Result,
    Tally,
    groups,
    load_results,
    results_file,
    tallies,
)
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Y = np.arange(60) % 4


def make_certificate(noise: Noise, p: float = 0.9) -> Certificate:
    """60 objects of 4 classes, 45 of them predicted right, and two abstentions."""
    p_lower = 1 - np.random.default_rng(0).beta(1, 4, len(Y))
    p_lower[:2] = 0.3
    prediction = np.where(np.arange(len(Y)) < 45, Y, (Y + 1) % 4)
    transform = HierarchicalNodeFeatureNoise(p, noise)
    return Certificate.from_bounds(transform, prediction, p_lower, 1 - p_lower)


def test_counts_of_nodes() -> None:
    certificate = make_certificate(AblationNoise())
    tally = Tally.of(certificate, Y)
    assert (tally.num_nodes, tally.correct) == (60, int((certificate.prediction == Y).sum()))
    assert tally.abstained == int((certificate.prediction == -1).sum()) >= 2
    assert tally.clean_accuracy == tally.correct / 60
    assert tally.abstained_share == tally.abstained / 60


def test_flips_keep_the_whole_grid() -> None:
    certificate = make_certificate(SparseFlipNoise(0.05, 0.8))
    tally = Tally.of(certificate, Y)
    for r in range(1, MAX_R + 1):
        for additions in (0, 1, 2, 5, 41):
            for deletions in (0, 1, 7, 20, 61):
                exact = certificate.certified_accuracy(
                    Y, r, additions=additions, deletions=deletions
                )
                assert tally.certified_accuracy(r, additions, deletions) == pytest.approx(exact)
    assert tally.certified_accuracy(1, 0, 7) > tally.certified_accuracy(3, 0, 7) > 0


def test_gaussian_noise_keeps_distances() -> None:
    certificate = make_certificate(GaussianNoise(0.5))
    tally = Tally.of(certificate, Y)
    for r in (1, 2, MAX_R):
        for step in (1, 5, 12, 40):
            exact = certificate.certified_accuracy(Y, r, eps=0.5 * L2_DISTANCE.kept[step])
            assert tally.certified_accuracy(r, step) == pytest.approx(exact)
    assert tally.certified_accuracy(1, 5) > tally.certified_accuracy(1, 12) > 0


def test_ablation_holds_for_any_change_of_the_nodes_in_reach() -> None:
    certificate = make_certificate(AblationNoise())
    tally = Tally.of(certificate, Y)
    exact = [certificate.certified_accuracy(Y, r) for r in range(8)]
    assert exact[1] > exact[2] > exact[3] > 0
    assert [tally.certified_accuracy(r) for r in (1, 2, 3, 7)] == pytest.approx(
        [exact[r] for r in (1, 2, 3, 7)]
    )
    assert tally.certified_accuracy(3, 0, 20) == tally.certified_accuracy(3)
    for reach, budget in ((3, {"deletions": 20}), (1, {"additions": 1}), (0, {"additions": 0})):
        found = Budget.of("flips", **budget).certified_accuracy(tally, 3)
        assert found == pytest.approx(exact[reach])
    budget = Budget.of("flips", additions=1, deletions=1)
    assert budget.certified_accuracy(tally, 3) == pytest.approx(exact[2])
    eps = Budget.of("gaussian", eps=0.5)
    assert eps.certified_accuracy(tally, 3) == pytest.approx(exact[3])


def test_nothing_is_certified_beyond_what_was_kept() -> None:
    tally = Tally(10, 8, 0, [[[8, 5], [3]]])
    assert [tally.certified_accuracy(1, *cell) for cell in ((0, 1), (0, 2), (1, 0), (2, 0))] == [
        0.5,
        0,
        0.3,
        0,
    ]
    assert tally.certified_accuracy(2, 0, 2) == 0
    assert Tally(10, 8, 0, []).certified_accuracy(1, 0, 5) == 0


def test_budgets_of_another_noise_are_refused() -> None:
    flips = Tally.of(make_certificate(SparseFlipNoise(0.05, 0.8)), Y)
    distances = Tally.of(make_certificate(GaussianNoise(0.5)), Y)
    for tally, cell, got in ((flips, (1,), "few"), (flips, (), "few"), (distances, (1, 0), "many")):
        with pytest.raises(ValueError, match=rf"each budget of the noise \(got too {got}\)"):
            tally.certified_accuracy(1, *cell)
    with pytest.raises(ValueError, match="got too many"):
        Budget.of("flips", deletions=1).certified_accuracy(distances, 1)


@pytest.mark.parametrize(
    ("name", "noise"), [("flips", SparseFlipNoise(0.05, 0.8)), ("laplace", LaplaceNoise(0.5))]
)
def test_budgets_of_each_axis_are_those_of_the_certificate(name: str, noise: Noise) -> None:
    certificate = make_certificate(noise)
    tally = Tally.of(certificate, Y)
    for axis in noise.axes:
        for budget, strength in list(zip(kept_budgets(name, axis), axis.kept, strict=True))[:9]:
            asked = dict.fromkeys(noise.budget, 0) | {axis.name: strength * noise.unit}
            exact = certificate.certified_accuracy(Y, 2, **asked)
            assert budget.certified_accuracy(tally, 2) == pytest.approx(exact)


def test_zeros_at_the_ends_are_left_out() -> None:
    tally = Tally.of(make_certificate(SparseFlipNoise(0.05, 0.8), p=0.81), Y)
    assert all(row[-1] > 0 for surface in tally.certified for row in surface)
    assert len(tally.certified[0][-1]) < len(tally.certified[0][0])


def test_file_and_back(make_result, tmp_path: Path) -> None:
    result = make_result()
    results_file(tmp_path).append(result.as_record())
    assert load_results(tmp_path) == [result]
    shares = json.loads((tmp_path / "results.jsonl").read_text())["parts"]["test"]["binary"]
    assert (shares["clean_accuracy"], shares["abstained_share"]) == (0.8, 0.05)


@pytest.mark.parametrize(
    "content", ["\n", "[]\n", "{}\n", '{"format": "other"}\n', '{"format": 1, "run": 3}\n']
)
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text(content)
    with pytest.raises(ValueError, match=r"results\.jsonl' does not hold the results of a study"):
        load_results(tmp_path)


def test_a_result_without_a_figure_is_refused(make_result) -> None:
    record = make_result().as_record()
    del record["parts"]["test"]["binary"]["correct"]
    with pytest.raises(ValueError, match="correct"):
        Result.of_record(record)


def test_results_come_by_dataset_model_method_and_seed(make_result, tmp_path: Path) -> None:
    order = [
        ("Cora", "gat", "hierarchical flips", 13),
        ("Cora", "gat", "hierarchical flips", 17),
        ("Cora", "gat", "flat flips", 13),
        ("Cora", "gcn", "hierarchical flips", 13),
        ("Cora_ML", "gat", "unprotected", 13),
    ]
    for dataset, model, method, seed in reversed(order):
        result = make_result(method, dataset=dataset, model=model, seed=seed)
        results_file(tmp_path).append(result.as_record())
    runs = [result.run for result in load_results(tmp_path)]
    assert [(run.dataset, run.model, run.method.name, run.seed) for run in runs] == order


# What is compared with each other

ALL = (
    "hierarchical flips",
    "flat flips",
    "node ablation",
    "hierarchical Gaussian",
    "flat Gaussian",
    "unprotected",
)


def test_seeds_of_a_method_are_together(make_result) -> None:
    (group,) = groups([make_result(seed=13), make_result("flat flips"), make_result(seed=17)])
    assert [method.name for method in group.seeds] == ["hierarchical flips", "flat flips"]
    assert [len(results) for results in group.seeds.values()] == [2, 1]


def test_datasets_and_models_are_apart(make_result) -> None:
    pairs = [("Cora", "gat"), ("Cora", "gcn"), ("CiteSeer", "gat")]
    found = list(groups(make_result(dataset=dataset, model=model) for dataset, model in pairs))
    assert [(group.dataset, group.model) for group in found] == pairs
    assert [group.title for group in found] == ["Cora, gat", "Cora, gcn", "CiteSeer, gat"]


def test_kinds_of_budget_are_apart(make_result) -> None:
    flips, gaussian = groups(make_result(method) for method in ALL)
    assert (flips.noise, gaussian.noise) == ("flips", "gaussian")
    assert [method.name for method in flips.seeds] == [ALL[0], ALL[1], ALL[2], ALL[5]]
    assert [method.name for method in gaussian.seeds] == [ALL[2], ALL[3], ALL[4], ALL[5]]


def test_ablation_alone_is_a_group(make_result) -> None:
    (group,) = groups([make_result("node ablation")])
    assert group.noise == "flips" and len(group.seeds) == 1


def test_every_noise_can_be_compared(make_result) -> None:
    laplace = make_result(Method.of("flat Laplace", "laplace", scale=0.5))
    found = {group.noise: list(group.seeds) for group in groups([laplace, make_result()])}
    assert list(found) == ["flips", "laplace"]
    assert found["laplace"] == [laplace.run.method]
    assert laplace.run.method.title == "flat Laplace, p=1, scale=0.5"


def test_tallies_of_a_part(make_result) -> None:
    val = Tally(10, 3, 0, [])
    results = [make_result(val=val), make_result(seed=17)]
    assert tallies(results, "val", "binary")[0] is val
    assert tallies(results, "test", "binary")[1].num_nodes == 100
