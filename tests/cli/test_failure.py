from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import click
import pytest
from click.testing import CliRunner, Result

from pyg_hiersmooth.cli.failure import Interrupted, one_sentence


def fail(error: BaseException) -> Result:
    """Runs a command with the options --n0 and --num-workers that raises an error."""

    @click.command()
    @click.option("--n0")
    @click.option("--num-workers")
    def command(n0: object, num_workers: object) -> None:
        with one_sentence():
            raise error

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("'n0' must be at least 1 (got 0)", "'--n0' must be at least 1 (got 0)"),
        ("'num_workers' does nothing", "'--num-workers' does nothing"),
        ("'n' must be n0, as in 'data/n0'", "'n' must be n0, as in 'data/n0'"),
        ("two\n  lines", "two lines"),
        ("", "the run failed with ValueError"),
        ("Traceback ...\n  File\nValueError: 'n0' is bad", "ValueError: '--n0' is bad"),
    ],
)
def test_settings_are_named_as_they_are_typed(said: str, shown: str) -> None:
    result = fail(ValueError(said))
    assert result.exit_code == 1 and result.stderr == f"Error: {shown}\n" and not result.stdout


@pytest.mark.parametrize(
    "error", [TypeError, OSError, ImportError, FloatingPointError, MemoryError, RuntimeError]
)
def test_expected_errors(error: type[Exception]) -> None:
    assert fail(error("no")).stderr == "Error: no\n"


@pytest.mark.parametrize("error", [KeyError, AssertionError, BrokenPipeError])
def test_mistakes_of_ours_are_not_hidden(error: type[Exception]) -> None:
    assert isinstance(fail(error("oh")).exception, error)


def test_interruption() -> None:
    result = fail(Interrupted("Go on"))
    assert result.exit_code == 130 and result.stderr == "\nGo on\n"


def without_pytorch(*arguments: str) -> str:
    """What the program says where PyTorch cannot be imported."""
    code = "import sys; sys.modules['torch'] = None\nfrom pyg_hiersmooth.cli import main\nmain()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("certify --std 0.5", "'--std' does nothing with '--noise' flips: leave it out"),
        ("certify --collective", "'--collective' needs certificates that hold at once"),
        ("certify --noise ablation --until r=1 --n0 5", "'--num-pre-samples' does nothing"),
        ("tune --partitions 3", "'--partitions' does nothing with '--selection' bernoulli"),
        ("benchmark --sweep 3 --p 0.5", "'--p' does nothing with '--sweep': leave it out"),
    ],
)
def test_settings_are_checked_before_pytorch_is_loaded(arguments: str, message: str) -> None:
    said = without_pytorch(*arguments.split())
    assert message in said and "Loading" not in said


@pytest.mark.parametrize("command", ["certify", "tune", "benchmark", "plot runs", "report runs"])
def test_the_first_line_comes_before_pytorch(command: str) -> None:
    first, second = without_pytorch(*command.split()).splitlines()
    assert first == "Loading PyTorch ..." and "torch" in second


def test_modules_are_loaded_without_searches_for_garbage(tmp_path: Path) -> None:
    (tmp_path / "watched.py").write_text("import gc\nsearched = gc.isenabled()\n")
    (tmp_path / "broken.py").write_text("raise ImportError('it is broken')\n")
    code = """
        import gc
        from pyg_hiersmooth.cli.failure import load_pytorch
        try:
            load_pytorch("watched", "broken")
        except ImportError as error:
            import watched
            print(watched.searched, gc.isenabled(), error)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False True it is broken\n"
