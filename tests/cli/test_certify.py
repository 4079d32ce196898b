from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from click.testing import Result
from torch_geometric.datasets import Planetoid

from pyg_hiersmooth import plotting
from pyg_hiersmooth.certificates import Certificate, PredictionSets
from pyg_hiersmooth.choices import EdgesNoise
from pyg_hiersmooth.cli import main
from pyg_hiersmooth.datasets import CitationSBM, split_nodes
from pyg_hiersmooth.experiment import task
from pyg_hiersmooth.models import MODELS, build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import NOISES, SparseFlipNoise
from pyg_hiersmooth.sampling.checkpoint import read_votes
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Program = Callable[..., Result]

FILES = {
    "settings.json",
    "labels.npz",
    "model.pt",
    "pre_votes.npz",
    "votes.npz",
    "certificate.npz",
    "results.json",
    "certified_accuracy.png",
}
FEW = ("--n0", 5, "--n", 20)
EXACT = ("--selection", "partition", "--noise", "ablation")


def votes_of(folder: Path) -> list[np.ndarray]:
    return [read_votes(folder / name)[0].numpy() for name in ("pre_votes.npz", "votes.npz")]


def same_votes(folder: Path, other: Path) -> bool:
    return all(map(np.array_equal, votes_of(folder), votes_of(other)))


def message_of(result: Result) -> str:
    """The error message, on one line."""
    assert result.exit_code != 0, result.output
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*args: object, **kwargs: object) -> None:
        pytest.fail("trained before all was checked")

    monkeypatch.setattr(task.Task, "train", train)


def interrupted(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt


# What a run leaves


def test_finished_run_leaves_everything(finished_run: Path) -> None:
    assert {file.name for file in finished_run.iterdir()} == FILES
    assert (finished_run / "certified_accuracy.png").read_bytes().startswith(b"\x89PNG")
    state = torch.load(finished_run / "model.pt", weights_only=True)
    assert state.keys() == build_model("gcn", 1434, 7).state_dict().keys()


def test_settings_name_options_and_versions(finished_run: Path) -> None:
    settings = json.loads((finished_run / "settings.json").read_text())
    options = settings["options"]
    assert options["dataset"] == "CitationSBM" and options["p_plus"] == 0.05
    assert options["n"] == 40 and options["max_epochs"] == 5 and options["seed"] == 0
    assert options["std"] is None and options["scale"] is None
    assert options["device"] in ("cpu", "cuda")
    assert set(settings["versions"]) == {"pyg_hiersmooth", "torch", "torch_geometric", "numpy"}


def test_certificate_is_that_of_the_library(finished_run: Path) -> None:
    data = CitationSBM()[0]
    index = split_nodes(data.y, seed=0).test_index
    model = build_model("gcn", data.num_features + 1, 7)
    model.load_state_dict(torch.load(finished_run / "model.pt", weights_only=True))
    transform = HierarchicalNodeFeatureNoise(0.81, SparseFlipNoise(0.05, 0.8))
    smoothed = SmoothedNodeClassifier(model, transform, num_classes=7)
    expected = smoothed.certify(data, 10, 40, node_index=index, progress=False, num_workers=0)
    kept = Certificate.load(finished_run / "certificate.npz")
    np.testing.assert_array_equal(kept.prediction, expected.prediction)
    np.testing.assert_array_equal(kept.p_lower, expected.p_lower)
    np.testing.assert_array_equal(kept.index, index)
    np.testing.assert_array_equal(np.load(finished_run / "labels.npz")["labels"], data.y[index])


def test_results_are_those_of_the_certificate(finished_run: Path) -> None:
    results = json.loads((finished_run / "results.json").read_text())
    certificate = Certificate.load(finished_run / "certificate.npz")
    labels = np.load(finished_run / "labels.npz")["labels"]
    assert results["num_nodes"] == len(certificate)
    assert results["accuracy"] == certificate.clean_accuracy(labels)
    assert results["abstained"] == certificate.abstained.mean()
    assert "first linear layer" in results["feature_path"]
    assert results["seconds_per_sample"] > 0
    assert len(results["certified"]) == 3 * 7
    for cell in results["certified"]:
        exact = certificate.certified_accuracy(labels, cell["r"], **cell["budget"])
        assert cell["accuracy"] == exact


def test_table(certify: Program, finished_run: Path, tmp_path: Path) -> None:
    result = certify(*FEW, "--checkpoint", finished_run / "model.pt", "--out", tmp_path / "run")
    assert result.exit_code == 0 and result.stderr == ""
    for text in (
        "CitationSBM, gcn",
        "SparseFlipNoise(p_plus=0.05, p_minus=0.8)",
        "Accuracy of the smoothed classifier",
        "Abstained",
        " ms",
        "noise drawn behind the first linear layer",
        "r = 1 r = 2 r = 3",
        "20 deletions",
        "1 addition ",
        f"The run is in {tmp_path / 'run'}",
    ):
        assert text in " ".join(result.stdout.split()), text


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("part", "sets"), [("test", ["test"]), ("val", ["val"]), ("val+test", ["val", "test"])]
)
def test_part(
    part: str, sets: list[str], certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    weights = ("--checkpoint", finished_run / "model.pt")
    result = certify("--part", part, *FEW, *weights, "--seed", 1, "--out", run)
    assert result.exit_code == 0, result.output
    y = CitationSBM()[0].y
    split = split_nodes(y, seed=1)
    index = torch.cat([getattr(split, f"{name}_index") for name in sets])
    certificate = Certificate.load(run / "certificate.npz")
    labels = np.load(run / "labels.npz")["labels"]
    np.testing.assert_array_equal(certificate.index, index)
    np.testing.assert_array_equal(labels, y[index])
    results = json.loads((run / "results.json").read_text())
    assert results["num_nodes"] == len(index)
    assert results["accuracy"] == certificate.clean_accuracy(labels)


def test_parts_of_a_run_of_both_are_those_of_each_alone(
    certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    weights = ("--checkpoint", finished_run / "model.pt")
    for part in ("val", "test", "val+test"):
        assert certify("--part", part, *FEW, *weights, "--out", tmp_path / part).exit_code == 0
    alone, both = [*map(votes_of, (tmp_path / "val", tmp_path / "test"))], tmp_path / "val+test"
    for votes, *parts in zip(votes_of(both), *alone, strict=True):
        np.testing.assert_array_equal(votes, np.concatenate(parts))


def test_default_folder(
    certify: Program, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = certify(*FEW, "--checkpoint", finished_run / "model.pt", "--seed", 3)
    assert result.exit_code == 0
    assert (tmp_path / "runs" / "CitationSBM-gcn-flips-seed3" / "votes.npz").exists()


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("options", "noise", "columns"),
    [
        (["--noise", "gaussian", "--std", 0.1], "GaussianNoise(std=0.1)", "eps = 0.025"),
        (["--noise", "laplace", "--scale", 0.1], "LaplaceNoise(scale=0.1)", "eps = 0.2"),
        (["--noise", "uniform"], "UniformNoise(scale=0.25)", "eps = 0.0625"),
        (["--noise", "ablation", "--p", 0.5], "AblationNoise()", "r = 5"),
        (["--p-plus", 0.01, "--kind", "binary"], "SparseFlipNoise(p_plus=0.01", "5 deletions"),
        (["--simultaneous", "--alpha", 0.05], "SparseFlipNoise", "r = 3"),
    ],
)
def test_noises(
    options: list, noise: str, columns: str, certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    weights = finished_run / "model.pt"
    result = certify(*FEW, *options, "--checkpoint", weights, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert noise in result.stdout and columns in result.stdout
    assert {file.name for file in (tmp_path / "run").iterdir()} == FILES
    assert certify("--resume", tmp_path / "run", *options).exit_code == 0


@pytest.mark.one_in(2)
@pytest.mark.parametrize("model", ["gat", "gatv2", "appnp", "sage"])
def test_models(model: str, certify: Program, tmp_path: Path) -> None:
    options = ["--model", model, "--max-epochs", 1, "--n0", 1, "--n", 3]
    result = certify(*options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "Trained for 1 epochs" in result.stdout


def test_without_indicator(certify: Program, tmp_path: Path) -> None:
    options = ["--no-indicator", "--max-epochs", 1, "--n0", 1, "--n", 3]
    assert certify(*options, "--out", tmp_path / "run").exit_code == 0
    weights = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    assert weights["conv1.lin.weight"].shape == (64, 1433)


def test_real_data(certify: Program, data_root: Path, tmp_path: Path) -> None:
    options = ["--dataset", "Cora", "--root", data_root, "--max-epochs", 1, "--n0", 1, "--n", 3]
    result = certify(*options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "results.json").read_text())["num_nodes"] == 221


# Help


def test_help_is_complete(hiersmooth: Program) -> None:
    text = " ".join(hiersmooth("certify", "--help").output.split())
    command = main.commands["certify"]
    context = command.make_context("certify", [])
    for option in command.params:
        record = option.get_help_record(context)
        assert record is not None and option.help and option.opts[0] in text, option.name
        needs_none = option.is_flag or option.name in ("checkpoint", "resume")
        assert needs_none or "default: " in record[1], option.name
    for piece in ("0.0<x<=1.0", "0.0<x<1.0", "x>0.0", "x>=1", "Example:"):
        assert piece in text
    assert "Example: hiersmooth certify" in " ".join(hiersmooth("--help").output.split())


def test_choices_are_those_of_the_library(hiersmooth: Program) -> None:
    (choice,) = (o.type for o in main.commands["certify"].params if o.name == "model")
    assert set(choice.names) == set(MODELS["node"]) | set(MODELS["graph"])
    (choice,) = (o.type for o in main.commands["certify"].params if o.name == "noise")
    assert list(choice.choices) == [*NOISES, "none"]
    (choice,) = (o.type for o in main.commands["certify"].params if o.name == "edges")
    assert list(choice.choices) == ["none", *get_args(EdgesNoise)]


def test_module_is_the_same_program() -> None:
    command = [sys.executable, "-m", "pyg_hiersmooth", "--version"]
    assert "0.1.0" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


# Options that are refused


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--p", 0, "0.0<x<=1.0"),
        ("--p", 1.5, "0.0<x<=1.0"),
        ("--p", "nan", "not a finite number"),
        ("--p-plus", -0.1, "0.0<=x<=1.0"),
        ("--p-minus", 2, "0.0<=x<=1.0"),
        ("--std", 0, "x>0.0"),
        ("--scale", "inf", "not a finite number"),
        ("--n0", 0, "x>=1"),
        ("--n", "many", "not a valid integer"),
        ("--alpha", 1, "0.0<x<1.0"),
        ("--kind", "both", "'multiclass', 'binary'"),
        ("--model", "mlp", "'gcn', 'gat', 'gatv2', 'appnp', 'sage'"),
        ("--noise", "salt", "'flips', 'gaussian', 'ablation', 'laplace', 'uniform'"),
        ("--seed", -1, "0<=x<=4294967295"),
        ("--selection", "coin", "'bernoulli', 'partition'"),
        ("--groups", 1, "x>=2"),
        ("--partitions", 0, "x>=1"),
        ("--method", "ip", "'lp', 'milp'"),
        ("--time-limit", 0, "x>0.0"),
        ("--part", "train", "'test', 'val', 'val+test'"),
        ("--max-epochs", 0, "x>=1"),
        ("--patience", 0, "x>=1"),
        ("--lr", 0, "x>0.0"),
        ("--num-workers", -1, "x>=0"),
        ("--device", "tpu", "'cpu', 'cuda'"),
        ("--checkpoint", "missing.pt", "does not exist"),
    ],
)
def test_ranges(option: str, value: object, text: str, hiersmooth: Program, tmp_path: Path) -> None:
    message = message_of(hiersmooth("certify", "--out", tmp_path / "run", option, value))
    assert option in message and text in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "idle", "reason"),
    [
        (["--std", 0.25], "--std", "'--noise' flips"),
        (["--noise", "flips", "--scale", 0.3], "--scale", "'--noise' flips"),
        (["--noise", "gaussian", "--p-plus", 0.05], "--p-plus", "'--noise' gaussian"),
        (["--noise", "gaussian", "--scale", 0.3], "--scale", "'--noise' gaussian"),
        (["--noise", "ablation", "--p-minus", 0.8], "--p-minus", "'--noise' ablation"),
        (["--noise", "laplace", "--std", 0.3], "--std", "'--noise' laplace"),
        (["--noise", "uniform", "--std", 0.3], "--std", "'--noise' uniform"),
        (["--groups", 5], "--groups", "'--selection' bernoulli"),
        (["--partitions", 5], "--partitions", "'--selection' bernoulli"),
        (["--selection", "partition", "--p", 0.8], "--p", "'--selection' partition"),
        *(
            ([*EXACT, option, *value], option, "'--selection' partition and '--noise' ablation")
            for option, *value in (
                *(("--num-pre-samples", 5), ("--num-samples", 5)),
                *(("--alpha", 0.1), ("--simultaneous",)),
            )
        ),
        (["--checkpoint", __file__, "--lr", 0.1], "--lr", "'--checkpoint'"),
        (["--checkpoint", __file__, "--max-epochs", 3], "--max-epochs", "'--checkpoint'"),
        (["--checkpoint", __file__, "--patience", 3], "--patience", "'--checkpoint'"),
    ],
)
def test_idle_options(
    options: list, idle: str, reason: str, certify: Program, tmp_path: Path
) -> None:
    message = message_of(certify(*options, "--out", tmp_path / "run"))
    assert f"'{idle}' does nothing with {reason}" in message and "leave it out" in message
    assert list(tmp_path.iterdir()) == []


def test_no_gpu(hiersmooth: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = message_of(hiersmooth("certify", "--device", "cuda", "--out", tmp_path / "run"))
    assert "'--device' must be cpu, as PyTorch finds no GPU that it can use (got cuda)" in message


def test_workers_on_a_gpu(
    certify: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    message = message_of(certify("--out", tmp_path / "run"))
    assert "'--num-workers' does nothing with '--device' cuda: leave it out" in message


# Failures before training


def test_folder_of_a_finished_run(certify: Program, finished_run: Path) -> None:
    message = message_of(certify("--out", finished_run))
    assert f"'--out {finished_run}' holds a finished run" in message
    assert f"'--resume {finished_run}'" in message


def test_folder_with_a_file_of_that_name(certify: Program, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("precious")
    assert f"'{tmp_path}' holds 'model.pt' already" in message_of(certify("--out", tmp_path))
    assert (tmp_path / "model.pt").read_text() == "precious"


def test_folder_that_cannot_be_written(
    certify: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_training(monkeypatch)
    (tmp_path / "file").write_text("")
    message = message_of(certify("--out", tmp_path / "file" / "run"))
    assert f"'{tmp_path / 'file' / 'run'}' must be a folder that can be written" in message


def test_missing_data(certify: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: Planetoid) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(Planetoid, "download", download)
    options = ["--dataset", "Cora", "--root", tmp_path / "data", "--out", tmp_path / "run"]
    message = message_of(certify(*options))
    assert f"expected in '{tmp_path / 'data' / 'Planetoid' / 'Cora' / 'raw'}'" in message
    assert not (tmp_path / "run").exists()


def test_unknown_dataset(certify: Program, tmp_path: Path) -> None:
    message = message_of(certify("--dataset", "Reddit", "--out", tmp_path / "run"))
    assert "must be one of CitationSBM, Cora, CiteSeer, PubMed, Cora_ML" in message
    assert list(tmp_path.iterdir()) == []


def test_flips_of_features_that_are_not_binary(
    certify: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = CitationSBM()[0]
    data.x = data.x / 3
    weighted = type("Weighted", (list,), {"num_classes": 7})([data])
    monkeypatch.setattr(task, "load_dataset", lambda name, root: weighted)
    forbid_training(monkeypatch)
    message = message_of(certify("--dataset", "PubMed", "--out", tmp_path / "run"))
    assert "'--noise' must fit the features of '--dataset' PubMed (got flips)" in message
    assert "binary features" in message
    assert list(tmp_path.iterdir()) == []


def test_failures_are_one_red_sentence(certify: Program, finished_run: Path) -> None:
    result = certify("--out", finished_run, color=True)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("\x1b[31mError: ") and result.stderr.count("\n") == 1


# Weights


def test_weights_of_another_model(certify: Program, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(build_model("gat", 1434, 7).state_dict(), path)
    message = message_of(certify("--checkpoint", path, "--out", tmp_path / "run"))
    assert f"'{path}' does not fit the model GCN on this data" in message
    assert not (tmp_path / "run").exists()


def test_truncated_weights(certify: Program, finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes((finished_run / "model.pt").read_bytes()[:1000])
    assert "is damaged" in message_of(certify("--checkpoint", path, "--out", tmp_path / "run"))


# No matplotlib


def test_missing_matplotlib(
    certify: Program, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*FEW, "--checkpoint", finished_run / "model.pt", "--out", tmp_path / "run"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        result = certify(*options)
    assert result.exit_code == 0
    assert "There will be no plot" in result.stderr
    assert "pip install matplotlib" in result.stderr
    assert {f.name for f in (tmp_path / "run").iterdir()} == FILES - {"certified_accuracy.png"}
    results = (tmp_path / "run" / "results.json").read_text()

    again = certify("--resume", tmp_path / "run")
    assert again.exit_code == 0 and "nothing left to sample" in again.stdout
    assert {file.name for file in (tmp_path / "run").iterdir()} == FILES
    assert (tmp_path / "run" / "results.json").read_text() == results


# Interruption and resumption


def test_interrupted_training(
    certify: Program, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(task.Task, "train", interrupted)
        result = certify("--out", run, "--max-epochs", 5, "--n0", 10, "--n", 40)
    assert result.exit_code == 130
    assert result.stderr.strip() == f"Interrupted; continue with: hiersmooth certify --resume {run}"
    assert {file.name for file in run.iterdir()} == {"settings.json", "labels.npz"}
    assert f"'--out {run}' holds an unfinished run" in message_of(certify("--out", run))

    assert certify("--resume", run).exit_code == 0
    assert same_votes(run, finished_run)


def test_interrupted_before_anything_was_kept(
    certify: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "load_dataset", interrupted)
    result = certify("--out", tmp_path / "run")
    assert result.exit_code == 130
    assert result.stderr.strip() == "Interrupted before anything was kept"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def undisturbed(
    certify: Program, finished_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    weights = finished_run / "model.pt"
    assert certify("--checkpoint", weights, "--n0", 10, "--n", 640, "--out", folder).exit_code == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "num_workers"), [(signal.SIGINT, 2), (signal.SIGINT, 0), (signal.SIGKILL, 0)]
)
def test_stopped_while_sampling(
    sent: signal.Signals,
    num_workers: int,
    certify: Program,
    leisurely: list[str],
    finished_run: Path,
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    options = ["--checkpoint", finished_run / "model.pt", "--n0", 10, "--n", 640, "--out", run]
    options += ["--num-workers", num_workers, "--device", "cpu", "--no-progress"]
    process = subprocess.Popen(
        [*leisurely, "certify", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (run / "votes.npz").exists() or read_votes(run / "votes.npz")[1] == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(sent)
    output, error = process.communicate()
    assert 0 < read_votes(run / "votes.npz")[1] < 640
    assert not (run / "certificate.npz").exists()
    if sent == signal.SIGINT:
        assert process.returncode == 130 and output == ""
        assert "Traceback" not in error
        assert error.endswith(f"Interrupted; continue with: hiersmooth certify --resume {run}\n")

    assert certify("--resume", run).exit_code == 0
    assert same_votes(run, undisturbed)


def test_resume_of_nothing(certify: Program, tmp_path: Path) -> None:
    message = message_of(certify("--resume", tmp_path))
    assert f"'{tmp_path}' holds no run: there is no 'settings.json' in it" in message


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": "other"}', '{"format": "pyg_hiersmooth run 1", "options": {}}'],
)
def test_resume_of_damaged_settings(content: str, certify: Program, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(content)
    message = message_of(certify("--resume", tmp_path))
    assert f"'{tmp_path / 'settings.json'}' is damaged" in message


def test_resume_with_settings_of_no_known_noise(
    certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    text = (finished_run / "settings.json").read_text().replace('"flips"', '"salt"')
    (tmp_path / "settings.json").write_text(text)
    assert "'--noise' must be one of flips, gaussian" in message_of(certify("--resume", tmp_path))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            ["--n", 50],
            "'--num-samples' does not agree with the run to be resumed: 50 here, 40 there",
        ),
        (["--noise", "gaussian"], "'--noise' does not agree"),
        (["--part", "val"], "'--part' does not agree with the run to be resumed: val here, test"),
        (["--std", 0.3], "'--std' does not agree with the run to be resumed: 0.3 here, None there"),
        (["--out", "elsewhere"], "'--out' does nothing with '--resume'"),
    ],
)
def test_resume_with_options_that_do_not_agree(
    options: list, text: str, certify: Program, finished_run: Path
) -> None:
    assert text in message_of(certify("--resume", finished_run, *options))


def test_resume_with_options_that_agree(
    certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "votes.npz").unlink()
    assert certify("--resume", run, "--n", 40, "--model", "gcn").exit_code == 0
    assert same_votes(run, finished_run)


def test_resume_of_a_part(certify: Program, finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    weights = ("--checkpoint", finished_run / "model.pt")
    assert certify("--part", "val", *FEW, *weights, "--out", run).exit_code == 0
    votes = votes_of(run)
    (run / "votes.npz").unlink()
    assert certify("--resume", run).exit_code == 0
    assert all(map(np.array_equal, votes_of(run), votes))


def test_resume_of_a_run_that_names_no_part(
    certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    content = json.loads((run / "settings.json").read_text())
    assert content["options"].pop("part") == "test"
    (run / "settings.json").write_text(json.dumps(content))
    (run / "votes.npz").unlink()
    assert certify("--resume", run).exit_code == 0
    assert same_votes(run, finished_run)


def test_resume_with_votes_of_another_run(
    certify: Program, finished_run: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    shutil.copy(undisturbed / "votes.npz", run / "votes.npz")
    assert "was started with n=640" in message_of(certify("--resume", run))


def test_training_that_diverges(certify: Program, tmp_path: Path) -> None:
    options = ["--lr", 1e30, "--max-epochs", 5, "--out", tmp_path / "run"]
    assert "lower the learning rate" in message_of(certify(*options))


# Exact and collective certificates


@pytest.fixture(scope="module")
def exact_run(certify: Program, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """What an exact and collective run prints, and its folder; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "exact"
    small = ("--groups", 5, "--partitions", 2, "--max-epochs", 20, "--lr", 0.01)
    return certify(*EXACT, *small, "--collective", "--method", "lp", "--out", folder), folder


def test_exact_run(exact_run: tuple[Result, Path]) -> None:
    result, folder = exact_run
    assert result.exit_code == 0 and result.stderr == "", result.output
    text = " ".join(result.stdout.split())
    assert "PartitionSelection(num_groups=5, num_partitions=2, seed=0, dealing='blocks')," in text
    assert "AblationNoise(), exact" in text and "Certified accuracy, exact" in text
    files = FILES - {"pre_votes.npz"} | {"collective_accuracy.png"}
    assert {file.name for file in folder.iterdir()} == files
    certificate = Certificate.load(folder / "certificate.npz")
    assert certificate.exact and certificate.chart(certificate.prediction).smoothing[-5:] == "exact"
    results = json.loads((folder / "results.json").read_text())
    assert results["exact"] is True and results["certified"][0]["accuracy"] > 0
    settings = json.loads((folder / "settings.json").read_text())["options"]
    assert (settings["groups"], settings["partitions"], settings["n"]) == (5, 2, None)


def test_collective_table_and_results(exact_run: tuple[Result, Path]) -> None:
    result, folder = exact_run
    together = json.loads((folder / "results.json").read_text())["collective"]
    assert (together["method"], together["time_limit"]) == ("lp", 10.0)
    cells = together["certified"]
    assert [cell["r"] for cell in cells] == [*range(1, 21)]
    cells = [cell for cell in cells if cell["r"] in (1, 2, 3, 5, 10, 20)]
    shown = " ".join(re.findall(r"[\w=.%]+", result.stdout))
    for whom, name in (("anything all", "accuracy"), ("each", "one_by_one")):
        assert f"{whom} {' '.join(f'{cell[name]:.1%}' for cell in cells)}" in shown
    assert cells[0]["accuracy"] > cells[0]["one_by_one"] > 0
    assert (folder / "collective_accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_an_exact_run_is_resumed(
    exact_run: tuple[Result, Path], certify: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, folder = exact_run
    forbid_training(monkeypatch)
    before = (folder / "results.json").read_text()
    again = certify("--resume", folder)
    assert again.exit_code == 0 and "nothing left to sample" in again.stdout
    assert (
        again.stdout.split("Certified accuracy")[1:]
        == result.stdout.split("Certified accuracy")[1:]
    )
    assert (folder / "results.json").read_text() == before
    message = message_of(certify("--resume", folder, "--groups", 6))
    assert "'--groups' does not agree with the run to be resumed: 6 here, 5 there" in message


def test_collective_certificates_show_progress_and_join_a_sampled_run(
    hiersmooth: Program, certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    run, weights = tmp_path / "run", ("--checkpoint", finished_run / "model.pt")
    options = ("--noise", "ablation", "--p", 0.9, "--simultaneous", "--n0", 5, "--n", 100)
    assert certify(*options, *weights, "--out", run).exit_code == 0
    assert not (run / "collective_accuracy.png").exists()
    added = ("--resume", run, "--collective", "--time-limit", 2, "--num-workers", 0)
    result = hiersmooth("certify", *added)
    assert result.exit_code == 0, result.output
    assert "One attack (anything)" in result.stderr and "one attack on all" in result.stdout
    results = json.loads((run / "results.json").read_text())
    assert (results["exact"], results["collective"]["method"]) == (False, "milp")
    assert results["seconds_per_sample"] > 0 and (run / "collective_accuracy.png").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "needs certificates that hold at once: '--simultaneous', or '--selection' partition"),
        (["--noise", "ablation"], "with '--noise' ablation (got bernoulli with ablation)"),
        (["--selection", "partition"], "(got partition with flips)"),
        (["--task", "graph", "--simultaneous"], "the nodes of one graph (got '--task' graph)"),
    ],
)
def test_collective_certificates_that_are_none(
    options: list, text: str, certify: Program, tmp_path: Path
) -> None:
    message = message_of(certify("--collective", *options, "--out", tmp_path / "run"))
    assert "'--collective'" in message and text in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [("--method", "lp"), ("--time-limit", 3)])
def test_idle_without_collective(option: tuple, certify: Program, tmp_path: Path) -> None:
    message = message_of(certify(*option, "--out", tmp_path / "run"))
    assert f"'{option[0]}' does nothing without '--collective': leave it out" in message


def test_a_partition_with_another_noise_is_sampled(
    certify: Program, finished_run: Path, tmp_path: Path
) -> None:
    options = ("--selection", "partition", "--groups", 5, *FEW)
    weights = ("--checkpoint", finished_run / "model.pt")
    result = certify(*options, *weights, "--out", tmp_path / "run")
    assert result.exit_code == 0 and "exact" not in result.stdout
    assert {file.name for file in (tmp_path / "run").iterdir()} == FILES


# Prediction sets


def test_sets_are_printed_drawn_and_kept(certify: Program, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ("--groups", 5, "--partitions", 2, "--max-epochs", 20, "--lr", 0.01)
    result = certify(*EXACT, *small, "--sets", 0.8, "--calibration", 50, "--out", run)
    assert result.exit_code == 0, result.output
    found = json.loads((run / "results.json").read_text())["sets"]
    assert (found["nominal"], found["approve"], found["num_calibration"]) == (0.8, 0.1, 50)
    assert [cell["r"] for cell in found["sizes"]] == [*range(11)]
    shown = " ".join(re.findall(r"[\w=.%]+", result.stdout.replace("*", "")))
    reported = [found["sizes"][r] for r in (0, 1, 2, 3, 5)]
    sizes = " ".join(f"{cell['size']:.2f}" for cell in reported)
    assert f"anything size {sizes}" in shown
    assert found["statement"] in " ".join(result.stdout.split())
    assert (run / "prediction_sets.png").read_bytes().startswith(b"\x89PNG")
    assert PredictionSets.load(run / "prediction_sets.npz").nominal == 0.8
    before = (run / "results.json").read_text()
    again = certify("--resume", run)
    assert (
        again.stdout.split("Certified accuracy")[1:]
        == (result.stdout.split("Certified accuracy")[1:])
    )
    assert (run / "results.json").read_text() == before


def test_pictures_of_sets_count_what_changes(
    certify: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr(
        plotting, "plot_set_sizes", lambda *_, entities, **__: counted.append(entities)
    )
    small = ("--edges-groups", 5, "--edges-partitions", 2, "--max-epochs", 5)
    sets = ("--sets", 0.8, "--calibration", 50)
    result = certify("--edges", "ablation", *small, *sets, "--out", tmp_path / "run")
    assert result.exit_code == 0 and counted == ["edges"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--approve", 0.2), "'--approve' does nothing without '--sets': leave it out"),
        (("--sets", 0.9, "--calibration", 5), "'--calibration' must be larger"),
        (("--sets", 0.9, "--calibration", 10**6), "'--calibration' must be at most the"),
        (("--sets", 0.9, "--task", "graph", "--calibration", 10**6), "for training (got 1000000)"),
    ],
)
def test_sets_that_cannot_be_made(
    options: tuple, text: str, certify: Program, tmp_path: Path
) -> None:
    assert text in message_of(certify(*options, "--out", tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []
