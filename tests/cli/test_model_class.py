from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import Result

from pyg_hiersmooth.cli import experiment
from pyg_hiersmooth.cli.model_class import build_named
from pyg_hiersmooth.cli.run_folder import RunFolder
from pyg_hiersmooth.models import GCN, MODELS
from pyg_hiersmooth.sampling.checkpoint import read_votes

Program = Callable[..., Result]

OWN = '''
import torch


class Net(torch.nn.Module):
    """A model of the user's own."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.own = torch.nn.Linear(in_channels, num_classes)

    def forward(self, x, edge_index):
        return self.own(x)


def wide_net(in_channels, num_classes):
    return Net(10 * in_channels, num_classes)


class Needy(torch.nn.Module):
    def __init__(self, in_channels, num_classes, depth):
        super().__init__()


class Failing(torch.nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        assert num_classes == 2


class NoModel:
    def __init__(self, in_channels, num_classes):
        pass


size = 3
'''

FEW = ("--n0", 5, "--n", 20, "--max-epochs", 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with modules of the user's own in it."""
    modules = {"own_models": OWN, "broken_models": "class Net(:", "failing_models": "1 / 0"}
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for name in modules:
        sys.modules.pop(name, None)


def message_of(result: Result) -> str:
    """The error message, which is one line."""
    assert result.exit_code == 1, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    return result.stderr


# What is built


def test_model_of_ours() -> None:
    model = build_named("gcn", MODELS, 5, 3)
    assert type(model) is GCN
    assert model(torch.rand(4, 5), torch.tensor([[0], [1]])).shape == (4, 3)


@pytest.mark.parametrize(("name", "in_features"), [("Net", 5), ("wide_net", 50)])
def test_model_of_the_user(name: str, in_features: int, folder: Path) -> None:
    model = build_named(f"own_models:{name}", MODELS, 5, 3)
    assert type(model).__name__ == "Net"
    assert (model.own.in_features, model.own.out_features) == (in_features, 3)


def test_model_of_an_installed_package() -> None:
    assert type(build_named("torch.nn:Linear", {}, 5, 3)) is torch.nn.Linear


def test_current_folder_is_searched_once(folder: Path) -> None:
    for _ in range(2):
        build_named("own_models:Net", MODELS, 5, 3)
    assert sys.path.count(str(folder)) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_module:Net", "No module named 'no_such_module'"),
        ("own_models:Nothing", "has no attribute 'Nothing'"),
        ("own_models:", "has no attribute ''"),
        (":Net", "Empty module name"),
        (".own_models:Net", "'package' argument is required"),
        ("own_models:Needy", "missing 1 required positional argument: 'depth'"),
        ("own_models:size", "'int' object is not callable"),
        ("own_models:Failing", r"AssertionError\(\)"),
        ("broken_models:Net", r"invalid syntax \(broken_models.py, line 1\)"),
        ("failing_models:Net", "division by zero"),
    ],
)
def test_model_that_cannot_be_built(name: str, reason: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=f"'--model {name}' must name a class .*, but: .*{reason}"):
        build_named(name, MODELS, 5, 3)


def test_class_that_is_no_model(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"must be a torch.nn.Module, but is a NoModel"):
        build_named("own_models:NoModel", MODELS, 5, 3)


# In the programs


def test_certify_takes_it(certify: Program, folder: Path) -> None:
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
    certify: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    model = ("--model", "own_models:Net")
    assert certify(*model, *FEW, "--out", "undisturbed").exit_code == 0
    expected = read_votes("undisturbed/votes.npz")[0]
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "train_node_classifier", stop)
        assert certify(*model, *FEW, "--out", "run").exit_code == 130
    assert certify("--resume", "run").exit_code == 0
    assert torch.equal(read_votes("run/votes.npz")[0], expected)

    shutil.copytree("run", "copy")
    Path("copy/votes.npz").unlink()
    assert certify("--resume", "copy", *model).exit_code == 0
    assert torch.equal(read_votes("copy/votes.npz")[0], expected)
    other = certify("--resume", "copy", "--model", "own_models:wide_net")
    assert other.exit_code == 2 and "'--model' does not agree" in other.stderr


def test_certify_resumes_it_only_where_it_is_found(
    certify: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert certify("--model", "own_models:Net", *FEW, "--out", "run").exit_code == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    sys.path.remove(str(folder))
    del sys.modules["own_models"]
    message = message_of(certify("--resume", folder / "run"))
    assert "can be imported from here" in message and "No module named 'own_models'" in message


def test_tune_takes_it(hiersmooth: Program, certify: Program, folder: Path) -> None:
    options = ["--noise", "ablation", "--trials", 2, "--no-progress", "--num-workers", 0]
    result = hiersmooth("tune", "--model", "own_models:Net", *options, *FEW)
    assert result.exit_code == 0, result.output
    file = Path("runs", "tune-CitationSBM-own_models.Net-ablation-seed0.jsonl")
    assert list(Path("runs").iterdir()) == [file]
    command = shlex.split(result.stdout.splitlines()[-1].partition("hiersmooth certify ")[2])
    again = certify(*command, "--n0", 5, "--n", 20, "--out", "run")
    assert again.exit_code == 0, again.output
    assert RunFolder("run").read_settings().model == "own_models:Net"
    assert "own.weight" in torch.load("run/model.pt", weights_only=True)


@pytest.mark.parametrize("command", ["certify", "tune --noise ablation"])
@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("no_such_module:Net", "No module named 'no_such_module'"),
        ("broken_models:Net", "invalid syntax"),
        ("own_models:NoModel", "must be a torch.nn.Module, but is a NoModel"),
        ("own_models:wide_net", "1434"),
    ],
)
def test_mistakes_are_one_sentence(
    model: str, text: str, command: str, hiersmooth: Program, folder: Path
) -> None:
    options = ("--no-progress", "--model", model, "--out", "out")
    assert text in message_of(hiersmooth(*command.split(), *options))
