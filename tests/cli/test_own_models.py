from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from pyg_hiersmooth.experiment.run_folder import RunFolder
from pyg_hiersmooth.experiment.task import Task
from pyg_hiersmooth.sampling.checkpoint import read_votes

Program = Callable[..., Result]

FEW = ("--n0", 5, "--n", 20, "--max-epochs", 2)


def message_of(result: Result) -> str:
    """The error message, which is one line."""
    assert result.exit_code == 1, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    return result.stderr


def test_certify_takes_it(certify: Program, own_models: Path) -> None:
    result = certify("--model", "own_models:Net", *FEW, "--out", "run")
    assert result.exit_code == 0, result.output
    assert "CitationSBM, own_models:Net" in result.stdout
    weights = torch.load("run/model.pt", weights_only=True)
    assert {name: list(tensor.shape) for name, tensor in weights.items()} == {
        "own.weight": [7, 1434],
        "own.bias": [7],
    }
    options = ["--model", "own_models:Net", "--checkpoint", "run/model.pt", "--n0", 5, "--n", 20]
    assert certify(*options, "--out", "again").exit_code == 0
    for name in ("pre_votes.npz", "votes.npz"):
        votes, expected = (read_votes(Path(run, name))[0] for run in ("again", "run"))
        assert torch.equal(votes, expected)


def test_certify_resumes_it(
    certify: Program, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    model = ("--model", "own_models:Net")
    assert certify(*model, *FEW, "--out", "undisturbed").exit_code == 0
    expected = read_votes("undisturbed/votes.npz")[0]
    with monkeypatch.context() as patch:
        patch.setattr(Task, "train", stop)
        assert certify(*model, *FEW, "--out", "run").exit_code == 130
    assert certify("--resume", "run").exit_code == 0
    assert torch.equal(read_votes("run/votes.npz")[0], expected)

    shutil.copytree("run", "copy")
    Path("copy/votes.npz").unlink()
    assert certify("--resume", "copy", *model).exit_code == 0
    assert torch.equal(read_votes("copy/votes.npz")[0], expected)
    other = certify("--resume", "copy", "--model", "own_models:wide_net")
    assert other.exit_code == 1 and "'--model' does not agree" in other.stderr


def test_certify_resumes_it_only_where_it_is_found(
    certify: Program, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert certify("--model", "own_models:Net", *FEW, "--out", "run").exit_code == 0
    (own_models / "elsewhere").mkdir()
    monkeypatch.chdir(own_models / "elsewhere")
    sys.path.remove(str(own_models))
    del sys.modules["own_models"]
    message = message_of(certify("--resume", own_models / "run"))
    assert "can be imported from here" in message and "No module named 'own_models'" in message


def test_tune_takes_it(hiersmooth: Program, certify: Program, own_models: Path) -> None:
    options = ["--noise", "ablation", "--trials", 2, "--no-progress", "--num-workers", 0]
    result = hiersmooth("tune", "--model", "own_models:Net", *options, *FEW)
    assert result.exit_code == 0, result.output
    file = Path("runs", "tune-CitationSBM-own_models.Net-ablation-seed0.jsonl")
    assert list(Path("runs").iterdir()) == [file]
    command = shlex.split(result.stdout.splitlines()[-1].partition("hiersmooth certify ")[2])
    again = certify(*command, "--n0", 5, "--n", 20, "--out", "run")
    assert again.exit_code == 0, again.output
    assert RunFolder("run").read_settings().data.model == "own_models:Net"
    assert "own.weight" in torch.load("run/model.pt", weights_only=True)


@pytest.mark.parametrize("command", ["certify", "tune --noise ablation"])
@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("no_such_module:Net", "No module named 'no_such_module'"),
        ("broken_models:Net", "invalid syntax"),
        ("own_models:NoModel", "must be a torch.nn.Module (got own_models:NoModel"),
        ("own_models:wide_net", "1434"),
    ],
)
def test_mistakes_are_one_sentence(
    model: str, text: str, command: str, hiersmooth: Program, own_models: Path
) -> None:
    options = ("--no-progress", "--model", model, "--out", "out")
    assert text in message_of(hiersmooth(*command.split(), *options))
