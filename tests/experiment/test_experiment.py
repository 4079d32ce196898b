from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth import experiment
from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, PredictionSets
from pyg_hiersmooth.datasets import RandomMolecules, split_graphs, split_nodes
from pyg_hiersmooth.experiment import Experiment, Outcome, RunFolder, Settings
from pyg_hiersmooth.experiment.sets_summary import SetsSummary
from pyg_hiersmooth.experiment.task import Task
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.training import TrainingHistory
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

OnRanks = Callable[..., list[Any]]

NODES = Settings.of(n0=10, n=40, max_epochs=3, lr=0.01, device="cpu", num_workers=0)
EXACT = Settings.of(
    noise="ablation",
    selection="partition",
    groups=5,
    partitions=2,
    max_epochs=20,
    lr=0.01,
    device="cpu",
    num_workers=0,
)
GRAPHS = Settings.of(
    dataset="RandomMolecules",
    task="graph",
    model="gin",
    n0=10,
    n=40,
    max_epochs=40,
    device="cpu",
    num_workers=0,
)
DOCS = Path(__file__).parents[2] / "docs" / "experiments.md"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A small finished experiment on nodes; not to be changed."""
    folder = tmp_path_factory.mktemp("experiment") / "run"
    return folder, Experiment(NODES, folder).run(progress=False)


def votes_of(folder: Path) -> list[np.ndarray]:
    return [*RunFolder(folder).read_votes()]


def stop(*args: Any, **kwargs: Any) -> Any:
    raise KeyboardInterrupt


# What comes out


def test_outcome_is_that_of_the_certificate(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    certificate = Certificate.load(folder / "certificate.npz")
    assert outcome.certificate is not None
    np.testing.assert_array_equal(outcome.certificate.p_lower, certificate.p_lower)
    np.testing.assert_array_equal(outcome.prediction, certificate.prediction)
    np.testing.assert_array_equal(outcome.labels, RunFolder(folder).read_labels())
    assert outcome.summary.accuracy == certificate.clean_accuracy(outcome.labels)
    assert outcome.summary.num_nodes == len(certificate)


def test_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Experiment(NODES.having(max_epochs=1, n=2, n0=1), tmp_path).run(progress=False)
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")


def test_the_caller_is_told_how_training_went(tmp_path: Path) -> None:
    said: list[str] = []
    Experiment(NODES.having(n=2, n0=1), tmp_path).run(progress=False, say=said.append)
    (sentence,) = said
    pattern = r"Trained for 3 epochs, accuracy under noise on the validation nodes \d+\.\d%"
    assert re.fullmatch(pattern, sentence)


# The same folder goes on


def test_what_is_done_is_not_done_again(
    finished: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, outcome = finished
    before = (folder / "results.json").read_text()
    monkeypatch.setattr(Task, "train", stop)
    monkeypatch.setattr("pyg_hiersmooth.sampling.engine._count", lambda *args: iter(()))
    again = Experiment.resume(folder).run(progress=False)
    assert again.summary.seconds_per_sample is None
    np.testing.assert_array_equal(again.prediction, outcome.prediction)
    assert (folder / "results.json").read_text() == before


def test_an_interrupted_experiment_ends_in_the_same_votes(
    finished: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    with monkeypatch.context() as patch:
        patch.setattr(Task, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            Experiment(NODES, tmp_path / "run").run(progress=False)
    assert RunFolder(tmp_path / "run").state == "an unfinished run"
    Experiment(NODES, tmp_path / "run").run(progress=False)
    assert all(map(np.array_equal, votes_of(tmp_path / "run"), votes_of(folder)))


def test_an_interrupted_training_starts_again(
    finished: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_halfway(self: Task, model: torch.nn.Module, *args: Any) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(1.0)
        raise KeyboardInterrupt

    run = Experiment(NODES, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Task, "train", stop_halfway)
        with pytest.raises(KeyboardInterrupt):
            run.run(progress=False)
    run.run(progress=False)
    assert all(map(np.array_equal, votes_of(tmp_path / "run"), votes_of(finished[0])))


def test_one_experiment_runs_twice_without_training_twice(tmp_path: Path) -> None:
    run = Experiment(NODES.having(n=4, n0=2), tmp_path)
    first = run.run(progress=False)
    assert not run.needs_training
    np.testing.assert_array_equal(run.run(progress=False).prediction, first.prediction)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"n": 50}, "'n'"),
        ({"p": 0.9, "seed": 3}, "'p', 'seed'"),
        (
            {"noise": "none", "p": None, "p_plus": None, "p_minus": None},
            "'noise', 'p', 'p_plus', 'p_minus'",
        ),
        ({"indicator": False}, "'indicator'"),
    ],
)
def test_a_folder_of_another_experiment_is_refused(
    change: dict[str, Any], names: str, finished: tuple[Path, Outcome]
) -> None:
    with pytest.raises(ValueError, match=f"holds a run with another {names}: choose another"):
        Experiment(NODES.having(**change), finished[0])


def test_another_device_is_refused(
    finished: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="holds a run with another 'device'"):
        Experiment(NODES.having(device="cuda", num_workers=None), finished[0])


def test_other_workers_are_not_refused(finished: tuple[Path, Outcome]) -> None:
    Experiment(NODES.having(num_workers=1), finished[0])


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "votes.npz").write_text("precious")
    with pytest.raises(ValueError, match=r"holds 'votes\.npz' already: choose another folder"):
        Experiment(NODES, tmp_path)
    assert (tmp_path / "votes.npz").read_text() == "precious"


def test_resuming_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run"):
        Experiment.resume(tmp_path)


# Graphs


def test_graphs(tmp_path: Path) -> None:
    outcome = Experiment(GRAPHS, tmp_path).run(progress=False)
    y = torch.cat([graph.y for graph in RandomMolecules()])
    np.testing.assert_array_equal(outcome.labels, y[split_graphs(y).test_index])
    assert outcome.certificate is not None and outcome.certificate.num_entities is not None
    assert outcome.summary.accuracy > 0.6
    again = Experiment.resume(tmp_path).run(progress=False)
    np.testing.assert_array_equal(again.prediction, outcome.prediction)


# Without noise


@pytest.mark.parametrize("settings", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_unprotected(settings: Settings, tmp_path: Path) -> None:
    own = dict.fromkeys(("p", "p_plus", "p_minus", "ablate"))
    plain = settings.having(noise="none", **own, part="val+test")
    run = Experiment(plain, tmp_path)
    outcome = run.run(progress=False)
    assert outcome.certificate is None
    assert not RunFolder(tmp_path).votes.exists() and not RunFolder(tmp_path).pre_votes.exists()
    assert outcome.summary.accuracy == (outcome.prediction == outcome.labels).mean()
    assert outcome.summary.certified == [] and outcome.summary.abstained == 0
    assert len(outcome.labels) == sum(map(len, run.task.parts.values()))
    first = next(each for each in run.model.parameters() if each.dim() == 2)
    assert first.size(1) == run.task.data.num_features  # no indicator
    again = Experiment.resume(tmp_path)
    assert not again.needs_training
    np.testing.assert_array_equal(again.run(progress=False).prediction, outcome.prediction)


# The documentation


def test_the_lines_in_the_docs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    small = {"n0": 5, "n": 20, "max_epochs": 2, "num_workers": 0, "device": "cpu"}

    class Small:
        @staticmethod
        def of(**options: Any) -> Settings:
            return Settings.of(**options | small)

    monkeypatch.setattr(experiment, "Settings", Small)
    exec(compile(code, str(DOCS), "exec"), {})
    assert 0.0 <= float(capsys.readouterr().out.split()[-1].removesuffix("%")) <= 100.0
    assert RunFolder(tmp_path / "runs" / "appnp").state == "a finished run"


def test_the_package_names_what_it_has() -> None:
    assert all(getattr(experiment, name) is not None for name in experiment.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = experiment.Nothing  # type: ignore[attr-defined]


def test_history_is_that_of_the_trainer(tmp_path: Path) -> None:
    task = Experiment(NODES, tmp_path).task
    history = task.train(task.new_model(task.transform), task.transform)
    assert isinstance(history, TrainingHistory) and history.num_epochs == 3


# Exact and collective certificates


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A small finished exact experiment; not to be changed."""
    folder = tmp_path_factory.mktemp("experiment") / "exact"
    return folder, Experiment(EXACT, folder).run(progress=False)


def test_an_exact_experiment_is_that_of_the_library(exact: tuple[Path, Outcome]) -> None:
    folder, outcome = exact
    task = Experiment(EXACT, folder).task
    model = Experiment.resume(folder).model
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(5, 2), AblationNoise())
    smoothed = SmoothedNodeClassifier(model, transform, task.num_classes)
    expected = smoothed.certify(task.data, node_index=task.index, progress=False, num_workers=0)
    assert outcome.certificate is not None and outcome.certificate.exact and outcome.summary.exact
    np.testing.assert_array_equal(outcome.certificate.largest_r, expected.largest_r)
    np.testing.assert_array_equal(outcome.prediction, expected.prediction)
    assert not RunFolder(folder).pre_votes.exists()
    assert RunFolder(folder).num_samples() == 10
    assert RunFolder(folder).read_outcomes().sum(1).tolist() == [10] * len(expected)
    assert "exact" in (folder / "results.json").read_text()


@pytest.mark.slow
def test_a_collective_certificate_joins_a_finished_experiment(
    exact: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(exact[0], tmp_path / "run")
    before = RunFolder(folder).read_summary()
    monkeypatch.setattr(Task, "train", stop)
    monkeypatch.setattr("pyg_hiersmooth.sampling.engine._count", lambda *args: iter(()))
    asked = EXACT.having(collective=True, method="lp")
    run = Experiment(asked, folder)
    together = run.run(progress=False).summary.collective
    assert together is not None and before is not None and together.method == "lp"
    certificate = Certificate.load(folder / "certificate.npz")
    smoothed = run.task.smooth(run.model, run.task.transform)  # type: ignore[arg-type]
    field = smoothed.receptive_field(run.task.data, run.task.index)  # type: ignore[union-attr]
    expected = CollectiveCertificate(certificate, field).curve(
        run.task.labels, together.changed, method="lp"
    )
    assert [cell.accuracy for cell in together.certified] == expected.tolist()
    assert any(cell.accuracy > cell.one_by_one for cell in together.certified)
    assert RunFolder(folder).read_summary() == replace(before, collective=together)
    # What is known is not solved again, and stays without being asked for.
    with monkeypatch.context() as patch:
        patch.setattr(CollectiveCertificate, "num_robust", stop)
        assert Experiment(asked, folder).run(progress=False).summary.collective == together
        assert Experiment(EXACT, folder).run(progress=False).summary.collective == together
        with pytest.raises(KeyboardInterrupt):
            Experiment(asked.having(time_limit=2.0), folder).run(progress=False)
    assert RunFolder(folder).read_summary() == replace(before, collective=together)


# Prediction sets


def test_prediction_sets_are_those_of_the_library(tmp_path: Path) -> None:
    settings = EXACT.having(sets=0.8, approve=0.2, calibration=60)
    folder = RunFolder(tmp_path / "run")
    run = Experiment(settings, folder)
    outcome = run.run(progress=False)
    split = split_nodes(run.task.y, calibration=60)
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(5, 2), AblationNoise())
    smoothed = SmoothedNodeClassifier(run.model, transform, run.task.num_classes)
    cal, test = (
        smoothed.certify(
            run.task.data, node_index=index, progress=False, num_workers=0, approve=0.2
        )
        for index in (split.calibration_index, split.test_index)
    )
    labels = run.task.y[split.calibration_index]
    expected = PredictionSets.calibrate(cal, labels, 0.8, split=split)
    found = PredictionSets.load(folder.sets)
    assert found.clean_threshold == expected.clean_threshold and found.nominal == 0.8
    assert outcome.certificate is not None
    np.testing.assert_array_equal(outcome.certificate.approvals, test.approvals)
    assert outcome.summary.sets == SetsSummary.of(expected, test, outcome.labels)
    assert folder.read_summary() == outcome.summary
    assert Experiment.resume(folder.path).run(progress=False).summary.sets == outcome.summary.sets
    with pytest.raises(ValueError, match="holds a run with another 'sets'"):
        Experiment(settings.having(sets=0.9), folder)


def test_calibration_nodes_are_hidden_from_training(tmp_path: Path) -> None:
    """Weights do not depend on their features."""
    weights = []
    for changed in (False, True):
        run = Experiment(
            EXACT.having(sets=0.8, calibration=60, max_epochs=2), tmp_path / f"{changed}"
        )
        if changed:
            run.task.data.x[run.task.split.calibration_index] = 1.0
        weights.append(run.task.new_trained_model(run.task.transform).state_dict())
    for name, values in weights[0].items():
        assert torch.equal(values, weights[1][name])


def test_sets_of_graphs_are_those_of_the_library(tmp_path: Path) -> None:
    settings = GRAPHS.having(sets=0.8, calibration=30, approve=0.4, max_epochs=3)
    folder = RunFolder(tmp_path / "run")
    run = Experiment(settings, folder)
    outcome = run.run(progress=False)
    task, split = run.task, split_graphs(run.task.y, calibration=30)
    assert torch.equal(task.split.calibration_index, split.calibration_index)
    smoothed = SmoothedGraphClassifier(run.model, task.transform, task.num_classes)
    quiet: dict[str, Any] = {"n0": 10, "n": 40, "progress": False, "num_workers": 0}
    cal, test = (
        replace(smoothed.certify(task.data[index], approve=0.4, **quiet), index=index.numpy())
        for index in (split.calibration_index, split.test_index)
    )
    expected = PredictionSets.calibrate(cal, task.y[split.calibration_index], 0.8, split=split)
    assert outcome.summary.sets == SetsSummary.of(expected, test, outcome.labels)
    assert np.array_equal(outcome.labels, task.y[split.test_index])
    assert PredictionSets.load(folder.sets).threshold() == expected.threshold()
    loaded = Certificate.load(folder.certificate)
    assert np.array_equal(loaded.index, split.test_index)
    with pytest.raises(ValueError, match="other objects than calibration used"):
        PredictionSets.load(folder.sets).sets(cal)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("smoothing", "told"),
    [
        (
            {"edges": "flips"},
            "at most 1 pair of nodes, by 1 deleted edge in total",
        ),
        ({"noise": "gaussian", "edges": "ablation"}, "at most 1 node and eps = "),
    ],
    ids=str,
)
def test_sets_for_noise_on_edges(smoothing: dict[str, str], told: str, tmp_path: Path) -> None:
    few: dict[str, Any] = {"n0": 10, "n": 300, "max_epochs": 5, "device": "cpu", "num_workers": 0}
    settings = Settings.of(sets=0.8, calibration=60, lr=0.01, **few, **smoothing)
    folder = RunFolder(tmp_path / "run")
    summary = Experiment(settings, folder).run(progress=False).summary
    assert summary.sets is not None and told in summary.sets.statement
    sets, certificate = PredictionSets.load(folder.sets), folder.read_certificate()
    for cell in summary.sets.sizes:
        assert cell.size == sets.size(certificate, cell.r, **cell.budget)
    assert 1 <= min(cell.size for cell in summary.sets.sizes) < 7
    assert folder.read_summary() == summary


# Ranks


def test_ranks_train_once_and_return_what_one_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_ranks: OnRanks
) -> None:
    small = NODES.having(max_epochs=2, n0=3, n=12)

    def work(rank: int) -> Any:
        train, trained, said = Task.train, [], []

        def count(*arguments: Any, **options: Any) -> TrainingHistory:
            trained.append(rank)
            return train(*arguments, **options)

        monkeypatch.setattr(Task, "train", count)
        experiment = Experiment(small, tmp_path / f"{len(sizes)}")
        outcome = experiment.run(progress=False, say=said.append)
        weights = {name: each.tolist() for name, each in experiment.model.state_dict().items()}
        assert outcome.certificate is not None
        bounds = outcome.certificate.p_lower.tolist()
        return (len(trained), len(said)), outcome.summary, bounds, weights

    sizes = [1]
    (alone,) = on_ranks(work, 1)
    sizes = [1, 2]
    first, second = on_ranks(work, 2)
    assert (alone[0], first[0], second[0]) == ((1, 1), (1, 1), (0, 0))
    assert first[1] == second[1]
    assert alone[2:] == first[2:] == second[2:]
    assert all(map(np.array_equal, votes_of(tmp_path / "1"), votes_of(tmp_path / "2")))


def test_ranks_go_on_with_a_folder_that_the_first_one_sees(
    finished: tuple[Path, Outcome], tmp_path: Path, on_ranks: OnRanks
) -> None:
    folder, outcome = finished
    shutil.copytree(folder, tmp_path / "first" / "run")
    (tmp_path / "second").mkdir()

    def work(rank: int) -> Any:
        os.chdir(tmp_path / ("first", "second")[rank])  # as on two machines
        return Experiment.resume("run").run(progress=False).prediction.tolist()

    assert on_ranks(work) == [outcome.prediction.tolist()] * 2
    assert not any((tmp_path / "second").iterdir())


@pytest.mark.parametrize(
    ("changes", "folder", "name"), [({"seed": 1}, "run", "seed"), ({}, "another", "folder")]
)
def test_ranks_with_other_settings_are_refused(
    changes: dict[str, Any], folder: str, name: str, tmp_path: Path, on_ranks: OnRanks
) -> None:
    def work(rank: int) -> Any:
        if rank == 0:
            Experiment(NODES, tmp_path / "run")
        Experiment(NODES.having(**changes), tmp_path / folder)

    for error in on_ranks(work):
        assert f"all ranks must have the same '{name}' (got" in str(error)
    assert not (tmp_path / "run").exists()


def test_a_training_that_fails_ends_all_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_ranks: OnRanks
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise FloatingPointError("the training loss became nan")

    monkeypatch.setattr(Task, "train", fail)
    outcomes = on_ranks(lambda rank: Experiment(NODES, tmp_path).run(progress=False))
    assert [str(error) for error in outcomes] == ["the training loss became nan"] * 2


def test_other_nodes_may_be_taken_over(tmp_path: Path) -> None:
    settings = EXACT.having(ablate="messages", groups=4, partitions=2)
    outcome = Experiment(settings, tmp_path / "run").run(progress=False)
    assert outcome.certificate is not None and outcome.certificate.exact
    assert "AblationNoise(of='messages')" in outcome.summary.smoothing
    again = Experiment.resume(tmp_path / "run").run(progress=False)
    assert np.array_equal(again.certificate.p_lower, outcome.certificate.p_lower)  # type: ignore[union-attr]


def test_one_attack_that_takes_nodes_over(tmp_path: Path) -> None:
    settings = EXACT.having(ablate="messages", groups=8, partitions=2, collective=True)
    outcome = Experiment(settings, tmp_path).run(progress=False)
    together, certificate = outcome.summary.collective, outcome.certificate
    assert together is not None and certificate is not None
    right = certificate.prediction == outcome.labels
    for cell in together.certified:
        kept = max(int((right & certificate.is_robust(r=cell.r)).sum()) - cell.r, 0)
        assert cell.accuracy == pytest.approx(kept / len(right))
    assert "features and edges of any 10 nodes at once" in outcome.summary.in_words()
