from __future__ import annotations

import json
import multiprocessing
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import CitationSBM, split_nodes
from pyg_hiersmooth.experiment.run_folder import RunFolder
from pyg_hiersmooth.models import GCN
from pyg_hiersmooth.study import runner
from pyg_hiersmooth.study.methods import METHODS
from pyg_hiersmooth.study.plan import Run
from pyg_hiersmooth.study.results import Result, load_results
from pyg_hiersmooth.study.runner import TimeLeft, execute, run_all
from pyg_hiersmooth.training import train_node_classifier

ABLATION = Run.of(
    "CitationSBM", "gcn", METHODS["node ablation"], 13, n0=10, n=60, max_epochs=3, lr=0.01
)
UNPROTECTED = replace(ABLATION, method=METHODS["unprotected"])
EXACT = replace(ABLATION, method=METHODS["exact node ablation"])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs; not to be changed."""
    folder = tmp_path_factory.mktemp("done")
    run_all([ABLATION, UNPROTECTED], folder, progress=False)
    return folder


def result_of(run: Run, folder: Path) -> Result:
    """The result that is kept of a run."""
    (result,) = (each for each in load_results(folder) if each.run.name == run.name)
    return result


def test_results_are_kept_in_one_file(done: Path) -> None:
    assert sorted(path.name for path in done.iterdir()) == ["results.jsonl", "runs"]
    assert len(load_results(done)) == 2
    result = result_of(ABLATION, done)
    assert result.run == ABLATION and result.seconds > 0 and "torch" in result.versions


def test_a_result_is_that_of_the_certificate_of_the_run(done: Path) -> None:
    result = result_of(ABLATION, done)
    certificate = Certificate.load(done / "runs" / ABLATION.name / "certificate.npz")
    data = CitationSBM()[0]
    y = data.y[split_nodes(data.y, seed=13).test_index]
    tally = result.parts["test"]["multiclass"]
    assert tally.num_nodes == len(y)
    assert tally.clean_accuracy == pytest.approx(certificate.clean_accuracy(y))
    assert tally.certified_accuracy(1) == pytest.approx(certificate.certified_accuracy(y, 1))
    assert result.parts["test"]["binary"] != tally


def test_unprotected_accuracy(done: Path) -> None:
    data = CitationSBM()[0]
    split = split_nodes(data.y, seed=13)
    torch.manual_seed(13)
    model = GCN(data.num_features, 7)
    train_node_classifier(model, data, split, lr=0.01, max_epochs=3, seed=13, progress=False)
    with torch.no_grad():
        prediction = model(data.x, data.edge_index).argmax(dim=1)
    accuracy = float((prediction == data.y)[split.test_index].float().mean())
    tally = result_of(UNPROTECTED, done).parts["test"]["binary"]
    assert tally.clean_accuracy == pytest.approx(accuracy)
    assert (tally.abstained, tally.certified) == (0, [])


def test_what_is_done_is_not_done_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("pyg_hiersmooth.study.runner.ProcessPoolExecutor")
    results = run_all([UNPROTECTED, ABLATION], done, progress=False)
    assert [result.run for result in results] == [UNPROTECTED, ABLATION]


def test_other_settings_in_the_same_folder_are_refused(done: Path) -> None:
    with pytest.raises(ValueError, match=r"holds .* with another 'n': choose"):
        run_all(
            [replace(ABLATION, sampling=replace(ABLATION.sampling, n=61))], done, progress=False
        )


def test_votes_of_other_settings_are_refused(done: Path) -> None:
    with pytest.raises(ValueError, match="holds a run with another 'n': choose"):
        execute(
            replace(ABLATION, sampling=replace(ABLATION.sampling, n=61)),
            "data",
            done / "runs" / ABLATION.name,
        )


def test_votes_are_not_sampled_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyg_hiersmooth.training.node.fit", None)
    monkeypatch.setattr("pyg_hiersmooth.sampling.engine._count", lambda *args: iter(()))
    again = execute(ABLATION, "data", done / "runs" / ABLATION.name)
    assert again.parts == result_of(ABLATION, done).parts


@pytest.mark.slow
def test_validation_and_test_nodes_are_told_apart(tmp_path: Path) -> None:
    # Sampled votes may depend on which nodes are asked about, exact ones do not.
    both = execute(replace(EXACT, part="val+test"), "data", tmp_path / "both")
    val = execute(replace(EXACT, part="val"), "data", tmp_path / "val")
    assert list(both.parts) == ["val", "test"]
    assert both.parts["val"] == val.parts["val"]
    assert both.parts["val"]["binary"].num_nodes == 7 * 20
    tally = both.parts["test"]["multiclass"]
    assert tally.collective is not None and both.parts["test"]["binary"].collective is None
    assert tally.correct >= tally.collective[0] >= tally.collective[1] >= tally.collective[2] > 0
    assert tally.collective[0] >= tally.num_nodes * tally.certified_accuracy(3)
    assert both.parts["test"]["binary"].num_nodes == len(
        split_nodes(CitationSBM()[0].y, seed=13).test_index
    )


@pytest.mark.slow
def test_a_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    missing = replace(UNPROTECTED, model="no_such_module:GNN")
    message = r"^1 of 2 runs failed, the others are done: CitationSBM-no_such_module.*'model"
    with pytest.raises(RuntimeError, match=message):
        run_all([missing, UNPROTECTED], tmp_path, progress=False)
    assert [result.run for result in load_results(tmp_path)] == [UNPROTECTED]


@pytest.mark.slow
def test_the_same_with_any_number_of_jobs(done: Path, tmp_path: Path) -> None:
    (alone,) = run_all([ABLATION], tmp_path, jobs=1, progress=False)
    assert alone.parts == result_of(ABLATION, done).parts
    votes = [
        np.load(each / "runs" / ABLATION.name / "votes.npz")["votes"] for each in (done, tmp_path)
    ]
    assert np.array_equal(*votes)


def test_an_exact_run_is_that_of_its_certificate(tmp_path: Path) -> None:
    method = METHODS["exact node ablation"].having(groups=6, partitions=2)
    run = replace(ABLATION, method=method, part="val+test")
    result = execute(run, "data", tmp_path / "run")
    certificate = Certificate.load(tmp_path / "run" / "certificate.npz")
    data = CitationSBM()[0]
    split = split_nodes(data.y, seed=13)
    y = np.concatenate([data.y[split.val_index], data.y[split.test_index]])
    both = [result.parts[part]["multiclass"] for part in ("val", "test")]
    for r in (1, 2, 3):
        found = sum(round(tally.certified_accuracy(r) * tally.num_nodes) for tally in both)
        assert found == round(certificate.certified_accuracy(y, r) * len(y))
    assert certificate.exact and certificate.certified_accuracy(y, 1) > 0
    assert not (tmp_path / "run" / "pre_votes.npz").exists()
    assert Result.of_record(json.loads(json.dumps(result.as_record()))) == result


def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def test_workers_that_do_not_listen_are_ended() -> None:
    worker = multiprocessing.get_context("fork").Process(target=deaf)
    worker.start()
    time.sleep(0.5)
    start = time.monotonic()
    runner._stop_workers()
    worker.join()
    assert time.monotonic() - start < 5.0 and worker.exitcode == -signal.SIGKILL


def test_runs_in_training_are_told_from_others(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / ABLATION.name)
    states = []
    for file in (None, folder.settings, folder.model):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        states.append(
            (runner._is_started(ABLATION, tmp_path), runner._is_trained(ABLATION, tmp_path))
        )
    assert states == [(False, False), (True, False), (True, True)]


def test_time_that_is_left_tells_training_from_sampling() -> None:
    clock = TimeLeft(jobs=2, num_samples=1_000, num_models=4)
    assert clock.after(10.0, 1_000, 4, num_training=2, num_busy=2) is None
    assert clock.after(10.0, 1_000, 2, num_training=2, num_busy=2) is None  # 20 s a model
    # 2 processes draw 100 samples in 5 s: 0.1 s each; 900 samples and 2 models are left.
    assert clock.after(5.0, 900, 2, num_training=0, num_busy=2) == pytest.approx((90 + 40) / 2)


def test_nothing_to_train() -> None:
    clock = TimeLeft(jobs=1, num_samples=100, num_models=0)
    assert clock.after(1.0, 90, 0, num_training=0, num_busy=1) == pytest.approx(9.0)
