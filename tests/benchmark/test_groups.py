from __future__ import annotations

from pyg_hiersmooth.benchmark.groups import groups, tallies
from pyg_hiersmooth.benchmark.result import Tally

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


def test_tallies_of_a_part(make_result) -> None:
    val = Tally(10, 3, 0, [])
    results = [make_result(val=val), make_result(seed=17)]
    assert tallies(results, "val", "binary")[0] is val
    assert tallies(results, "test", "binary")[1].num_nodes == 100
