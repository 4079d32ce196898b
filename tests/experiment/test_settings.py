from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pyg_hiersmooth.experiment.setting_parts import (
    CollectiveSettings,
    SamplingSettings,
    SetsSettings,
    TrainingSettings,
    names,
)
from pyg_hiersmooth.experiment.settings import Settings, differences
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.training import train_graph_classifier, train_node_classifier

EXACT: dict[str, Any] = {"selection": "partition", "noise": "ablation"}


@pytest.mark.parametrize(
    ("task", "noise", "train"),
    [("node", "flips", train_node_classifier), ("graph", "ablation", train_graph_classifier)],
)
def test_training_is_that_of_the_task(task: str, noise: str, train: Any) -> None:
    settings, defaults = Settings.of(task=task), inspect.signature(train).parameters
    assert settings.smoothing.noise == noise
    assert asdict(settings.training) == {
        name: defaults[name].default for name in names(TrainingSettings)
    }


@pytest.mark.parametrize("name", ["n0", "n", "alpha", "simultaneous", "kind"])
def test_sampling_is_that_of_the_library(name: str) -> None:
    default = inspect.signature(SmoothedNodeClassifier.certify).parameters[name].default
    assert default is None or default == Settings.of().options[name]


def test_what_is_given_stays() -> None:
    settings = Settings.of(
        task="graph", noise="gaussian", std=0.7, lr=0.1, max_epochs=3, patience=2
    )
    given = {"std": 0.7, "lr": 0.1, "max_epochs": 3, "patience": 2}
    assert settings.options | given == settings.options


def test_nothing_is_trained_with_a_checkpoint() -> None:
    settings = Settings.of(checkpoint="model.pt")
    assert settings.training is None and settings.options["lr"] is None


def test_paths_become_strings() -> None:
    settings = Settings.of(root=Path("a"), checkpoint=Path("b.pt"))  # type: ignore[arg-type]
    assert (settings.data.root, settings.checkpoint) == ("a", "b.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "salt"}, "'noise' must be one of flips, .*, none .got 'salt'"),
        ({"task": "edge"}, "'task' must be one of node, graph .got 'edge'"),
        ({"kind": "both"}, r"'kind' must be one of multiclass, binary .got 'both'"),
        ({"part": "train"}, r"'part' must be one of test, val, val\+test .got 'train'"),
        ({"std": 0.3}, "'std' does nothing with 'noise' flips: leave it out"),
        ({"noise": "none", "p_plus": 0.3}, "'p_plus' does nothing with 'noise' none"),
        ({"noise": "none", "p": 0.3}, "'p' does nothing with 'noise' none"),
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
        ({"approve": 0.1}, "'approve' does nothing without 'sets': leave it out"),
        ({"calibration": 9}, "'calibration' does nothing without 'sets': leave it out"),
        ({"sets": 1.0}, r"'sets' must be a number between 0 and 1, both excluded .got 1.0"),
        ({"sets": 0.9, "approve": 1.1}, r"'approve' must be a probability in \[0, 1\] .got 1.1"),
        ({"sets": 0.9, "calibration": 0}, "'calibration' must be an integer of at least 1 .got 0"),
        ({"sets": 0.9, "part": "val+test"}, r"'sets' are about 'part' test, .* 'part' val\+test"),
        ({"sets": 0.9, "noise": "none"}, "'sets' does nothing with 'noise' none"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.of(**options)


def test_dictionary_and_back() -> None:
    settings = Settings.of(noise="gaussian", std=0.3, part="val", seed=4, checkpoint="a.pt")
    assert Settings.of(**json.loads(json.dumps(settings.options))) == settings


OLDER = {
    "dataset": "CitationSBM",
    "root": "data",
    "model": "gcn",
    "noise": "flips",
    "p": 0.81,
    "p_plus": 0.05,
    "p_minus": 0.8,
    "std": None,
    "scale": None,
    "indicator": True,
    "n0": 1000,
    "n": 5,
    "alpha": 0.01,
    "kind": "multiclass",
    "simultaneous": False,
    "seed": 0,
    "max_epochs": 1000,
    "patience": 50,
    "lr": 0.001,
    "checkpoint": None,
    "num_workers": None,
    "device": "cpu",
}
"""What the first folders name."""


def test_older_folders_do_not_name_all() -> None:
    assert Settings.of(**OLDER) == Settings.of(n=5, device="cpu")
    exact = dict.fromkeys(("n0", "n", "alpha", "simultaneous", "p", "p_plus", "p_minus"))
    partition = {"selection": "partition", "groups": 4, "partitions": 2, "method": None}
    older = OLDER | exact | partition | {"noise": "ablation", "collective": False}
    assert Settings.of(**older) == Settings.of(**EXACT, groups=4, partitions=2, device="cpu")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'seeds'"):
        Settings.of(seeds=3)


def test_parts_title_and_slug() -> None:
    settings = Settings.of(dataset="Cora", model="own.gnns:GNN", part="val+test")
    assert settings.data.parts == ["val", "test"]
    assert (settings.title, settings.data.slug) == ("Cora, own.gnns:GNN", "Cora-own.gnns.GNN")


def test_differences_name_both_values() -> None:
    settings = Settings.of().options
    other = Settings.of(n=5, model="gat", root="elsewhere", num_workers=3).options
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
    exact, sampled = Settings.of(**EXACT), Settings.of(selection="partition")
    assert exact.smoothing.exact and not sampled.smoothing.exact
    assert not Settings.of(noise="ablation").smoothing.exact
    for settings in (exact, sampled):
        assert settings.smoothing.own("selection") == {"groups": 10, "partitions": 10}
        assert settings.smoothing.p is None
    assert exact.sampling is None and exact.options["n"] is None
    assert sampled.sampling == SamplingSettings(1_000, 10_000, 0.01, False)
    assert (exact.name, sampled.name) == (
        "CitationSBM-gcn-partition-ablation-seed0",
        "CitationSBM-gcn-partition-flips-seed0",
    )
    assert Settings.of(**json.loads(json.dumps(exact.options))) == exact


def test_a_collective_certificate_alters_no_vote() -> None:
    settings = Settings.of(**EXACT)
    other = Settings.of(**EXACT, collective=True)
    assert other.collective == CollectiveSettings("milp", 10.0) and settings.collective is None
    assert differences(settings.options, other.options) == {}
    asked = Settings.of(simultaneous=True, collective=True, method="lp", time_limit=3).collective
    assert asked == CollectiveSettings("lp", 3)


def test_sets_hide_nodes_from_training_and_so_alter_a_run() -> None:
    settings = Settings.of(sets=0.8)
    assert settings.prediction_sets == SetsSettings(0.8, 0.1, 200)
    assert Settings.of(**json.loads(json.dumps(settings.options))) == settings
    assert Settings.of().prediction_sets is None
    assert Settings.of(task="graph", sets=0.9).prediction_sets == SetsSettings(0.9, 0.1, 40)
    changed = differences(Settings.of().options, settings.options)
    assert changed == {"sets": (None, 0.8), "approve": (None, 0.1), "calibration": (None, 200)}


def test_questions() -> None:
    settings = Settings.of(until=["r=1,deletions=5", "r=2,additions=1"])  # type: ignore[arg-type]
    assert settings.questions == [{"r": 1, "deletions": 5}, {"r": 2, "additions": 1}]
    assert settings.sampling is not None
    assert (settings.sampling.n0, settings.sampling.n) == (None, 10_000)
    assert Settings.of(**json.loads(json.dumps(settings.options))) == settings


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
        Settings.of(**options)


def test_what_is_ablated() -> None:
    assert Settings.of(noise="ablation").smoothing.own("noise") == {"ablate": "features"}
    messages = Settings.of(**EXACT, ablate="messages")
    assert messages.name == "CitationSBM-gcn-partition-ablation-messages-seed0"
    assert Settings.of(**messages.options) == messages
    assert Settings.of(**EXACT).name == "CitationSBM-gcn-partition-ablation-seed0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ablate": "messages"}, "'ablate' does nothing with 'noise' flips: leave it out"),
        ({**EXACT, "ablate": "edges"}, "'ablate' must be one of features, messages, nodes"),
        ({**EXACT, "ablate": "nodes"}, "'ablate' must be .* .got nodes of node"),
        ({**EXACT, "ablate": "messages", "task": "graph"}, "got messages of graph"),
    ],
)
def test_what_cannot_be_ablated(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.of(**options)


PAIRS = {"edges": "ablation", "edges_groups": 5}


def test_noise_on_edges() -> None:
    assert Settings.of(edges="none") == Settings.of() and Settings.of().pairs is None
    alone = Settings.of(**PAIRS)
    assert alone.smoothing.noise == "none" and alone.smooths and alone.exact
    assert alone.sampling is None and alone.pairs is not None
    assert (alone.pairs.edges_selection, alone.pairs.edges_partitions) == ("partition", 10)
    assert alone.name == "CitationSBM-gcn-edges-partition-ablation-seed0"
    assert Settings.of(task="graph", edges="flips").smoothing.noise == "none"
    both = Settings.of(**PAIRS, noise="flips", p=0.9)
    assert not both.exact and both.sampling is not None
    assert both.name == "CitationSBM-gcn-flips-edges-partition-ablation-seed0"
    for settings in (alone, both, Settings.of(edges="flips", directed=True)):
        assert Settings.of(**json.loads(json.dumps(settings.options))) == settings
        assert settings.having(seed=3).pairs == settings.pairs
    assert Settings.of(edges="ablation").pairs.edges_p == 0.9  # type: ignore[union-attr]
    assert Settings.of(edges="flips").pairs.edges_p == 1.0  # type: ignore[union-attr]
    assert not Settings.of(noise="none").smooths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edges_p": 0.5}, "'edges_p' does nothing without 'edges': leave it out"),
        ({"directed": True}, "'directed' does nothing without 'edges'"),
        ({"edges": "gaussian"}, "'edges' must be one of edges_selection|ablation, flips"),
        ({**PAIRS, "edges_p": 0.5}, "'edges_p' does nothing with 'edges_selection' partition"),
        ({**PAIRS, "edges_p_plus": 0.5}, "'edges_p_plus' does nothing with 'edges' ablation"),
        ({**PAIRS, "edges_selection": "bernoulli"}, "'edges_groups' does nothing with 'edges_sel"),
        ({**PAIRS, "n": 5}, "'n' does nothing with 'edges_selection' partition and 'edges' ablat"),
        ({**PAIRS, "p": 0.5}, "'p' does nothing with 'noise' none .that of pairs .* 'edges_p'"),
        ({**PAIRS, "selection": "partition"}, "'selection' does nothing .* 'edges_selection'"),
        ({**PAIRS, "groups": 5}, "'groups' does nothing with 'noise' none .* 'edges_groups'"),
        ({"edges": "flips", "noise": "gaussian"}, "one of two noises may draw.* with 'noise' gaus"),
        ({"edges": "flips", "noise": "ablation", "ablate": "messages"}, "carry their messages"),
        ({**PAIRS, "collective": True}, "'collective' counts changed nodes, not pairs"),
    ],
)
def test_noise_on_edges_that_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.of(**options)
