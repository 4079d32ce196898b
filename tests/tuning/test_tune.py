from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from pyg_hiersmooth.experiment.smoothing import shows_indicator
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import NOISES, AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .searches import (
    ABLATION,
    EXACT,
    FEW,
    FLIPS,
    JUDGED,
    NUM_CLASSES,
    NUM_NODES,
    Counting,
    RightOn,
    outcome,
    p_of,
    tune,
    untrained,
)

# What is reported


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("noise", "r", "budget", "sampling"),
    [
        ("flips", 2, {"additions": 1, "deletions": 1}, {}),
        ("flips", 1, {"deletions": 2}, {"kind": "binary", "alpha": 0.2, "seed": 3}),
        ("ablation", 1, {}, {"n0": 7, "n": 30}),
        ("gaussian", 2, {"eps": 0.2}, {"seed": 1}),
        ("laplace", 1, {"eps": 0.1}, {}),
        ("uniform", 1, {"eps": 0.3}, {"n": 20}),
    ],
)
def test_accuracies_are_those_of_a_certificate(
    noise: str, r: int, budget: dict[str, float], sampling: dict[str, Any], data: Data
) -> None:
    trained_under = []

    def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        trained_under.append(str(transform))
        return Counting()

    ranking = tune(data, train, noise=noise, r=r, **budget, **sampling, num_trials=12)
    assert sorted(str(tuned.transform) for tuned in ranking) == sorted(trained_under)
    how = {"n0": 5, "n": 15, "alpha": 0.1, "seed": 0, "kind": "multiclass"} | sampling
    ended_early = 0
    for tuned in ranking:
        parameters = dict(tuned.parameters)
        p = parameters.pop("p")
        transform = HierarchicalNodeFeatureNoise(p, NOISES[noise](**parameters))
        assert str(tuned.transform) == str(transform)
        smoothed = SmoothedNodeClassifier(Counting(), transform, NUM_CLASSES)
        certificate = smoothed.certify(data, node_index=JUDGED, progress=False, **how)
        y = data.y[JUDGED]
        expected = certificate.clean_accuracy(y), certificate.certified_accuracy(y, r, **budget)
        if (tuned.clean_accuracy, tuned.certified_accuracy) != expected:
            ended_early += 1
            assert expected[1] <= ranking[0].certified_accuracy  # rightly so
            assert tuned.certified_accuracy < ranking[0].certified_accuracy
            first = smoothed.sample_votes(data, how["n0"], how["seed"], JUDGED, progress=False)
            assert tuned.clean_accuracy == float((first.argmax(1) == y).double().mean())
    assert ended_early < len(ranking)
    # There is something to compare.
    assert len({tuned.clean_accuracy for tuned in ranking}) > 3
    assert ranking[0].certified_accuracy > 0


def test_mask_of_the_judged_nodes(data: Data) -> None:
    mask = torch.zeros(NUM_NODES, dtype=torch.bool)
    mask[JUDGED] = True
    by_index = tune(data, **FLIPS, num_trials=4)
    assert outcome(tune(data, **FLIPS, num_trials=4, node_index=mask)) == outcome(by_index)
    others = tune(data, **FLIPS, num_trials=4, node_index=~mask)
    assert outcome(others) != outcome(by_index)


def test_seed_determines_the_search(data: Data) -> None:
    first = outcome(tune(data, **FLIPS, num_trials=3))
    assert outcome(tune(data, **FLIPS, num_trials=3)) == first
    assert outcome(tune(data, **FLIPS, num_trials=3, seed=1)) != first


# What ranks first


def test_ranking(data: Data) -> None:
    def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        p = p_of(transform)
        if p < 0.65:  # too little for any certificate
            return RightOn(0.6 + p / 5)
        return RightOn(0.4 if p < 0.8 else 0.7)

    ranking = tune(data, train, **ABLATION, min_clean_accuracy=0.5, num_trials=25)
    certified = [t for t in ranking if t.certified_accuracy > 0 and t.clean_accuracy >= 0.5]
    clean = [t for t in ranking if t.certified_accuracy == 0 and t.clean_accuracy >= 0.5]
    short = [t for t in ranking if t.clean_accuracy < 0.5]
    assert outcome(ranking) == outcome(certified + clean + short)
    assert min(len(certified), len({t.clean_accuracy for t in clean}), len(short)) > 1
    assert max(t.certified_accuracy for t in short) > 0
    assert [t.clean_accuracy for t in clean] == sorted(t.clean_accuracy for t in clean)[::-1]
    assert len(ranking) == 25


def test_those_short_of_clean_accuracy_rank_by_it(data: Data) -> None:
    def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        return RightOn(1.2 - p_of(transform))  # the less clean, the more certified

    ranking = tune(data, train, **ABLATION, min_clean_accuracy=0.9, num_trials=12)
    clean = [t.clean_accuracy for t in ranking]
    assert clean == sorted(clean, reverse=True) and clean[0] < 0.9
    certified = [t.certified_accuracy for t in ranking]
    assert certified != sorted(certified, reverse=True)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("reachable", [True, False])
def test_search_learns_from_its_trials(reachable: bool, data: Data) -> None:
    distances = []  # from the best

    def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        distances.append(abs(p_of(transform) - 0.95))
        return RightOn(0.9 - 1.5 * distances[-1])

    least = 0.0 if reachable else 0.95
    ranking = tune(data, train, **ABLATION, min_clean_accuracy=least, num_trials=40)
    assert abs(ranking[0].parameters["p"] - 0.95) < 0.03
    # The first ten are random, and 0.2 away on average.
    assert sum(distances[:10]) / 10 > 0.15
    assert sum(distances[20:]) / 20 < 0.1


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": "salt"}, "'noise' must be one of flips, gaussian, ablation, .* .got 'salt'"),
        ({"num_trials": 0}, "'num_trials' must be .* at least 1 .*0"),
        ({"num_trials": 2.5}, "'num_trials' must be an integer"),
        ({"num_classes": 1}, "'num_classes' must be"),
        ({"min_clean_accuracy": -0.1}, r"'min_clean_accuracy' must be in \[0, 1\] .got -0.1"),
        ({"min_clean_accuracy": 80}, "'min_clean_accuracy' must be .* .got 80"),
        ({"min_clean_accuracy": float("nan")}, "'min_clean_accuracy' must be .* .got nan"),
        ({"r": 0}, "'r' and the budget must allow a change .got r=0"),
        ({"r": -1}, "'r' must be"),
        ({"r": 1.5}, "'r' must be"),
        ({"deletions": 0}, "'r' and the budget must allow a change .got .*'deletions': 0"),
        ({"deletions": -1}, "'deletions' must be a non-negative integer"),
        ({"n0": 0}, "'n0' must be"),
        ({"n": 0}, "'n' must be"),
        ({"alpha": 1.0}, "'alpha' must be"),
        ({"kind": "both"}, "'kind' must be"),
        ({"seed": -1}, "'seed' must be"),
        ({"node_index": []}, "'node_index' must name at least one node"),
        ({"node_index": [NUM_NODES]}, "'node_index' must lie between 0 and 39"),
    ],
)
def test_values_that_are_refused(
    arguments: dict[str, Any], message: str, data: Data, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        tune(data, untrained, **FLIPS | arguments, storage=tmp_path / "search.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("noise", "budget", "message"),
    [
        ("flips", {}, "SparseFlipNoise needs the budget 'additions' or 'deletions'"),
        ("flips", {"eps": 1.0}, r"SparseFlipNoise takes .* \(got 'eps'\)"),
        ("gaussian", {}, "GaussianNoise needs the budget 'eps'"),
        ("laplace", {}, "LaplaceNoise needs the budget 'eps'"),
        ("uniform", {"eps": 1.0, "deletions": 1}, r"UniformNoise takes 'eps' \(got 'deletions'\)"),
        ("ablation", {"eps": 1.0}, "AblationNoise takes no budget besides 'r'"),
        ("flips", {"deletions": 1, "epsilon": 1}, r"SparseFlipNoise takes .* \(got 'epsilon'\)"),
    ],
)
def test_budgets_of_another_noise(
    noise: str, budget: dict[str, float], message: str, data: Data
) -> None:
    with pytest.raises(TypeError, match=message):
        tune(data, untrained, noise=noise, **budget)


@pytest.mark.parametrize("eps", [0.0, -1.0, float("nan"), float("inf")])
def test_distances_that_are_refused(eps: float, data: Data) -> None:
    with pytest.raises(ValueError, match=r"'eps' must be|must allow a change .got .*'eps': 0.0"):
        tune(data, untrained, noise="gaussian", eps=eps)


@pytest.mark.parametrize("name", ["x", "edge_index", "y"])
def test_incomplete_data(name: str, data: Data) -> None:
    data[name] = None
    with pytest.raises(ValueError, match=f"must have .*'{name}'|has no .*'{name}'"):
        tune(data, untrained, **FLIPS)


def test_labels_that_are_none(data: Data) -> None:
    data.y = torch.nn.functional.one_hot(data.y)
    with pytest.raises(ValueError, match=r"'y' must hold one class .* pass y.argmax\(-1\)"):
        tune(data, untrained, **FLIPS)


def test_flips_of_features_that_are_not_binary(data: Data) -> None:
    data.x = data.x / 2
    with pytest.raises(ValueError, match="SparseFlipNoise needs binary features"):
        tune(data, untrained, **FLIPS)


def test_model_that_is_none(data: Data) -> None:
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module \(got NoneType\)"):
        tune(data, lambda transform: None, **FLIPS)  # type: ignore[arg-type, return-value]


# Optuna


def test_without_optuna(data: Data, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "optuna"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "pyg_hiersmooth.tuning")
    anew = import_module("pyg_hiersmooth.tuning")  # which does not need it
    with pytest.raises(ImportError, match=r"'optuna' is not installed: run pip install optuna"):
        anew.tune_smoothing(
            untrained,
            data,
            JUDGED,
            NUM_CLASSES,
            "flips",
            deletions=1,
            storage=tmp_path / "search.jsonl",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verbosity", [optuna.logging.DEBUG, optuna.logging.ERROR])
def test_logging_of_optuna_is_left_as_it_was(
    verbosity: int, data: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = optuna.logging.get_verbosity()
    storage = tmp_path / "search.jsonl"
    try:
        optuna.logging.enable_propagation()
        optuna.logging.set_verbosity(verbosity)
        for seed, num_trials in [(0, 1), (0, 2), (1, 1)]:
            try:
                tune(data, **FLIPS, seed=seed, num_trials=num_trials, storage=storage)
            except ValueError:
                assert seed == 1
            assert optuna.logging.get_verbosity() == verbosity
    finally:
        optuna.logging.disable_propagation()
        optuna.logging.set_verbosity(before)
    assert caplog.messages == []


@pytest.mark.parametrize("progress", [True, False])
def test_nothing_but_the_progress_bar_is_shown(
    progress: bool, data: Data, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for num_trials in (1, 2):
            tune(
                data,
                **FLIPS,
                num_trials=num_trials,
                storage=tmp_path / "search.jsonl",
                progress=progress,
            )
    output = capfd.readouterr()
    assert output.out == ""
    lines = [line for line in output.err.replace("\r", "\n").splitlines() if line]
    assert all(line.startswith("Tuning:") for line in lines)
    assert any("2/2" in line for line in lines) is progress
    assert any("best=" in line for line in lines) is progress
    assert bool(lines) is progress


# Partitions


def test_exact_accuracies_are_those_of_a_certificate(data: Data) -> None:
    sampling = dict.fromkeys(("n0", "n", "alpha"))
    given: dict[str, Any] = {"noise": "ablation", "selection": "partition", "partitions": 2}
    ranking = tune(data, **given, r=2, seed=3, num_trials=6, **sampling)
    for tuned in ranking:
        assert list(tuned.parameters) == ["groups"]
        selection = PartitionSelection(int(tuned.parameters["groups"]), 2, seed=3)
        transform = HierarchicalNodeFeatureNoise(selection, AblationNoise())
        assert str(tuned.transform) == str(transform)
        smoothed = SmoothedNodeClassifier(Counting(), transform, NUM_CLASSES)
        certificate = smoothed.certify(data, node_index=JUDGED, progress=False, num_workers=0)
        assert certificate.exact
        assert tuned.certified_accuracy == certificate.certified_accuracy(data.y[JUDGED], 2)
    assert ranking[0].certified_accuracy > 0


def test_a_partition_with_a_noise_that_draws_is_sampled(data: Data) -> None:
    ranking = tune(data, **FLIPS, selection="partition", num_trials=2)
    for tuned in ranking:
        assert set(tuned.parameters) == {"groups", "p_plus", "p_minus"}
        assert "num_partitions=10" in str(tuned.transform)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selection": "coin"}, "'selection' must be one of bernoulli, partition .got 'coin'"),
        ({"partitions": 3}, "'partitions' does nothing with 'selection' bernoulli"),
        ({**EXACT, "partitions": -1}, "partitions' must be"),
        ({**EXACT, "partitions": 0}, "partitions' must be"),
        ({**EXACT, "r": 12}, "'r' must be at most 11 for 'selection' partition"),
        ({"selection": "partition"}, "'sampling' does nothing where all outcomes are enumerated"),
        ({"p": 0.7}, "'p' is searched: leave it out .got 0.7"),
        ({**EXACT, "groups": 8}, "'groups' is searched: leave it out .got 8"),
    ],
)
def test_partitions_that_are_refused(arguments: dict[str, Any], message: str, data: Data) -> None:
    with pytest.raises(ValueError, match=message):
        tune(data, untrained, noise="ablation", **arguments)


# Edges


EDGES: dict[str, Any] = {"noise": "none", "edges": "ablation"}


def undirected(data: Data) -> Data:
    data.edge_index = to_undirected(data.edge_index)
    return data


def without_indicator(transform: Any) -> torch.nn.Module:
    model = Counting()
    if not shows_indicator(transform):
        model.weight = model.weight[:, :-1]
    return model


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({**EDGES, "r": 2}, {"edges_p"}),
        ({**EDGES, "edges": "flips", "deletions": 2}, {"edges_p_plus", "edges_p_minus"}),
        ({"noise": "ablation", "edges": "ablation", "r": 1, "r_edges": 2}, {"p", "edges_p"}),
        (
            {"noise": "flips", "edges": "ablation", "deletions": 1, "r_edges": 1},
            {"p", "p_plus", "p_minus", "edges_p"},
        ),
        (
            {"noise": "ablation", "edges": "flips", "additions": 1},
            {"p", "edges_p_plus", "edges_p_minus"},
        ),
    ],
)
def test_noise_on_edges_is_tuned(options: dict[str, Any], names: set[str], data: Data) -> None:
    ranking = tune(undirected(data), without_indicator, **options, num_trials=3, seed=2)
    budget = {name: options[name] for name in ("additions", "deletions") if name in options}
    budget |= {"edges": options["r_edges"]} if "r_edges" in options else {}
    r = None if options["noise"] == "none" and budget else options.get("r", 1)
    how = {"n0": FEW["n0"], "n": FEW["n"], "alpha": FEW["alpha"], "seed": 2}
    y, as_certified = data.y[JUDGED], 0
    for tuned in ranking:
        assert set(tuned.parameters) == names
        if "edges_p" in names:
            assert tuned.parameters["edges_p"] ** options.get("r_edges", r) > 0.5
        smoothed = SmoothedNodeClassifier(
            without_indicator(tuned.transform), tuned.transform, NUM_CLASSES
        )
        certificate = smoothed.certify(data, node_index=JUDGED, progress=False, **how)
        certified = certificate.certified_accuracy(y, r, **budget)
        as_certified += (tuned.clean_accuracy, tuned.certified_accuracy) == (
            certificate.clean_accuracy(y),
            certified,
        )
        assert certified <= ranking[0].certified_accuracy
    assert as_certified > 0


def test_exact_accuracies_of_edges_are_those_of_a_certificate(data: Data) -> None:
    sampling = dict.fromkeys(("n0", "n", "alpha"))
    given: dict[str, Any] = {**EDGES, "edges_selection": "partition", "edges_partitions": 2}
    ranking = tune(undirected(data), without_indicator, **given, r=2, num_trials=3, **sampling)
    for tuned in ranking:
        smoothed = SmoothedNodeClassifier(
            without_indicator(tuned.transform), tuned.transform, NUM_CLASSES
        )
        certificate = smoothed.certify(data, node_index=JUDGED, progress=False, num_workers=0)
        assert certificate.exact and 5 <= tuned.parameters["edges_groups"] <= 24
        assert tuned.certified_accuracy == certificate.certified_accuracy(data.y[JUDGED], 2)
    assert ranking[0].certified_accuracy > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"noise": "none"}, ValueError, "'smoothing' must have a noise where there are no 'pairs'"),
        ({**EDGES, "r": 0}, ValueError, "'r' and the budget must allow a change"),
        (
            {**EDGES, "edges": "flips", "deletions": 2, "r": 2},
            ValueError,
            "'r' does nothing where the budget says how many edges change: leave it out .got 2",
        ),
        ({**EDGES, "r_edges": 2}, TypeError, r"takes no budget besides 'r' .got 'edges'"),
        ({**EDGES, "deletions": 2}, TypeError, "no budget besides 'r'"),
        (
            {**EDGES, **EXACT, "edges_selection": "partition", "selection": "bernoulli", "r": 12},
            ValueError,
            "'r' must be at most 11 for 'edges_selection' partition",
        ),
    ],
)
def test_edges_that_are_not_tuned(
    options: dict[str, Any], error: type[Exception], message: str, data: Data
) -> None:
    with pytest.raises(error, match=message):
        tune(undirected(data), untrained, **options)


def test_messages_are_tuned(data: Data) -> None:
    sampling = dict.fromkeys(("n0", "n", "alpha"))
    given: dict[str, Any] = {"noise": "ablation", "ablate": "messages", "selection": "partition"}
    (tuned,) = tune(data, **given, partitions=2, r=3, num_trials=1, **sampling)
    assert "of='messages'" in str(tuned.transform)
