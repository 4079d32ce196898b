from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyg_hiersmooth.cli import main

Program = Callable[..., Result]

LEISURELY = """
import time

from pyg_hiersmooth.cli import main
from pyg_hiersmooth.sampling.checkpoint import VoteCheckpoint


def save_and_rest(checkpoint, counted):
    checkpoint.save(counted)
    time.sleep(1.0)


VoteCheckpoint.save_sometimes = save_and_rest
if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="session")
def hiersmooth() -> Program:
    """Runs the program in this process; errors that it should have caught are raised."""

    def run(*arguments: object, color: bool = False) -> Result:
        texts = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, texts, catch_exceptions=False, color=color)

    return run


@pytest.fixture(scope="session")
def certify(hiersmooth: Program) -> Program:
    """Runs ``hiersmooth certify`` in this process on a CPU."""

    def run(*arguments: object, color: bool = False) -> Result:
        quiet = ["--no-progress", "--num-workers", 0]
        return hiersmooth("certify", *quiet, *arguments, color=color)

    return run


@pytest.fixture(scope="session")
def finished_run(certify: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run on the synthetic dataset; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = certify("--out", folder, "--max-epochs", 5, "--n0", 10, "--n", 40)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def leisurely(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a program, and of the processes it spawns, that keeps its votes at once and
    takes its time: on a busy machine as on an idle one, it can be stopped before it is done.
    """
    script = tmp_path_factory.mktemp("programs") / "leisurely.py"
    script.write_text(LEISURELY)
    return [sys.executable, str(script)]
