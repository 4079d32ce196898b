from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.cli import main
from pyg_hiersmooth.datasets import CitationSBM, split_nodes
from pyg_hiersmooth.experiment import task
from pyg_hiersmooth.experiment.run_folder import RunFolder
from pyg_hiersmooth.experiment.smoothing import build_smoothing
from pyg_hiersmooth.experiment.weights import load_weights
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier

Program = Callable[..., Result]

FEW = ("--n0", 5, "--n", 40)
SHORT = ("--n0", 1, "--n", 4, "--max-epochs", 1)
SEARCH = (*FEW, "--max-epochs", 30, "--lr", 0.01, "--deletions", 1, "--seed", 4, "--trials", 2)


@pytest.fixture(scope="session")
def tune(hiersmooth: Program) -> Program:
    """Runs ``hiersmooth tune`` in this process."""

    def run(*arguments: object) -> Result:
        return hiersmooth("tune", "--no-progress", "--num-workers", 0, *arguments)

    return run


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the finished search is kept."""
    return tmp_path_factory.mktemp("tuned") / "new folder" / "search.jsonl"


@pytest.fixture(scope="module")
def finished(tune: Program, out: Path) -> Result:
    """A small finished search on the synthetic dataset."""
    result = tune(*SEARCH, "--out", out)
    assert result.exit_code == 0, result.output
    return result


def message_of(result: Result) -> str:
    """The error message, on one line."""
    assert result.exit_code != 0, result.output
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def rows_of(result: Result) -> list[tuple[str, float, float]]:
    """The printed smoothings, with their clean and certified accuracy in percent."""
    rows = re.findall(
        r"^ +((?:p|groups)=\S.*?) +([\d.]+)% +([\d.]+)% *$", result.stdout, re.MULTILINE
    )
    return [(name, float(clean), float(certified)) for name, clean, certified in rows]


def printed_command(result: Result) -> list[str]:
    """The arguments of the ``hiersmooth certify`` that it says to go on with."""
    (text,) = re.findall("^Certify test nodes with: hiersmooth certify (.*)$", result.stdout, re.M)
    return shlex.split(text)


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*args: object, **kwargs: object) -> None:
        pytest.fail("trained before all was checked")

    monkeypatch.setattr(task.Task, "train", train)


# What is printed


def test_table(finished: Result) -> None:
    assert finished.stderr == ""
    assert "Best on validation nodes" in finished.stdout
    rows = rows_of(finished)
    assert len(rows) == 2
    assert all(re.fullmatch(r"p=\S+, p_plus=\S+, p_minus=\S+", name) for name, _, _ in rows)
    assert rows[0][2] > rows[1][2]


def test_printed_command_certifies_what_was_tuned_with_fresh_samples(
    finished: Result, certify: Program, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = certify(*printed_command(finished), *FEW, "--part", "val", "--out", run)
    assert result.exit_code == 0, result.output
    fresh, labels = Certificate.load(run / "certificate.npz"), RunFolder(run).read_labels()
    name, clean, certified = rows_of(finished)[0]
    settings = RunFolder(run).read_settings()
    data = CitationSBM()[0]
    model = build_model("gcn", data.num_features + 1, 7)
    load_weights(model, run / "model.pt")
    smoothed = SmoothedNodeClassifier(model, build_smoothing(settings.smoothing), 7)
    expected = split_nodes(data.y, seed=4).val_index
    certificate = smoothed.certify(data, 5, 40, 0.01, 2**31 + 4, expected, False, num_workers=0)
    assert not np.array_equal(fresh.p_lower, certificate.p_lower)
    assert name == ", ".join(
        f"{name}={settings.options[name]}" for name in ("p", "p_plus", "p_minus")
    )
    assert clean == pytest.approx(100 * certificate.clean_accuracy(labels), abs=0.05)
    exact = certificate.certified_accuracy(labels, 1, additions=0, deletions=1)
    assert certified == pytest.approx(100 * exact, abs=0.05) and certified > 0
    assert fresh.index.tolist() == expected.tolist()


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--noise", "gaussian", "--eps", 0.1], ["p", "std"]),
        (["--noise", "laplace", "--eps", 0.1], ["p", "scale"]),
        (["--noise", "uniform", "--eps", 0.1, "--r", 2], ["p", "scale"]),
        (["--noise", "ablation", "--r", 3], ["p"]),
        (["--additions", 1, "--deletions", 2, "--r", 2], ["p", "p_plus", "p_minus"]),
        (
            ["--selection", "partition", "--partitions", 2, "--deletions", 2],
            ["groups", "p_plus", "p_minus"],
        ),
    ],
)
def test_printed_command_names_the_settings(
    options: list,
    names: list[str],
    tune: Program,
    certify: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = ["--model", "appnp", "--patience", 7, "--max-epochs", 1, "--seed", 4]
    asked = ["--alpha", 0.05, "--kind", "binary", *trained]
    few = ["--n0", 1, "--n", 4, "--trials", 1]
    tuned = tune(*options, *asked, *few, "--out", tmp_path / "search")
    assert tuned.exit_code == 0, tuned.output

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(task.Task, "train", stop)
    assert certify(*printed_command(tuned), "--out", tmp_path / "run").exit_code == 130
    settings = RunFolder(tmp_path / "run").read_settings()
    ((name, _, _),) = rows_of(tuned)
    assert name == ", ".join(f"{name}={settings.options[name]}" for name in names)
    given = {"alpha": 0.05, "kind": "binary", "seed": 4, "model": "appnp"}
    given |= {"patience": 7, "max_epochs": 1}
    assert settings.options == settings.options | given


def test_an_exact_search(tune: Program, certify: Program, tmp_path: Path) -> None:
    exact = ("--selection", "partition", "--partitions", 2, "--noise", "ablation", "--r", 2)
    few = ("--trials", 2, "--max-epochs", 20, "--lr", 0.01, "--out", tmp_path / "search")
    result = tune(*exact, *few)
    assert result.exit_code == 0, result.output
    rows = rows_of(result)
    assert len(rows) == 2 and all(re.fullmatch(r"groups=\d+", name) for name, _, _ in rows)
    command = printed_command(result)
    assert "--alpha" not in command and "--p" not in command
    assert certify(*command, "--part", "val", "--out", tmp_path / "run").exit_code == 0
    certificate = Certificate.load(tmp_path / "run" / "certificate.npz")
    assert certificate.exact and f"num_groups={rows[0][0][7:]}," in str(certificate.selection)


@pytest.mark.slow
def test_at_most_five_smoothings_are_printed(tune: Program, tmp_path: Path) -> None:
    result = tune("--noise", "ablation", *SHORT, "--trials", 6, "--out", tmp_path / "search")
    assert len(rows_of(result)) == 5


def test_clean_accuracy_that_is_not_reached(
    finished: Result, tune: Program, tmp_path: Path
) -> None:
    notice = "No smoothing reached a clean accuracy of"
    assert notice not in finished.stdout
    options = ("--deletions", 1, *SHORT, "--trials", 2, "--out", tmp_path / "search")
    result = tune(*options, "--min-clean-accuracy", 0.995)
    assert result.exit_code == 0 and f"{notice} 99.5%" in result.stdout
    clean = [clean for _, clean, _ in rows_of(result)]
    assert clean == sorted(clean, reverse=True)
    assert printed_command(result)


@pytest.mark.slow
def test_clean_accuracy_that_is_reached_comes_first(
    finished: Result, tune: Program, tmp_path: Path
) -> None:
    best, other = rows_of(finished)
    assert best[1] < other[1]
    least = (best[1] + other[1]) / 200
    result = tune(*SEARCH, "--min-clean-accuracy", least, "--out", tmp_path / "search")
    assert rows_of(result) == [other, best]


def test_help_is_complete(hiersmooth: Program) -> None:
    text = " ".join(hiersmooth("tune", "--help").output.split())
    command = main.commands["tune"]
    context = command.make_context("tune", [])
    for option in command.params:
        record = option.get_help_record(context)
        assert record is not None and option.help and option.opts[0] in text, option.name
        needs_none = option.is_flag or option.name in ("additions", "deletions", "eps", "r_edges")
        assert needs_none or "default: " in record[1], option.name
    assert "Example: hiersmooth tune" in text


# The file of a search


@pytest.mark.slow
def test_interrupted_search_goes_on(
    finished: Result, tune: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, calls = task.Task.train, []

    def interrupted(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*args, **kwargs)  # type: ignore[arg-type]

    command = (*SEARCH, "--out", tmp_path / "search")
    with monkeypatch.context() as patch:
        patch.setattr(task.Task, "train", interrupted)
        result = tune(*command)
    assert result.exit_code == 130 and result.stdout == ""
    assert result.stderr.strip() == "Interrupted; the same command continues"
    assert tune(*command).stdout == finished.stdout


def test_finished_search_is_not_made_again(
    finished: Result, out: Path, tune: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_training(monkeypatch)
    assert tune(*SEARCH, "--out", out).stdout == finished.stdout


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--deletions", 2], "'--deletions'"),
        (["--additions", 2], "'--additions'"),
        (["--r", 2], "'--r'"),
        (["--n0", 6], "'--num-pre-samples'"),
        (["--n", 41], "'--num-samples'"),
        (["--alpha", 0.1], "'--alpha'"),
        (["--kind", "binary"], "'--kind'"),
        (["--model", "gat"], "'training'"),
        (["--lr", 0.02], "'training'"),
        (["--max-epochs", 31], "'training'"),
        (["--patience", 3], "'training'"),
        (["--min-clean-accuracy", 0.1], "'--min-clean-accuracy'"),
    ],
)
def test_file_of_another_search(
    options: list,
    name: str,
    finished: Result,
    out: Path,
    tune: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forbid_training(monkeypatch)
    message = message_of(tune(*SEARCH, *options, "--out", out))
    assert f"'{out}' holds a search with another {name}: choose another file" in message


def test_default_file(tune: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--noise", "ablation", *SHORT, "--trials", 1, "--seed", 3)
    assert tune(*options).exit_code == 0
    assert (tmp_path / "runs" / "tune-CitationSBM-gcn-ablation-seed3.jsonl").exists()


# What is refused


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "SparseFlipNoise needs the budget '--additions' or '--deletions'"),
        (["--eps", 1], "takes '--additions' and '--deletions' (got '--eps')"),
        (["--deletions", 0], "'--r' and the budget must allow a change"),
        (
            ["--noise", "laplace", "--deletions", 1],
            "takes '--eps' (got '--deletions')",
        ),
        (["--noise", "uniform"], "UniformNoise needs the budget '--eps'"),
        (["--noise", "ablation", "--eps", 1], "takes no budget besides '--r' (got '--eps')"),
        (["--partitions", 3, "--deletions", 1], "'--partitions' does nothing with '--selection'"),
        (
            ["--selection", "partition", "--noise", "ablation", "--n", 5],
            "'--num-samples' does nothing with '--selection' partition and '--noise' ablation",
        ),
        (
            ["--selection", "partition", "--noise", "ablation", "--r", 12],
            "'--r' must be at most 11 for '--selection' partition",
        ),
        (["--model", "no_such_module:Net", "--deletions", 1], "No module named 'no_such_module'"),
    ],
)
def test_mistakes(
    options: list, text: str, tune: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_training(monkeypatch)
    result = tune(*options, "--out", tmp_path / "search")
    assert text in message_of(result)
    assert result.exit_code == 1 and result.stdout == "" and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--dataset", "Reddit", "'--dataset' must be one of CitationSBM, Cora"),
        ("--model", "mlp", "'gcn', 'gat', 'gatv2', 'appnp', 'sage', nor 'module:Class'"),
        ("--model", "gin", "'gin' is not one of"),
        ("--noise", "salt", "'flips', 'gaussian', 'ablation', 'laplace', 'uniform'"),
        ("--r", -1, "x>=0"),
        ("--additions", -1, "x>=0"),
        ("--eps", 0, "x>0.0"),
        ("--eps", "nan", "not a finite number"),
        ("--min-clean-accuracy", 1.1, "0.0<=x<=1.0"),
        ("--trials", 0, "x>=1"),
        ("--n", 0, "x>=1"),
        ("--alpha", 1, "0.0<x<1.0"),
        ("--out", ".", "is a directory"),
    ],
)
def test_ranges(option: str, value: object, text: str, tune: Program) -> None:
    message = message_of(tune(option, value))
    assert option in message and text in message


def test_file_that_holds_something_else(
    tune: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_training(monkeypatch)
    (tmp_path / "notes.txt").write_text("precious")
    message = message_of(tune("--noise", "ablation", "--out", tmp_path / "notes.txt"))
    assert f"'{tmp_path / 'notes.txt'}' is damaged or not the file of a search" in message
    assert (tmp_path / "notes.txt").read_text() == "precious"
    inside = tmp_path / "notes.txt" / "search"
    assert "notes.txt" in message_of(tune("--noise", "ablation", "--out", inside))


def test_features_that_are_not_binary(
    tune: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = CitationSBM()[0]
    data.x = data.x / 3
    weighted = type("Weighted", (list,), {"num_classes": 7})([data])
    monkeypatch.setattr(task, "load_dataset", lambda name, root: weighted)
    forbid_training(monkeypatch)
    message = message_of(tune("--deletions", 1, "--out", tmp_path / "search"))
    assert "needs binary features" in message


def test_dataset_of_many_graphs(
    tune: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = type("Graphs", (list,), {"num_classes": 7})([CitationSBM()[0]] * 3)
    monkeypatch.setattr(task, "load_dataset", lambda name, root: graphs)
    forbid_training(monkeypatch)
    message = message_of(tune("--dataset", "MUTAG", "--deletions", 1, "--out", tmp_path / "search"))
    assert "'--dataset' must hold one graph for 'task' node (got 3 in MUTAG)" in message


def test_missing_optuna(tune: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_training(monkeypatch)
    monkeypatch.setitem(sys.modules, "optuna", None)
    message = message_of(tune("--deletions", 1, "--out", tmp_path / "search"))
    assert "'optuna' is not installed" in message
    assert "pip install optuna" in message
