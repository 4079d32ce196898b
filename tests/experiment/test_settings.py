from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pyg_hiersmooth import noise
from pyg_hiersmooth.experiment.settings import (
    NOISES,
    RECENT,
    SAMPLING_DEFAULTS,
    TASK_DEFAULTS,
    TRAINING,
    Settings,
    differences,
)
from pyg_hiersmooth.training import train_graph_classifier, train_node_classifier

EXACT: dict[str, Any] = {"selection": "partition", "noise": "ablation"}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("flips", {"p_plus": 0.05, "p_minus": 0.8}),
        ("gaussian", {"std": 0.25}),
        ("ablation", {}),
        ("laplace", {"scale": 0.25}),
        ("uniform", {"scale": 0.25}),
        ("none", {}),
    ],
)
def test_settings_of_the_noise_alone_are_filled_in(name: str, own: dict[str, float]) -> None:
    settings = Settings(noise=name)
    names = ("p_plus", "p_minus", "std", "scale")
    assert {name: getattr(settings, name) for name in names} == dict.fromkeys(names) | own


def test_noises_are_those_of_the_library() -> None:
    assert list(NOISES) == [*noise.NOISES, "none"]


@pytest.mark.parametrize(
    ("task", "noise", "train"),
    [("node", "flips", train_node_classifier), ("graph", "ablation", train_graph_classifier)],
)
def test_training_is_that_of_the_task(task: str, noise: str, train: Any) -> None:
    settings, defaults = Settings(task=task), inspect.signature(train).parameters
    assert settings.noise == noise
    assert {name: getattr(settings, name) for name in TRAINING} == {
        name: defaults[name].default for name in TRAINING
    }
    assert set(TASK_DEFAULTS[task]) == {"noise", *TRAINING}


def test_what_is_given_stays() -> None:
    settings = Settings(task="graph", noise="gaussian", std=0.7, lr=0.1, max_epochs=3, patience=2)
    assert (settings.std, settings.lr, settings.max_epochs, settings.patience) == (0.7, 0.1, 3, 2)


def test_nothing_is_trained_with_a_checkpoint() -> None:
    settings = Settings(checkpoint="model.pt")
    assert [getattr(settings, name) for name in TRAINING] == [None] * len(TRAINING)


def test_paths_become_strings() -> None:
    settings = Settings(root=Path("a"), checkpoint=Path("b.pt"))  # type: ignore[arg-type]
    assert (settings.root, settings.checkpoint) == ("a", "b.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "salt"}, "'noise' must be one of flips, .*, none .got 'salt'"),
        ({"task": "edge"}, "'task' must be one of node, graph .got 'edge'"),
        ({"kind": "both"}, r"'kind' must be one of multiclass, binary .got 'both'"),
        ({"part": "train"}, r"'part' must be one of test, val, val\+test .got 'train'"),
        ({"std": 0.3}, "'std' does nothing with 'noise' flips: leave it out"),
        ({"noise": "none", "p_plus": 0.3}, "'p_plus' does nothing with 'noise' none"),
        ({"task": "graph", "p_minus": 0.3}, "'p_minus' does nothing with 'noise' ablation"),
        ({"checkpoint": "a", "lr": 0.3}, "'lr' does nothing with 'checkpoint': leave it out"),
        ({"selection": "coin"}, "'selection' must be one of bernoulli, partition .got 'coin'"),
        ({"groups": 5}, "'groups' does nothing with 'selection' bernoulli: leave it out"),
        ({"selection": "partition", "p": 0.9}, "'p' does nothing with 'selection' partition"),
        ({**EXACT, "n": 5}, "'n' does nothing with 'selection' partition and 'noise' ablation"),
        ({**EXACT, "simultaneous": False}, "'simultaneous' does nothing with 'selection' part"),
        ({"method": "lp"}, "'method' does nothing without 'collective': leave it out"),
        ({"collective": True}, "'collective' needs certificates that hold at once: 'simultaneous'"),
        ({"collective": True, "selection": "partition"}, "'collective' needs certificates that"),
        ({**EXACT, "collective": True, "task": "graph"}, "'collective' is about the nodes of one"),
        ({**EXACT, "collective": True, "method": "ip"}, "'method' must be one of lp, milp"),
        ({"noise": "none", "simultaneous": True, "collective": True}, "'collective' does nothing"),
        ({"device": "cuda", "num_workers": 2}, "'num_workers' does nothing with 'device' cuda"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_dictionary_and_back() -> None:
    settings = Settings(noise="gaussian", std=0.3, part="val", seed=4, checkpoint="a.pt")
    assert Settings.from_dict(json.loads(json.dumps(asdict(settings)))) == settings


def test_older_dictionaries_do_not_name_all() -> None:
    content = asdict(Settings(n=5))
    for name in RECENT:
        del content[name]
    assert Settings.from_dict(content) == Settings(n=5)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_other_dictionaries_are_refused(change: str) -> None:
    content = asdict(Settings())
    if change == "missing":
        del content["seed"]
    else:
        content["seeds"] = 3
    with pytest.raises(ValueError, match="missing or unknown settings seed"):
        Settings.from_dict(content)


def test_parts_title_and_slug() -> None:
    settings = Settings(dataset="Cora", model="own.gnns:GNN", part="val+test")
    assert settings.parts == ["val", "test"]
    assert (settings.title, settings.slug) == ("Cora, own.gnns:GNN", "Cora-own.gnns.GNN")


def test_differences_name_both_values() -> None:
    settings = Settings()
    other = replace(settings, n=5, model="gat", root="elsewhere", num_workers=3)
    assert differences(settings, other) == {"model": ("gcn", "gat"), "n": (10_000, 5)}
    assert differences(settings, settings) == {}
    assert differences({"a": 1, "b": 2}, {"b": 2, "c": None, "d": 3}) == {
        "a": (1, None),
        "d": (None, 3),
    }


def test_they_do_not_wait_for_pytorch() -> None:
    code = "import sys, pyg_hiersmooth.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_exact_takes_no_samples() -> None:
    exact, sampled = Settings(**EXACT), Settings(selection="partition")
    assert exact.exact and not sampled.exact and not Settings(noise="ablation").exact
    for settings in (exact, sampled):
        assert (settings.p, settings.groups, settings.partitions) == (None, 10, 10)
    assert [getattr(exact, name) for name in SAMPLING_DEFAULTS] == [None] * 4
    assert [getattr(sampled, name) for name in SAMPLING_DEFAULTS] == [1_000, 10_000, 0.01, False]
    assert (exact.name, sampled.name) == (
        "CitationSBM-gcn-partition-ablation-seed0",
        "CitationSBM-gcn-partition-flips-seed0",
    )
    assert Settings.from_dict(json.loads(json.dumps(asdict(exact)))) == exact


def test_a_collective_certificate_alters_no_vote() -> None:
    settings = Settings(**EXACT)
    other = replace(settings, collective=True)
    assert (other.method, other.time_limit) == ("milp", 10.0)
    assert (settings.method, settings.time_limit) == (None, None)
    assert differences(settings, other) == {}
    assert Settings(simultaneous=True, collective=True, method="lp", time_limit=3).method == "lp"


def test_questions() -> None:
    settings = Settings(until=["r=1,deletions=5", "r=2,additions=1"])  # type: ignore[arg-type]
    assert settings.questions == [{"r": 1, "deletions": 5}, {"r": 2, "additions": 1}]
    assert (settings.n0, settings.n) == (None, 10_000)
    assert Settings.from_dict(json.loads(json.dumps(asdict(settings)))) == settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": []}, "at least one question"),
        ({"until": ["r=1,deletions=1"], "n0": 5}, "'n0' does nothing with 'until'"),
        ({"until": ["r=1"], "selection": "partition", "noise": "ablation"}, "'until' does nothing"),
        ({"until": ["r=1"], "noise": "none"}, "'until' does nothing with 'noise' none"),
    ],
)
def test_questions_that_cannot_be_asked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**options)
